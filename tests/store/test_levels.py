from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgm_tb.store import levels
from dgm_tb.store.levels import Level, Points

ROLL = 3  # points of a level in one of the next; the real 16 would need long runs

Stretch = tuple[int, int]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "ROLL", ROLL)


def level_of(points: list[tuple[int, int, int]]) -> Level:
    first, last, snapshots = np.array(points, np.int64).reshape(-1, 3).T
    return Level(first, last, snapshots, ())


@st.composite
def recorded(draw: st.DrawFn) -> tuple[list[Level], list[Stretch]]:
    """Segments of snapshots rolled up, some stretches thinned and some points damaged; and what was thinned."""
    gaps = st.lists(st.integers(1, 4), max_size=30)
    number, deepest = 0, draw(st.integers(0, 3))
    points: list[list[tuple[int, int, int]]] = [[] for _ in range(deepest + 1)]
    thinned = []
    for segment in draw(st.lists(gaps, min_size=1, max_size=3)):
        steps = [number := number + gap for gap in segment]
        for level in range(deepest + 1):
            each = ROLL**level
            for start in range(0, len(steps) - each + 1, each):
                point = steps[start], steps[start + each - 1], each
                coarser = level < deepest and (start // (each * ROLL) + 1) * each * ROLL <= len(steps)
                if coarser and draw(st.integers(0, 5)) == 0:
                    if level == 0:
                        thinned.append(point[:2])
                elif draw(st.integers(0, 20)):  # else damaged
                    points[level].append(point)
    return [level_of(of) for of in points], thinned


def gaps(of: Stretch, held: list[Stretch]) -> set[int]:
    """The steps of a point that none of ``held`` has."""
    return set(range(of[0], of[1] + 1)) - {step for first, last in held for step in range(first, last + 1)}


def slow_torn(found: list[Level], first: int, last: int, thinned: list[Stretch]) -> set[tuple[int, int]]:
    """Levels and places of what is told in part by finer points, one point after the other."""
    lost = {step for begin, end in thinned for step in range(begin, end + 1)}
    finest = [(extent, 1) for extent in zip(found[0].first.tolist(), found[0].last.tolist(), strict=True)]
    torn = set()
    for number in range(1, len(found)):
        for place in range(len(found[number].first)):
            of = int(found[number].first[place]), int(found[number].last[place])
            inside = [point for point in finest if of[0] <= point[0][0] and point[0][1] <= of[1]]
            each = int(found[number].snapshots[place])
            missing = gaps(of, [extent for extent, _ in inside]) & lost
            short = sum(count for _, count in inside) < each and missing
            if inside and short and any(first <= step <= last for step in missing):
                torn.add((number, place))
            if not inside or short:
                finest = [point for point in finest if point not in inside] + [(of, each)]
    return torn


def slow_cover(
    found: list[Level], first: int, last: int, level: int, torn: set[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Levels and places, one point after the other."""
    taken: list[tuple[Stretch, int, int]] = []

    def offer(number: int, place: int) -> None:
        of = int(found[number].first[place]), int(found[number].last[place])
        over = [point for point in taken if of[0] <= point[0][1] and point[0][0] <= of[1]]
        if (number, place) in torn and all(of[0] <= other[0] and other[1] <= of[1] for other, _, _ in over):
            taken[:] = [point for point in taken if point not in over]
            over = []
        if not over:
            taken.append((of, number, place))

    for number in range(min(level, len(found) - 1), -1, -1):
        for place in range(len(found[number].first)):
            if first <= found[number].first[place] and found[number].last[place] <= last:
                offer(number, place)
    for number in range(1, len(found)):
        for place in range(len(found[number].first)):
            if found[number].last[place] >= first and found[number].first[place] <= last:
                offer(number, place)
    return [(number, place) for _, number, place in sorted(taken)]


def slow_plan(
    found: list[Level], first: int, last: int, most: int, thinned: list[Stretch]
) -> list[list[tuple[int, int]]]:
    """The stored points of each point; the level in front as ``[(level, -1)]``."""
    inside = [place for place, step in enumerate(found[0].first.tolist()) if first <= step <= last]
    if len(inside) <= most and all(last < lost[0] or lost[1] < first for lost in thinned):
        return [[(0, -1)], *([(0, place)] for place in inside)]
    room = max(1, most // 2)
    for level in range(1, max(2, len(found))):
        cover = slow_cover(found, first, last, level, slow_torn(found, first, last, thinned))
        if len(cover) <= room:
            break
    return [[(level, -1)], *slow_groups(found, cover, room)]


def slow_groups(found: list[Level], cover: list[tuple[int, int]], room: int) -> list[list[tuple[int, int]]]:
    """Each its own where there is room; else those together whose first snapshot lies in the same of ``room`` parts."""
    if len(cover) <= room:
        return [[point] for point in cover]
    groups: dict[int, list[tuple[int, int]]] = {}
    snapshots = [int(found[level].snapshots[place]) for level, place in cover]
    for index, point in enumerate(cover):
        groups.setdefault(sum(snapshots[:index]) * room // sum(snapshots), []).append(point)
    return list(groups.values())


def as_lists(points: Points) -> list[list[tuple[int, int]]]:
    stored = list(zip(points.levels.tolist(), points.places.tolist(), strict=True))
    edges = points.starts.tolist()
    return [[(points.level, -1)], *(stored[a:b] for a, b in pairwise(edges))]


questions = st.tuples(st.integers(-5, 100), st.integers(0, 100), st.integers(1, 40))


@given(recorded(), questions)
def test_a_plan_is_what_trying_one_point_after_the_other_gives(
    run: tuple[list[Level], list[Stretch]], question: tuple[int, int, int]
) -> None:
    (found, thinned), (first, length, most) = run, question
    points = levels.plan(found, first, first + length, most, thinned)
    assert as_lists(points) == slow_plan(found, first, first + length, most, thinned)
    assert len(points.first) <= (most if points.level == 0 else max(1, most // 2))
    assert points.each == ROLL**points.level
    for index, stored in enumerate(as_lists(points)[1:]):
        assert points.first[index] == found[stored[0][0]].first[stored[0][1]]
        assert points.last[index] == found[stored[-1][0]].last[stored[-1][1]]
        assert points.snapshots[index] == sum(found[level].snapshots[place] for level, place in stored)


@given(recorded(), questions)
def test_every_snapshot_of_the_range_stands_in_one_point_and_points_are_apart(
    run: tuple[list[Level], list[Stretch]], question: tuple[int, int, int]
) -> None:
    (found, thinned), (first, length, most) = run, question
    points = levels.plan(found, first, first + length, most, thinned)
    assert (points.first <= points.last).all()
    assert (points.last[:-1] < points.first[1:]).all()
    assert (points.last >= first).all()
    assert (points.first <= first + length).all()
    for step in found[0].first[(found[0].first >= first) & (found[0].first <= first + length)]:
        assert np.count_nonzero((points.first <= step) & (step <= points.last)) == 1


@given(recorded(), questions)
def test_what_was_thinned_is_told_by_a_coarser_point_where_there_is_one(
    run: tuple[list[Level], list[Stretch]], question: tuple[int, int, int]
) -> None:
    (found, thinned), (first, length, most) = run, question
    points = levels.plan(found, first, first + length, most, thinned)
    for step, _ in thinned:
        if first <= step <= first + length and any(((of.first <= step) & (step <= of.last)).any() for of in found):
            assert np.count_nonzero((points.first <= step) & (step <= points.last)) == 1


def test_a_point_that_was_thinned_in_part_is_drawn_whole_instead_of_what_is_left_of_it() -> None:
    found = whole(36)
    for level, kept in ((0, 12), (1, 18)):  # steps 9 to 11 stand in the point 9 to 17 of level 2 alone
        keep = found[level].first >= kept
        found[level] = Level(found[level].first[keep], found[level].last[keep], found[level].snapshots[keep], ())
    points = levels.plan(found, 9, 20, 2000, [(0, 11)])
    assert list(zip(points.first.tolist(), points.last.tolist(), strict=True)) == [(9, 17), (18, 20)]
    assert points.levels.tolist() == [2, 1]
    assert levels.plan(found, 12, 17, 2000, [(0, 11)]).level == 0


@given(recorded(), st.data())
def test_a_piece_of_points_is_these_points(run: tuple[list[Level], list[Stretch]], data: st.DataObject) -> None:
    points = levels.plan(run[0], 0, 10_000, data.draw(st.integers(1, 20)), run[1])
    begin = data.draw(st.integers(0, len(points.first)))
    end = data.draw(st.integers(begin, len(points.first)))
    part = points.between(begin, end)
    assert as_lists(part)[1:] == as_lists(points)[1:][begin:end]
    assert part.first.tolist() == points.first[begin:end].tolist()
    assert part.snapshots.tolist() == points.snapshots[begin:end].tolist()


def whole(count: int) -> list[Level]:
    def of(level: int) -> range:
        return range(0, count - ROLL**level + 1, ROLL**level)

    return [level_of([(at, at + ROLL**level - 1, ROLL**level) for at in of(level)]) for level in range(4)]


def test_a_long_run_is_drawn_from_the_finest_level_that_is_short_enough() -> None:
    assert levels.plan(whole(100), 0, 99, 100, ()).level == 0
    assert levels.plan(whole(100), 0, 99, 99, ()).level == 1
    points = levels.plan(whole(100), 0, 99, 40, ())
    assert points.level == 2
    assert points.snapshots.tolist() == [9] * 11 + [1]
    assert levels.plan(whole(100), 0, 99, 20, ()).level == 3


def test_a_point_that_crosses_the_border_of_the_range_is_drawn_from_lower_ones() -> None:
    points = levels.plan(whole(100), 7, 31, 24, ())
    assert list(zip(points.first.tolist(), points.last.tolist(), strict=True)) == [
        (7, 7), (8, 8), *((at, at + 2) for at in range(9, 30, 3)), (30, 30), (31, 31),
    ]  # fmt: skip


def test_where_lower_levels_were_thinned_a_point_stands_whole() -> None:
    found = whole(100)
    keep = found[0].first >= 54
    found[0] = Level(found[0].first[keep], found[0].last[keep], found[0].snapshots[keep], ())
    points = levels.plan(found, 7, 10, 2000, [(0, 53)])
    assert list(zip(points.first.tolist(), points.last.tolist(), strict=True)) == [(6, 8), (9, 11)]
    assert levels.plan(found, 54, 60, 2000, [(0, 53)]).level == 0


def test_where_too_many_segments_meet_neighbours_become_one() -> None:
    points = levels.plan(whole(2 * ROLL - 1)[:1], 0, 10, 4, ())
    assert points.level == 1
    assert points.snapshots.tolist() == [3, 2]
    assert (points.first.tolist(), points.last.tolist()) == ([0, 3], [2, 4])


def test_nothing_recorded_is_no_points() -> None:
    points = levels.plan(whole(0), -(2**63), 2**63 - 1, 10, ())
    assert (points.level, points.each, len(points.first)) == (0, 1, 0)


@given(st.lists(st.sampled_from([1, 16, 256]), min_size=1, max_size=60), st.integers(1, 30))
def test_too_many_points_become_some_of_about_as_many_snapshots(snapshots: list[int], most: int) -> None:
    starts = levels._starts(np.array(snapshots), most).tolist()
    assert starts[0] == 0
    assert starts[-1] == len(snapshots)
    assert all(begin < end for begin, end in pairwise(starts))
    if len(snapshots) <= most:
        assert starts == list(range(len(snapshots) + 1))
        return
    assert len(starts) - 1 <= most
    together = [sum(snapshots[begin:end]) for begin, end in pairwise(starts)]
    assert max(together) <= sum(snapshots) / most + max(snapshots)
