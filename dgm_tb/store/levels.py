"""Which points draw a range of steps: of the finest level that is short enough, the rest by others (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dgm_tb.store.parts import ROLL


@dataclass(frozen=True, slots=True)
class Track:
    """Where one rank's part of each point stands: ``(points,)`` each, -1 where it has none.

    ``part`` counts in the run's part files, ``frame`` in that part.
    """

    part: NDArray[np.int64]
    frame: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Level:
    """The points of one level, ascending and apart: each rolls up ``snapshots`` snapshots, of ``first`` to ``last``.

    ``(points,)`` each. Level 0 are the snapshots themselves.
    """

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    snapshots: NDArray[np.int64]
    tracks: tuple[Track, ...]  # by rank


@dataclass(frozen=True, slots=True)
class Points:
    """What a range of steps is drawn from, ascending: ``first`` and ``last`` step and number of ``snapshots`` ``(p,)``.

    Where the points of ``level`` do not reach, points of other levels stand for it. Point *i* is made of the stored
    points ``starts[i]`` to ``starts[i + 1]``: one each, several only where so many segments meet that there would be
    too many. Of stored point *k* ``levels[k]`` is the level and ``places[k]`` the place in it.
    """

    level: int
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    snapshots: NDArray[np.int64]
    starts: NDArray[np.int64]  # (p + 1,)
    levels: NDArray[np.int64]  # (stored,)
    places: NDArray[np.int64]  # (stored,)

    @property
    def each(self) -> int:
        """How many snapshots a point of the level has."""
        return int(ROLL**self.level)

    def between(self, begin: int, end: int) -> Points:
        """The points ``begin`` to ``end`` (without) alone."""
        starts = self.starts[begin : end + 1]
        stored, points = slice(int(starts[0]), int(starts[-1])), slice(begin, end)
        return Points(
            self.level, self.first[points], self.last[points], self.snapshots[points],
            starts - starts[0], self.levels[stored], self.places[stored],
        )  # fmt: skip


def plan(levels: Sequence[Level], first: int, last: int, most: int, thinned: Sequence[tuple[int, int]]) -> Points:
    """The points of the steps ``first`` to ``last`` (both with), of ``levels`` from 0 up.

    Level 0 where at most ``most`` snapshots lie in the range and none of it was ``thinned`` (first and last step of
    each stretch); else the finest level from 1 on with at most ``most // 2`` points, which have a first and a last step
    each. A stored point that crosses the border of the range is drawn from lower levels, and whole where there are
    none. It is also whole where only some of it was thinned, and what is left of that below does not show again. Where
    even the coarsest level has too many, neighbours become one point.
    """
    steps = levels[0].last
    begin, end = int(np.searchsorted(steps, first)), int(np.searchsorted(steps, last, "right"))
    if end - begin <= most and not any(lost[0] <= last and first <= lost[1] for lost in thinned):
        return _points(levels, 0, np.zeros(end - begin, np.int64), np.arange(begin, end), end - begin)
    room, torn = max(1, most // 2), _torn(levels, first, last, thinned)
    for level in range(1, max(2, len(levels))):
        found = _cover(levels, first, last, level, torn)
        if len(found[0]) <= room or level >= len(levels) - 1:
            return _points(levels, level, *found, room)
    raise AssertionError("a loop over at least one level returns")


def _cover(
    levels: Sequence[Level], first: int, last: int, level: int, torn: Sequence[NDArray[np.int64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Levels and places of the stored points that cover the range, ascending, none beneath another."""
    cover = _Cover(levels)
    for lower in range(min(level, len(levels) - 1), -1, -1):
        of = levels[lower]
        begin, end = np.searchsorted(of.first, first), np.searchsorted(of.last, last, "right")
        cover.add(lower, np.arange(begin, max(begin, end)))
    # What only coarser points tell – finer ones were thinned –, also where they reach beyond the range.
    for coarse in range(1, len(levels)):
        of = levels[coarse]
        begin, end = np.searchsorted(of.last, first), np.searchsorted(of.first, last, "right")
        cover.add(coarse, np.arange(begin, max(begin, end)))
        cover.replace(coarse, torn[coarse])
    return cover.levels, cover.places


def _torn(
    levels: Sequence[Level], first: int, last: int, thinned: Sequence[tuple[int, int]]
) -> list[NDArray[np.int64]]:
    """By level, the points of which finer ones tell a part but not all that was ``thinned`` in ``first`` to ``last``.

    That snapshots are missing is seen by their number; where, only by steps between points that are there.
    """
    torn = [np.empty(0, np.int64) for _ in levels]
    lost = np.array(thinned, np.int64).reshape(-1, 2)
    within = np.stack([np.maximum(lost[:, 0], first), np.minimum(lost[:, 1], last)], axis=1)
    within = within[within[:, 0] <= within[:, 1]]
    if not len(within):
        return torn
    finest = _Cover(levels)
    finest.add(0, np.arange(len(levels[0].first)))
    for coarse, of in enumerate(levels[1:], 1):
        short = [place for place in finest.short(coarse) if _meet(finest.gaps(coarse, place), lost)]
        torn[coarse] = np.array([place for place in short if _meet(finest.gaps(coarse, place), within)], np.int64)
        finest.replace(coarse, np.array(short, np.int64))
        finest.add(coarse, np.arange(len(of.first)))
    return torn


def _meet(some: NDArray[np.int64], others: NDArray[np.int64]) -> bool:
    """Whether a stretch of steps ``(stretches, 2)`` of ``some`` has a step of one of ``others``."""
    return bool(((some[:, :1] <= others[:, 1]) & (others[:, 0] <= some[:, 1:])).any())


class _Cover:
    """Stored points that do not overlap, in order of their steps."""

    def __init__(self, levels: Sequence[Level]) -> None:
        self._levels = levels
        self.levels, self.places, self._first, self._last = (np.empty(0, np.int64) for _ in range(4))

    def add(self, level: int, places: NDArray[np.int64]) -> None:
        """Takes those of a level's points that overlap none that are there."""
        first, last = self._levels[level].first[places], self._levels[level].last[places]
        before = np.searchsorted(self._first, last, "right") - 1
        free = (before < 0) | (self._last[np.maximum(before, 0)] < first) if len(self._last) else before < 0
        joined = [
            np.concatenate(pair)
            for pair in (
                (self.levels, np.full(np.count_nonzero(free), level)),
                (self.places, places[free]),
                (self._first, first[free]),
                (self._last, last[free]),
            )
        ]
        order = np.argsort(joined[2], kind="stable")
        self._keep(joined, order)

    def replace(self, level: int, places: NDArray[np.int64]) -> None:
        """Takes a level's points instead of those beneath them; not where one that is there reaches beyond them."""
        of = self._levels[level]
        begin, end = self._beneath(level, places)
        there = [
            place
            for place, first, last in zip(places.tolist(), begin.tolist(), end.tolist(), strict=True)
            if first < last and self._first[first] >= of.first[place] and self._last[last - 1] <= of.last[place]
        ]
        if not there:
            return
        kept = np.ones(len(self.levels), bool)
        for first, last in zip(*self._beneath(level, np.array(there, np.int64)), strict=True):
            kept[first:last] = False
        self._keep((self.levels, self.places, self._first, self._last), kept)
        self.add(level, np.array(there, np.int64))

    def short(self, level: int) -> list[int]:
        """The level's points of which some snapshots are there and some are not."""
        begin, end = self._beneath(level, np.arange(len(self._levels[level].first)))
        snapshots = np.empty(len(self.levels), np.int64)
        for known in np.unique(self.levels):
            here = self.levels == known
            snapshots[here] = self._levels[known].snapshots[self.places[here]]
        before = np.append(0, np.cumsum(snapshots))
        return [
            int(place)
            for place in np.flatnonzero((begin < end) & (before[end] - before[begin] < self._levels[level].snapshots))
        ]

    def gaps(self, level: int, place: int) -> NDArray[np.int64]:
        """First and last of the steps of a point that none of these points has ``(stretches, 2)``."""
        (begin,), (end,) = self._beneath(level, np.array([place]))
        first = np.append(self._levels[level].first[place], self._last[begin:end] + 1)
        last = np.append(self._first[begin:end] - 1, self._levels[level].last[place])
        return np.stack([first, last], axis=1)[first <= last]

    def _beneath(self, level: int, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which of these points, from and to, overlap each of a level's."""
        of = self._levels[level]
        return np.searchsorted(self._last, of.first[places]), np.searchsorted(self._first, of.last[places], "right")

    def _keep(self, values: Sequence[NDArray[np.int64]], which: NDArray[np.int64] | NDArray[np.bool_]) -> None:
        self.levels, self.places, self._first, self._last = (value[which] for value in values)


def _points(levels: Sequence[Level], level: int, of: NDArray[np.int64], places: NDArray[np.int64], most: int) -> Points:
    """Stored points as `Points`, at most ``most``."""
    first, last, snapshots = np.empty((3, len(of)), np.int64)
    for index in np.unique(of):
        here = of == index
        first[here], last[here] = levels[index].first[places[here]], levels[index].last[places[here]]
        snapshots[here] = levels[index].snapshots[places[here]]
    starts = _starts(snapshots, max(1, most))
    begins = starts[:-1]
    return Points(
        level=level,
        first=first[begins],
        last=last[starts[1:] - 1],
        snapshots=np.add.reduceat(snapshots, begins) if len(of) else snapshots,
        starts=starts,
        levels=of,
        places=places,
    )


def _starts(snapshots: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Where ``most`` points of about as many snapshots begin, and the end; all where they are not too many.

    Points of a level end where its last full one does, and a few of lower ones follow: by their number the end of a
    run would take most of its chart.
    """
    if len(snapshots) <= most:
        return np.arange(len(snapshots) + 1)
    before = np.cumsum(snapshots) - snapshots
    group = before * most // int(snapshots.sum())
    return np.append(np.flatnonzero(np.diff(group, prepend=-1)), len(snapshots))
