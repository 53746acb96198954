from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dgm_tb.records import CONTEXT, SessionEnd, Thinned
from dgm_tb.store import recording as recordings
from dgm_tb.store.losses import combine
from dgm_tb.store.partfiles import PartFile
from dgm_tb.store.parts import Part
from dgm_tb.store.recording import Recording
from dgm_tb.store.snapshots import snapshot_format
from dgm_tb.store.timeline import timeline
from tests.store import made

FORM = snapshot_format(made.LAYOUT)


@dataclass(frozen=True)
class Written:
    """What one rank of one session wrote: captured steps in writing order, steps with a loss."""

    steps: list[int]
    losses: list[int]


_written = st.builds(Written, st.lists(st.integers(0, 12), max_size=6), st.lists(st.integers(0, 12), max_size=6))
_sessions = st.lists(st.lists(_written, min_size=1, max_size=3), min_size=1, max_size=3)


def recording(written: Written, session: int, rank: int, *, ended: bool = True, last: float = 0.0) -> Recording:
    """Snapshots two a journal; the context's epoch says which session, rank and position a snapshot has."""
    count = len(written.steps)
    context = np.zeros((count, len(CONTEXT)))
    context[:, 1] = [100 * session + 10 * rank + position for position in range(count)]
    return Recording(
        session=f"2026112{session}T000000Z-00000000",
        rank=rank,
        created=float(session),
        sequence=0,
        manifests=(made.manifest(),),
        graph=None,
        graph_id=None,
        files=tuple(PartFile(f"{session}/{rank}", Part(0, 0, n), FORM, 0, False) for n in range((count + 1) // 2)),
        levels=(
            recordings.Written(
                begin=np.arange(count),
                end=np.arange(count) + 1,
                first=np.array(written.steps, np.int64),
                last=np.array(written.steps, np.int64),
                context=context,
                part=np.arange(count) // 2,
                frame=np.arange(count) % 2,
            ),
        ),
        thinned=(),
        table=combine([made.table([step], loss=float(session)) for step in written.losses]),
        end=SessionEnd("finished", 0.0) if ended else None,
        last_wall_time=last,
    )


def slow(sessions: list[list[Written]]) -> tuple[dict[int, dict[int, tuple[int, int]]], dict[int, int]]:
    """By step: which (session, position) each rank has; and the session of each loss. One record after the other."""
    snapshots: dict[int, dict[int, tuple[int, int]]] = {}
    losses: dict[int, int] = {}
    for session, ranks in enumerate(sessions):
        table = next((rank.losses for rank in ranks if rank.losses), [])
        began = min([*table, *(step for rank in ranks for step in rank.steps)], default=None)
        if began is not None:
            snapshots = {step: of for step, of in snapshots.items() if step < began}
            losses = {step: of for step, of in losses.items() if step < began}
        for number, rank in enumerate(ranks):
            mine: dict[int, tuple[int, int]] = {}
            for position, step in enumerate(rank.steps):
                mine = {other: of for other, of in mine.items() if other < step}
                mine[step] = session, position
            for step, of in mine.items():
                snapshots.setdefault(step, {})[number] = of
        losses.update(dict.fromkeys(table, session))
    return snapshots, losses


@given(_sessions)
def test_it_is_what_writing_one_after_the_other_leaves(sessions: list[list[Written]]) -> None:
    recordings = [recording(written, s, r) for s, ranks in enumerate(sessions) for r, written in enumerate(ranks)]
    run = timeline(recordings[::-1], now=1e9)
    snapshots, losses = slow(sessions)
    assert run.steps.tolist() == sorted(snapshots)
    assert run.losses.steps.tolist() == sorted(losses)
    assert run.losses.values.reshape(-1).tolist() == [losses[step] + step for step in sorted(losses)]
    for place, step in enumerate(sorted(snapshots)):
        lowest = min(snapshots[step])
        session, position = snapshots[step][lowest]
        assert run.context[place, 1] == 100 * session + 10 * lowest + position
        for rank, track in enumerate(run.tracks):
            if rank in snapshots[step]:
                session, position = snapshots[step][rank]
                file = run.files[track.part[place]]
                assert (file.directory, file.part.part) == (f"{session}/{rank}", position // 2)
                assert track.frame[place] == position % 2
            else:
                assert track.part[place] == -1


@given(st.lists(_written, min_size=1, max_size=3))
def test_nothing_is_replaced_by_a_session_that_only_goes_on(ranks: list[Written]) -> None:
    straight = [Written(sorted(set(rank.steps)), rank.losses) for rank in ranks]
    assert timeline([recording(rank, 0, number) for number, rank in enumerate(straight)], now=1e9).replaced == 0


def test_a_step_waits_for_every_rank_that_still_records() -> None:
    def steps(*, ended: bool = False, last: float = 100.0, now: float = 101.0) -> tuple[list[int], bool]:
        first = recording(Written([0, 10, 20], []), 0, 0, ended=False, last=100.0)
        second = recording(Written([0], []), 0, 1, ended=ended, last=last)
        run = timeline([first, second], now)
        return run.steps.tolist(), run.held_back

    assert steps() == ([0], True)
    assert steps(ended=True) == ([0, 10, 20], False)
    assert steps(last=60.0) == ([0, 10, 20], False)
    assert steps(now=131.0) == ([0, 10, 20], False)


def test_sessions_are_in_the_order_in_which_they_were_counted_whatever_the_clock_says() -> None:
    first = replace(recording(Written([0, 10, 20], [0]), 1, 0), sequence=0)
    second = replace(recording(Written([10, 30], [10]), 0, 0), sequence=1)  # its clock was put back
    run = timeline([first, second], now=1e9)
    assert run.steps.tolist() == [0, 10, 30]
    assert run.context[:, 1].tolist() == [100, 0, 1]


def test_a_dead_rank_whose_clock_was_ahead_holds_nobody_back() -> None:
    first = recording(Written([0, 10, 20], []), 0, 0, ended=False, last=100.0)
    second = recording(Written([0], []), 0, 1, ended=False, last=5000.0)
    assert timeline([first, second], now=101.0).steps.tolist() == [0, 10, 20]


def test_what_was_thinned_of_abandoned_steps_is_none() -> None:
    lost = tuple(Thinned(0, first, first + 63, 64, "max_disk") for first in (0, 64, 128))
    first = replace(recording(Written([200], []), 0, 0), thinned=lost)
    second = recording(Written([100, 110], []), 1, 0)
    assert [(of.first_step, of.last_step) for of in timeline([first, second], now=1e9).thinned] == [(0, 63), (64, 99)]
