from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dgm_tb.records import CONTEXT
from dgm_tb.store.joining import join
from dgm_tb.store.losses import combine
from dgm_tb.store.recording import Recording, Written
from tests.store import made

ROLL = 2
# Snapshots of a rank: steps ascending, and of each level which of its points are there.
ranks = st.lists(
    st.tuples(st.lists(st.integers(0, 20), max_size=14, unique=True).map(sorted), st.lists(st.booleans(), min_size=30)),
    min_size=1,
    max_size=3,
)


def points(rank: tuple[list[int], list[bool]], level: int) -> list[tuple[int, int, int]]:
    """First step, last step and number of each point of a level that is there."""
    steps, there = rank
    each = ROLL**level
    starts = range(0, len(steps) - each + 1, each)
    found = [(steps[at], steps[at + each - 1], number) for number, at in enumerate(starts)]
    return [point for point in found if level == 0 or there[(11 * level + point[2]) % len(there)]]


def recording(number: int, rank: tuple[list[int], list[bool]]) -> Recording:
    levels = []
    for level in range(3):
        of = points(rank, level)
        first, last, place = np.array(of, np.int64).reshape(-1, 3).T
        context = np.zeros((len(of), len(CONTEXT)))
        context[:, 1] = number
        begin = place * ROLL**level
        levels.append(Written(begin, begin + ROLL**level, first, last, context, np.full(len(of), level), place))
    return Recording(
        session=made.SESSION, rank=number, created=0.0, sequence=0, manifests=(), graph=None, graph_id=None, files=(),
        levels=tuple(levels), table=combine(()), thinned=(), end=None, last_wall_time=0.0,
    )  # fmt: skip


def slow(all_ranks: list[tuple[list[int], list[bool]]], level: int) -> list[tuple[int, int]]:
    """First and last steps of the points that all ranks have which have anything there."""
    good = []
    for first, last in sorted({point[:2] for rank in all_ranks for point in points(rank, level)}):
        agree = True
        for rank in all_ranks:
            has = any(point[:2] == (first, last) for point in points(rank, level))
            anything = any(
                point[0] <= last and first <= point[1] for other in range(3) for point in points(rank, other)
            )
            agree = agree and (has or not anything)
        if agree:
            good.append((first, last))
    return good


@given(ranks, st.integers(0, 25))
def test_points_are_those_that_every_rank_has_which_has_anything_there(
    all_ranks: list[tuple[list[int], list[bool]]], frontier: int
) -> None:
    recordings = [recording(number, rank) for number, rank in enumerate(all_ranks)]
    files = [10 * number for number in range(len(all_ranks))]
    joined = join(recordings, files, float(frontier))
    steps = sorted({step for steps, _ in all_ranks for step in steps})
    assert joined.levels[0].last.tolist() == [step for step in steps if step <= frontier]
    assert joined.held_back == any(step > frontier for step in steps)
    for level in (1, 2):
        found = joined.levels[level]
        pairs = list(zip(found.first.tolist(), found.last.tolist(), strict=True))
        assert pairs == [pair for pair in slow(all_ranks, level) if pair[1] <= frontier]
        assert all(a[1] < b[0] for a, b in pairwise(pairs))
        for number, rank in enumerate(all_ranks):
            frames = {point[:2]: point[2] for point in points(rank, level)}
            assert found.tracks[number].frame.tolist() == [frames.get(pair, -1) for pair in pairs]
            assert found.tracks[number].part.tolist() == [
                10 * number + level if pair in frames else -1 for pair in pairs
            ]


@given(ranks)
def test_the_context_is_the_lowest_ranks_that_has_the_step(all_ranks: list[tuple[list[int], list[bool]]]) -> None:
    recordings = [recording(number, rank) for number, rank in enumerate(all_ranks)]
    level = join(recordings, [0] * len(all_ranks), math.inf).levels[0]
    for step, context in zip(level.last.tolist(), level.context, strict=True):
        assert context[1] == min(number for number, (steps, _) in enumerate(all_ranks) if step in steps)
