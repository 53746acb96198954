from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dgm_tb.records import CONTEXT
from dgm_tb.store.recording import Written
from dgm_tb.store.remaining import remaining

ROLL = 3


def written(points: list[tuple[int, int, int, int]]) -> Written:
    """Of (begin, end, first, last)."""
    begin, end, first, last = np.array(points, np.int64).reshape(-1, 4).T
    none = np.zeros(len(begin), np.int64)
    return Written(begin, end, first, last, np.zeros((len(begin), len(CONTEXT))), none, none)


def rolled(steps: list[int], level: int) -> list[tuple[int, int, int, int]]:
    each = ROLL**level
    return [(at, at + each, steps[at], steps[at + each - 1]) for at in range(0, len(steps) - each + 1, each)]


@given(st.lists(st.integers(0, 30), max_size=30))
def test_what_remains_is_what_writing_one_after_the_other_leaves(steps: list[int]) -> None:
    left: dict[int, int] = {}  # step -> which snapshot
    for place, step in enumerate(steps):
        left = {other: of for other, of in left.items() if other < step}
        left[step] = place
    found = remaining([written(rolled(steps, level)) for level in range(3)])
    for level, keep in enumerate(found):
        whole = [set(range(begin, end)) <= set(left.values()) for begin, end, _, _ in rolled(steps, level)]
        assert keep.tolist() == whole


def test_a_point_is_known_by_its_ends_where_its_snapshots_were_thinned() -> None:
    steps = [*range(9), 4, 5, 6]
    points = [written(rolled(steps, level)) for level in range(3)]
    thinned = written([snapshot for snapshot in rolled(steps, 0) if snapshot[0] >= 9])
    keep = remaining([thinned, *points[1:]])
    assert keep[0].tolist() == [True, True, True]
    assert keep[1].tolist() == [True, False, False, True]
    assert keep[2].tolist() == [False]


def test_what_was_written_later_and_thinned_abandons_too() -> None:
    earlier = [(0, 1, 10, 10), (1, 2, 20, 20)]
    keep = remaining([written(earlier), written([(3, 6, 15, 25)])])
    assert keep[0].tolist() == [True, False]


def test_the_greatest_step_there_is_remains() -> None:
    assert remaining([written([(0, 1, 2**63 - 1, 2**63 - 1)])])[0].tolist() == [True]
