"""Sessions whose clocks jumped: a resumed training continues the one before, whatever time it believes it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from dgm_tb.records import Record
from dgm_tb.store.run import Run
from tests.store import made

HOUR = 3600.0
DAY_BEFORE, MIDDLE, YEAR_AFTER = "20261123T061530Z-1a2b3c4d", made.SESSION, "20271124T061530Z-1a2b3c4d"


def record(run: Path, session: str, created: float, steps: range, rank: int = 0) -> None:
    snapshots = [made.plausible(step, seed=rank) for step in steps]
    made.write(run, [made.manifest(created=created), *snapshots, made.table(steps)], session=session, rank=rank)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            (MIDDLE, made.BEGAN),
            (YEAR_AFTER, made.BEGAN + 365 * 24 * HOUR),
        ),  # or it jumped ahead
        ((MIDDLE, made.BEGAN), (DAY_BEFORE, made.BEGAN - 24 * HOUR)),  # back
        ((YEAR_AFTER, made.BEGAN + 365 * 24 * HOUR), (MIDDLE, made.BEGAN)),  # it was ahead, and was put right
        ((MIDDLE, made.BEGAN), ("20261124T061530Z-00000000", made.BEGAN)),  # it stands still
    ],
)
def test_a_resumed_session_continues_the_one_before(
    first: tuple[str, float], second: tuple[str, float], tmp_path: Path
) -> None:
    record(tmp_path, *first, range(0, 100))
    record(tmp_path, *second, range(60, 90))
    run = Run(tmp_path)
    assert run.steps.tolist() == list(range(0, 90))  # the steps 90 to 99 were abandoned
    assert run.losses.steps.tolist() == list(range(0, 90))
    third = "20251124T061530Z-1a2b3c4d"
    record(tmp_path, third, made.BEGAN - 300 * 24 * HOUR, range(80, 85))
    run.refresh()
    assert run.steps.tolist() == list(range(0, 85))


def test_the_ranks_of_a_session_are_one_though_their_clocks_differ(tmp_path: Path) -> None:
    record(tmp_path, MIDDLE, made.BEGAN, range(0, 50))
    for rank, created in enumerate((made.BEGAN - HOUR, made.BEGAN + HOUR)):
        record(tmp_path, DAY_BEFORE, created, range(40, 60), rank=rank)
    run = Run(tmp_path)
    assert run.steps.tolist() == list(range(0, 60))
    counts = run.read(made.A, slice(None))[0, :, 0]
    assert (counts[:40] == 4).all()
    assert (counts[40:] == 9).all()  # both ranks'


def test_a_killed_rank_whose_clock_was_ahead_holds_back_nobody(tmp_path: Path) -> None:
    record(tmp_path, MIDDLE, made.BEGAN, range(0, 50))
    ahead: list[Record] = [
        made.manifest(created=made.BEGAN + 9 * HOUR),
        *(made.plausible(step, seed=1) for step in range(0, 20)),
    ]
    made.write(tmp_path, ahead, rank=1, reason=None)
    assert Run(tmp_path, clock=lambda: made.BEGAN + HOUR).steps.tolist() == list(range(0, 50))
