from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgm_tb.queries.span import MOST_VALUES, span

steps_lists = st.lists(st.integers(0, 1000), min_size=1, max_size=50, unique=True).map(sorted)


@given(steps_lists, st.one_of(st.none(), st.integers(0, 1100)), st.integers(1, 60))
def test_the_focus_is_the_newest_snapshot_at_or_before_it_in_the_middle_of_its_window(
    numbers: list[int], focus: int | None, size: int
) -> None:
    steps = np.array(numbers, np.int64)
    part = span(steps, focus, size, 1)
    wanted = numbers[-1] if focus is None else max([s for s in numbers if s <= focus], default=numbers[0])
    at = numbers.index(wanted)
    assert part.focus is not None
    assert part.focus_step == wanted == part.steps[part.focus]
    assert part.steps.tolist() == numbers[max(0, at - size) : at + size + 1]
    assert part.steps.tolist() == steps[part.positions].tolist()


def test_no_snapshots_are_no_window() -> None:
    part = span(np.empty(0, np.int64), 5, 10, 3)
    assert part.focus is None
    assert part.focus_step is None
    assert part.steps.size == 0
    assert (part.positions.start, part.positions.stop) == (0, 0)


@pytest.mark.parametrize("values_each", [0, 1, 1000, 50_000, MOST_VALUES // 3, MOST_VALUES, 10 * MOST_VALUES])
def test_a_window_never_holds_more_than_fits(values_each: int) -> None:
    part = span(np.arange(5000, dtype=np.int64), 2500, 1000, values_each)
    assert part.focus_step == 2500
    sides = 2500 - part.positions.start, part.positions.stop - 2501
    assert sides[0] == sides[1] == max(1, min(1000, (MOST_VALUES // max(1, values_each) - 1) // 2))
