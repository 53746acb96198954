"""Rolling up 16 snapshots, or 16 points of a level, into one point of the next: least, greatest, mean and how many."""

from __future__ import annotations

import math
from collections.abc import Iterator
from io import FileIO
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.compiled import compiled
from dgm_tb.errors import FormatError
from dgm_tb.moments import COUNT, DERIVED, M2, NONFINITE, SOURCES, STATISTICS, ZEROS
from dgm_tb.records import CONTEXT, ROLLS, Layout, Row, Snapshot, rolled_layout
from dgm_tb.store.frames import Frames, aligned
from dgm_tb.store.snapshots import SnapshotFormat, read_head

LEAST, GREATEST, MEAN, SEEN = range(len(ROLLS))
_STD, _ZERO_FRACTION = DERIVED.index("std"), DERIVED.index("zero_fraction")
#: Which of `STATISTICS` a derived one is, of those that stand for themselves.
_PLAIN: Final = np.array([STATISTICS.index(name) if name in STATISTICS else -1 for name in DERIVED])
_FIRST_STEP: Final = CONTEXT.index("first_step")
#: So many bytes of each frame are held at once, and a copy of them.
_MOST: Final = 1 << 20


def roll_up(file: FileIO, form: SnapshotFormat, which: range) -> Snapshot:
    """The point that rolls up the frames ``which`` of a journal: a snapshot of `rolled_layout`.

    Raises `FormatError` where a frame's head is damaged and `OSError` where the file cannot be read.
    """
    frames = Frames(file, form.length, which)
    heads = [read_head(form, bytes(data)) for data in frames.read(0, len(form.head))]
    first, last = heads[0], heads[-1]
    if first is None or last is None:
        raise FormatError(f"{file.name}: a snapshot is damaged")
    context = last.context.copy()
    context[_FIRST_STEP] = first.context[_FIRST_STEP] if form.layout.rolled else first.step
    rolled = rolled_layout(form.layout)
    values = np.empty(int(rolled.starts[-1]), np.float32)
    for row, begin, numbers in _rows(frames, form):
        part = _roll_row(numbers, form.layout, row)
        rolled.row_of(values, row)[:, begin : begin + part.shape[1]] = part
    return Snapshot(last.step, context, values, _roll_aggregates(frames, form))


def _roll_row(numbers: NDArray[np.float32], layout: Layout, row: int) -> NDArray[np.float32]:
    """Some units' rolled channels ``(channels, units)`` of their ``(frames, channels, units)``."""
    frames, channels, units = numbers.shape
    if layout.rolled:
        return join(numbers.reshape(frames, channels // len(ROLLS), len(ROLLS), units)).reshape(channels, units)
    stored = set(layout.rows[row].channels)
    wanted = [index for index, statistic in enumerate(DERIVED) if stored.issuperset(SOURCES[statistic])]
    values = _derive(numbers, layout.places[row], np.array(wanted, np.int64))
    return roll(values).reshape(len(wanted) * len(ROLLS), units)


def _roll_aggregates(frames: Frames, form: SnapshotFormat) -> NDArray[np.float32]:
    rows, shape = len(form.layout.rows), form.layout.aggregate_shape
    words = aligned(frames.read(form.aggregates_at, 4 * rows * math.prod(shape)))
    series = rows * math.prod(shape[:2])
    if form.layout.rolled:
        points = words.view(np.float32).reshape(len(words), series, len(ROLLS)).transpose(0, 2, 1)
        rolled = join(np.ascontiguousarray(points)[:, None])
    else:
        rolled = roll(words.view(np.float32).reshape(len(words), 1, series))
    return np.ascontiguousarray(rolled[0].T).reshape(rows, *shape[:2], len(ROLLS))


def _rows(frames: Frames, form: SnapshotFormat) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """Rows or parts of rows: which row, its first unit there, and the numbers ``(frames, channels, units)``."""
    for batch in _batches(form):
        start, rows = int(form.rows_at[batch.start]), form.layout.rows
        size = int(form.rows_at[batch.stop - 1]) + _size(form, batch.stop - 1) - start
        if size > _MOST:
            yield from ((batch.start, *part) for part in _parts(frames, start, rows[batch.start]))
            continue
        data = frames.read(start, size)
        for index in batch:
            at = int(form.rows_at[index]) - start
            numbers = aligned(data[:, at : at + _size(form, index)]).view(np.float32)
            yield index, 0, numbers.reshape(len(data), len(rows[index].channels), rows[index].units)


def _batches(form: SnapshotFormat) -> Iterator[range]:
    """Rows that are read together: several short ones, or one however long it is."""
    begin = 0
    for index in range(len(form.layout.rows)):
        end = int(form.rows_at[index]) + _size(form, index)
        if index > begin and end - form.rows_at[begin] > _MOST:
            yield range(begin, index)
            begin = index
    if form.layout.rows:
        yield range(begin, len(form.layout.rows))


def _parts(frames: Frames, start: int, row: Row) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """A long row, some units at a time."""
    channels = len(row.channels)
    step = max(1, _MOST // (4 * channels))
    for begin in range(0, row.units, step):
        size = 4 * min(step, row.units - begin)
        parts = [aligned(frames.read(start + 4 * (row.units * channel + begin), size)) for channel in range(channels)]
        yield begin, np.stack(parts, axis=1).view(np.float32)


def _size(form: SnapshotFormat, row: int) -> int:
    return 4 * len(form.layout.rows[row].channels) * form.layout.rows[row].units


@compiled
def _derive(numbers: NDArray[np.float32], place: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.float32]:
    """Statistics ``wanted`` (of `DERIVED`) ``(frames, wanted, units)`` of stored ``(frames, channels, units)``.

    The arithmetic of `dgm_tb.moments.derive`, a statistic at a time so that several units are done at once.
    """
    frames, _, units = numbers.shape
    none = np.float32(np.nan)
    out = np.empty((frames, wanted.size, units), np.float32)
    for frame in range(frames):
        table = numbers[frame]
        count = table[place[COUNT]]
        for index in range(wanted.size):
            values = out[frame, index]
            if wanted[index] == _STD:
                m2, nonfinite = table[place[M2]], table[place[NONFINITE]]
                for unit in range(units):
                    variance = m2[unit] / (count[unit] - nonfinite[unit])
                    values[unit] = np.sqrt(variance) if count[unit] > 0 else none
            elif wanted[index] == _ZERO_FRACTION:
                zeros = table[place[ZEROS]]
                for unit in range(units):
                    values[unit] = zeros[unit] / count[unit] if count[unit] > 0 else none
            else:
                stored = table[place[_PLAIN[wanted[index]]]]
                for unit in range(units):
                    values[unit] = stored[unit] if count[unit] > 0 else none
    return out


@compiled
def roll(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(statistics, ROLLS, units)`` of ``values`` ``(frames, statistics, units)``, over frames that are finite."""
    frames, statistics, units = values.shape
    out = np.empty((statistics, 4, units), np.float32)
    for statistic in range(statistics):
        for unit in range(units):
            least, greatest = np.float32(np.inf), np.float32(-np.inf)
            total, seen = 0.0, 0
            for frame in range(frames):
                value = values[frame, statistic, unit]
                if np.isfinite(value):
                    least, greatest = min(least, value), max(greatest, value)
                    total += value
                    seen += 1
            none = seen == 0
            out[statistic, LEAST, unit] = np.float32(np.nan) if none else least
            out[statistic, GREATEST, unit] = np.float32(np.nan) if none else greatest
            out[statistic, MEAN, unit] = np.float32(np.nan) if none else total / seen
            out[statistic, SEEN, unit] = seen
    return out


@compiled
def join(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """As `roll` of the snapshots behind ``points`` ``(frames, statistics, ROLLS, units)``, but for rounded means."""
    frames, statistics, _, units = points.shape
    out = np.empty((statistics, 4, units), np.float32)
    for statistic in range(statistics):
        for unit in range(units):
            least, greatest = np.float32(np.inf), np.float32(-np.inf)
            total, seen = 0.0, 0.0
            for frame in range(frames):
                weight = np.float64(points[frame, statistic, SEEN, unit])
                if weight > 0:
                    least = min(least, points[frame, statistic, LEAST, unit])
                    greatest = max(greatest, points[frame, statistic, GREATEST, unit])
                    total += weight * points[frame, statistic, MEAN, unit]
                    seen += weight
            none = seen == 0
            out[statistic, LEAST, unit] = np.float32(np.nan) if none else least
            out[statistic, GREATEST, unit] = np.float32(np.nan) if none else greatest
            out[statistic, MEAN, unit] = np.float32(np.nan) if none else total / seen
            out[statistic, SEEN, unit] = seen
    return out
