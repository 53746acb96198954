"""Rows and aggregates of a timeline: each rank's from its part files, then the ranks merged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import UnknownNameError
from dgm_tb.moments import DERIVED, REDUCTIONS, STATISTICS, absent, aggregate_rows, derive, sources
from dgm_tb.records import ROLLS, RowKey
from dgm_tb.store import ranks
from dgm_tb.store.journals import Damage
from dgm_tb.store.levels import Points, Track
from dgm_tb.store.partfiles import PartFile, Units, read_aggregates, read_rows
from dgm_tb.store.pool import pool
from dgm_tb.store.timeline import Timeline

Floats = NDArray[np.float32]

#: Values that are held at once where what is read is more than what is answered: 16 MiB.
_PIECE: Final = 1 << 22
_ABSENT: Final = dict(zip(STATISTICS, absent(1)[:, 0].tolist(), strict=True))


class Reader:
    """Reads from one timeline; what is damaged is noted in ``damage``."""

    def __init__(self, line: Timeline, damage: Damage) -> None:
        self._line, self._damage = line, damage

    def rows(self, key: RowKey, positions: NDArray[np.int64], units: Units, statistics: Sequence[str]) -> Floats:
        """``statistics`` of a row ``(statistics, snapshots, units)`` at ``positions`` among the snapshots."""
        width = self._width(key, units)
        tracks = self._line.tracks
        if len(tracks) <= 1:
            return self._snapshots(tracks[0] if tracks else None, key, positions, units, statistics, width)
        out = np.empty((len(statistics), len(positions), width), np.float32)
        chosen = [STATISTICS.index(statistic) for statistic in statistics]
        # Merging takes all statistics of every rank: a piece at a time, or a wide layer's would be many times itself.
        for piece in _pieces(len(positions), len(STATISTICS) * len(tracks) * width, _PIECE):
            parts = [self._snapshots(track, key, positions[piece], units, STATISTICS, width) for track in tracks]
            out[:, piece] = ranks.merged(parts)[chosen]
        return out

    def pieces(
        self, key: RowKey, positions: NDArray[np.int64], statistics: Sequence[str], most: int
    ) -> Iterator[tuple[NDArray[np.int64], slice, Floats]]:
        """`rows` of all units, in pieces of at most ``most`` values or one thing: which of ``positions``, which units.

        Snapshots that lie in blocks come some units at a time, others some snapshots: as they stand in the files, so
        that nothing is read twice. ``positions`` ascend.
        """
        width, places = self._width(key, None), np.arange(len(positions))
        if len(places) * len(statistics) * width <= most:
            yield places, slice(0, width), self.rows(key, positions, None, statistics)
            return
        blocked = self._in_blocks(positions)
        for piece in _pieces(int(np.count_nonzero(~blocked)), len(statistics) * width, most):
            group = places[~blocked][piece]
            yield group, slice(0, width), self.rows(key, positions[group], None, statistics)
        group = places[blocked]
        for units in _pieces(width if len(group) else 0, len(statistics) * len(group), most):
            chosen = np.arange(units.start, units.stop)
            yield group, units, self.rows(key, positions[group], chosen, statistics)

    def aggregates(self, keys: Sequence[RowKey], positions: NDArray[np.int64]) -> Floats:
        """Layer summaries of snapshots ``(keys, snapshots, DERIVED, REDUCTIONS)``."""
        tracks = self._line.tracks
        out = np.full((len(keys), len(positions), len(DERIVED), len(REDUCTIONS)), np.nan, np.float32)
        for track in tracks:
            self._aggregates(track, keys, positions, out)
        recorded = np.sum([track.part[positions] >= 0 for track in tracks], axis=0) if tracks else positions * 0
        several = np.flatnonzero(recorded > 1)
        if len(several):  # the extremes of merged units follow from the units only
            for index, key in enumerate(keys):
                if key in self._line.keys:
                    out[index, several] = self._merged_aggregates(key, positions[several])
        return out

    def rolled(self, key: RowKey, points: Points, statistic: str, rolls: Sequence[str], units: Units) -> Floats:
        """``rolls`` of a statistic over each point's snapshots ``(rolls, points, units)``."""
        width = self._width(key, units)
        out = np.empty((len(rolls), len(points.first), width), np.float32)

        def stored(level: int, places: NDArray[np.int64], wanted: Sequence[str]) -> Floats:
            if level == 0:
                needed = sources(statistic)
                values = derive(self.rows(key, places, units, needed), statistic, needed)
                return ranks.single(values, wanted)
            channels = [f"{statistic}/{roll}" for roll in wanted]
            tracks = self._line.levels[level].tracks
            return ranks.merged_rolls(
                [self._points(level, t, key, places, units, channels, width) for t in tracks], wanted
            )

        for piece, values in self._pieces(points, rolls, (len(rolls) + 2) * width, stored):
            out[:, piece] = values
        return out

    def rolled_aggregates(self, keys: Sequence[RowKey], points: Points, statistics: Sequence[str]) -> Floats:
        """Layer summaries of points ``(keys, points, statistics, REDUCTIONS, 3)``: mean, min, max over snapshots."""
        chosen = [DERIVED.index(statistic) for statistic in statistics]
        rolls = ("mean", "min", "max")
        out = np.empty((len(keys), len(points.first), len(chosen), len(REDUCTIONS), len(rolls)), np.float32)

        def stored(level: int, places: NDArray[np.int64], wanted: Sequence[str]) -> Floats:
            if level == 0:
                values = self.aggregates(keys, places)[:, :, chosen].swapaxes(0, 1)
                return ranks.single(values.reshape(len(places), -1), wanted)
            parts = []
            for track in self._line.levels[level].tracks:
                shape = len(keys), len(places), len(DERIVED), len(REDUCTIONS), len(ROLLS)
                table = np.full(shape, np.nan, np.float32)
                table[..., ROLLS.index("seen")] = 0
                self._aggregates(track, keys, places, table)
                table = table[:, :, chosen].swapaxes(0, 1).reshape(len(places), -1, len(ROLLS))
                parts.append(np.stack([table[:, :, ROLLS.index(roll)] for roll in wanted]))
            return ranks.merged_rolls(parts, wanted)

        each = len(keys) * len(DERIVED) * len(REDUCTIONS) * len(ROLLS)
        for piece, values in self._pieces(points, rolls, each, stored):
            shape = len(rolls), -1, len(keys), len(chosen), len(REDUCTIONS)
            out[:, piece] = np.moveaxis(values.reshape(shape), 0, -1).swapaxes(0, 1)
        return out

    def _pieces(
        self,
        points: Points,
        rolls: Sequence[str],
        each: int,
        stored: Callable[[int, NDArray[np.int64], Sequence[str]], Floats],
    ) -> Iterator[tuple[slice, Floats]]:
        """A few points at a time: ``stored`` gives a level's ``(rolls, places, …)``, several of them may be a point."""
        together = max(int(np.diff(points.starts).max(initial=1)), 1)
        several = together > 1 or len(self._line.tracks) > 1  # then means are weighted
        weighed = [*rolls, "seen"] if several and "mean" in rolls and "seen" not in rolls else list(rolls)

        def read(begin: int, end: int) -> Floats:
            levels, places = points.levels[begin:end], points.places[begin:end]
            found = np.unique(levels)
            if len(found) == 1:
                return stored(int(found[0]), places, weighed)
            parts = [(levels == level, stored(int(level), places[levels == level], weighed)) for level in found]
            values = np.empty((len(weighed), end - begin, parts[0][1].shape[2]), np.float32)
            for here, part in parts:
                values[:, here] = part
            return values

        for piece in _pieces(len(points.first), each * together, _PIECE):
            begin, end = int(points.starts[piece.start]), int(points.starts[piece.stop])
            starts = points.starts[piece.start : piece.stop] - begin
            if len(starts) > 1 or (end - begin) * each <= _PIECE:
                values = read(begin, end)
                if end - begin > len(starts):
                    values = ranks.together(values, weighed, starts)
            else:  # a point of many: a few of them at a time are added to those before
                first, *rest = _pieces(end - begin, each, _PIECE)
                values = read(begin, begin + first.stop)
                for some in rest:
                    more = np.concatenate([values, read(begin + some.start, begin + some.stop)], axis=1)
                    values = ranks.together(more, weighed, starts)
            yield piece, values[: len(rolls)]

    def _in_blocks(self, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which snapshots ``(positions,)`` every rank has in blocks, or not at all."""
        blocked = np.array([file.blocked for file in self._line.files] + [True], bool)  # the last for part -1
        inside = [blocked[track.part[positions]] for track in self._line.tracks]
        return np.logical_and.reduce(inside) if inside else np.ones(len(positions), bool)

    def _width(self, key: RowKey, units: Units) -> int:
        if key not in self._line.keys:
            raise UnknownNameError(f"the run has no {key.quantity} of {key.node!r} in {key.program!r}")
        there = self._line.keys[key]
        if units is None:
            return there
        if len(units) and not (units.min() >= 0 and units.max() < there):
            raise UnknownNameError(f"units {units.min()} to {units.max()} were asked for, the row has 0 to {there - 1}")
        return len(units)

    def _snapshots(
        self,
        track: Track | None,
        key: RowKey,
        places: NDArray[np.int64],
        units: Units,
        statistics: Sequence[str],
        width: int,
    ) -> Floats:
        """One rank's; `dgm_tb.moments.absent` where it has none."""
        out = np.empty((len(statistics), len(places), width), np.float32)
        missing = np.array([_ABSENT[statistic] for statistic in statistics], np.float32)
        if track is None:
            out[:] = missing[:, None, None]
        else:
            self._gather(track, key, places, units, statistics, out, missing)
        return out

    def _points(
        self,
        level: int,
        track: Track,
        key: RowKey,
        places: NDArray[np.int64],
        units: Units,
        channels: Sequence[str],
        width: int,
    ) -> Floats:
        """One rank's; NaN, seen 0, where it has none."""
        out = np.empty((len(channels), len(places), width), np.float32)
        missing = np.array([0 if channel.endswith("/seen") else np.nan for channel in channels], np.float32)
        self._gather(track, key, places, units, channels, out, missing)
        return out

    def _gather(
        self,
        track: Track,
        key: RowKey,
        places: NDArray[np.int64],
        units: Units,
        channels: Sequence[str],
        out: Floats,
        missing: Floats,
    ) -> None:
        """Puts the row into ``out`` ``(channels, places, units)``, ``missing`` ``(channels,)`` where it is not there.

        Only there: filling all of it before takes as long as reading it.
        """

        def read(file: PartFile, frames: NDArray[np.int64], here: NDArray[np.int64]) -> None:
            row = file.form.layout.index.get(key)
            if row is None or file.form.layout.rows[row].units != self._line.keys[key]:
                out[:, here] = missing[:, None, None]
                return
            if here[-1] - here[0] + 1 == len(here):  # a view: nothing is copied
                read_rows(file, row, channels, frames, units, out[:, here[0] : here[-1] + 1], missing, self._damage)
            else:
                part = np.empty((len(channels), len(here), out.shape[2]), np.float32)
                read_rows(file, row, channels, frames, units, part, missing, self._damage)
                out[:, here] = part

        out[:, track.part[places] < 0] = missing[:, None, None]
        self._each_file(track, places, read)

    def _aggregates(self, track: Track, keys: Sequence[RowKey], places: NDArray[np.int64], out: Floats) -> None:
        def read(file: PartFile, frames: NDArray[np.int64], here: NDArray[np.int64]) -> None:
            rows = [file.form.layout.index.get(key, -1) for key in keys]
            there = [place for place, row in enumerate(rows) if row >= 0]
            chosen = np.ix_(np.array(there, np.int64), here)
            part = out[chosen]
            read_aggregates(file, [rows[place] for place in there], frames, part, self._damage)
            out[chosen] = part

        self._each_file(track, places, read)

    def _each_file(
        self,
        track: Track,
        places: NDArray[np.int64],
        read: Callable[[PartFile, NDArray[np.int64], NDArray[np.int64]], None],
    ) -> None:
        """Calls ``read`` with each part file that ``places`` touch, the frames and where in ``places`` these stand.

        Several files are read by several threads, each writing to places of its own.
        """
        parts, frames = track.part[places], track.frame[places]
        order = np.argsort(parts, kind="stable")
        order = order[parts[order] >= 0]
        if not len(order):
            return
        stretches = np.split(order, np.flatnonzero(np.diff(parts[order])) + 1)
        jobs = [(self._line.files[parts[here[0]]], frames[here], here) for here in stretches]
        # One job needs no thread, and what runs in the pool must not wait for it.
        for _ in pool().map(read, *zip(*jobs, strict=True)) if len(jobs) > 1 else map(read, *zip(*jobs, strict=True)):
            pass

    def _merged_aggregates(self, key: RowKey, positions: NDArray[np.int64]) -> Floats:
        rows = self.rows(key, positions, None, STATISTICS)
        before = self.rows(key, np.maximum(positions - 1, 0), None, STATISTICS)
        before[:, positions == 0] = absent(before.shape[2])[:, None]
        statistics, snapshots, units = rows.shape
        flat, earlier = (np.ascontiguousarray(part.transpose(1, 0, 2)).reshape(-1) for part in (rows, before))
        starts = np.arange(snapshots + 1, dtype=np.int64) * (statistics * units)
        return aggregate_rows(flat, starts, earlier)


def _pieces(count: int, each: int, most: int) -> Iterator[slice]:
    """``count`` things in stretches of which each holds at most ``most`` values, ``each`` a thing, or one thing."""
    size = max(1, most // max(1, each))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
