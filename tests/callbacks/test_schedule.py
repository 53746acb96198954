from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lightning_callbacks.schedule import Schedule


def test_the_start_is_geometric_and_then_every_nth() -> None:
    schedule = Schedule(10)
    assert [step for step in range(42) if schedule.captures(step)] == [0, 1, 2, 4, 8, 10, 20, 30, 40]


def test_the_last_step_is_captured_where_it_is_known() -> None:
    assert Schedule(50, last_step=77).captures(77)
    assert not Schedule(50).captures(77)


def test_every_step() -> None:
    assert all(Schedule(1).captures(step) for step in range(20))


@given(st.integers(1, 1000), st.integers(0, 10**6))
def test_no_gap_is_longer_than_n(n: int, step: int) -> None:
    schedule = Schedule(n)
    assert any(schedule.captures(step + k) for k in range(n))
