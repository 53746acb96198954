from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from dgm_tb.queries.notes import notes, thinned
from dgm_tb.records import Thinned
from dgm_tb.store.run import Run


@dataclass
class FakeRun:
    steps: NDArray[np.int64] = field(default_factory=lambda: np.arange(0, 1000, 10))
    thinned: tuple[Thinned, ...] = ()
    ranks: int = 1
    schedule: dict[str, int | str] = field(default_factory=lambda: {"every_n_steps": 10})


def ask(run: FakeRun) -> tuple[str, ...]:
    return notes(cast(Run, run))


def lost(first: int, last: int, level: int = 0) -> Thinned:
    return Thinned(level, first, last, 64, "to keep max_disk")


def test_of_a_run_that_is_whole_there_is_nothing_to_note() -> None:
    assert ask(FakeRun()) == ()
    assert thinned(cast(Run, FakeRun())) == ()


def test_thinned_stretches_are_joined_where_no_snapshot_is_left_between_them() -> None:
    run = FakeRun(
        steps=np.arange(500, 1000, 10), thinned=(lost(0, 150), lost(160, 310), lost(320, 490), lost(605, 608))
    )
    assert thinned(cast(Run, run)) == ((0, 490), (605, 608))
    run.steps = np.array([155, *run.steps])
    assert thinned(cast(Run, run)) == ((0, 150), (160, 490), (605, 608))


def test_the_same_stretch_of_several_ranks_is_one_and_coarser_levels_are_none() -> None:
    run = FakeRun(steps=np.array([500]), thinned=(lost(0, 150), lost(0, 150), lost(5, 150), lost(0, 400, level=1)))
    assert thinned(cast(Run, run)) == ((0, 150),)


def test_what_was_thinned_is_told_with_the_reason() -> None:
    many = tuple(lost(start, start + 3) for start in range(1, 900, 100))
    (note,) = ask(FakeRun(thinned=many))
    assert "1 to 4, 101 to 104, 201 to 204 and 6 more stretches" in note
    assert "(to keep max_disk)" in note


@pytest.mark.parametrize(("gap", "told"), [(10, False), (5, False), (40, True)])
def test_an_interval_that_grew_is_told(gap: int, told: bool) -> None:
    found = ask(FakeRun(steps=np.concatenate([np.arange(0, 500, 10), np.arange(500, 1000, gap)])))
    assert found == (("snapshots are 40 steps apart now, not every 10, to keep the disk budget",) if told else ())


def test_one_snapshot_that_was_skipped_is_no_longer_interval() -> None:
    steps = np.arange(0, 1000, 10)
    assert ask(FakeRun(steps=np.delete(steps, -3))) == ()


def test_ranks_are_told() -> None:
    assert ask(FakeRun(ranks=4)) == ("4 ranks recorded this run; their numbers are merged",)
