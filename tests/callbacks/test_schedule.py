from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lightning_callbacks.schedule import Schedule


def _captured(schedule: Schedule, steps: int, stretch: int = 1) -> list[int]:
    return [step for step in range(steps) if schedule.due(step, stretch)]


def test_the_start_is_geometric_and_then_every_nth() -> None:
    assert _captured(Schedule((10,)), 42) == [0, 1, 2, 4, 8, 10, 20, 30, 40]


def test_the_last_step_is_captured_whole_where_it_is_known() -> None:
    assert Schedule((50, 70), last_step=77).due(77) == (50, 70)
    assert Schedule((50, 70)).due(77) == ()


def test_everything_is_due_where_a_deep_snapshot_is_wanted() -> None:
    schedule = Schedule((50, 70), whole=15)
    assert [step for step in range(33, 100) if schedule.due(step) == (50, 70)] == [45, 60, 75, 90]
    assert schedule.due(45, stretch=2) == ()


def test_every_step() -> None:
    assert _captured(Schedule((1,)), 20) == list(range(20))


def test_each_interval_is_due_at_its_own_steps() -> None:
    schedule = Schedule((10, 25))
    assert {step: schedule.due(step) for step in range(60) if schedule.due(step)} == {
        **dict.fromkeys((0, 1, 2, 4, 8, 50), (10, 25)),
        **dict.fromkeys((10, 20, 30, 40), (10,)),
        **dict.fromkeys((16, 25), (25,)),
    }


def test_stretched_intervals_leave_the_start_as_it_is() -> None:
    assert _captured(Schedule((10,)), 62, stretch=3) == [0, 1, 2, 4, 8, 30, 60]
    assert _captured(Schedule((1,)), 9, stretch=4) == [0, 4, 8]


@given(st.integers(1, 1000), st.integers(1, 8), st.integers(0, 10**6))
def test_no_gap_is_longer_than_the_stretched_interval(n: int, stretch: int, step: int) -> None:
    assert any(Schedule((n,)).due(step + k, stretch) for k in range(n * stretch))


@given(st.lists(st.integers(1, 100), min_size=1, max_size=4, unique=True), st.integers(0, 10**5))
def test_intervals_do_not_meddle(intervals: list[int], step: int) -> None:
    alone = tuple(n for n in sorted(intervals) if Schedule((n,)).due(step))
    assert Schedule(tuple(sorted(intervals))).due(step) == alone
