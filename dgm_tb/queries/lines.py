"""A row's window or range as lines: one statistic of every unit of a layer, ready to be sampled or drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import UsageError
from dgm_tb.moments import derive, sources
from dgm_tb.queries.rows import find
from dgm_tb.queries.span import MOST_VALUES, Columns
from dgm_tb.records import RowKey
from dgm_tb.store.levels import Points
from dgm_tb.store.recent import Recent
from dgm_tb.store.run import Run

# What is read lies snapshot by snapshot, several statistics of it, and is turned: in pieces of 32 MiB, so that the
# widest layer's costs little more than its own size.
_PIECE: Final = 2**23
#: The widest layer: three columns of it are 96 MiB.
MOST_UNITS: Final = 2**23
#: Units that are turned at once; more would not stay in the processor's cache.
_TILE: Final = 512

_Found = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Lines:
    """``values`` float32 ``(units, c)``, NaN where the node was not called or a unit had no finite value.

    ``called`` ``(c,)``: whether the node was called at all; ``nonfinite`` ``(units,)``: whether the unit saw a
    non-finite value anywhere in it. ``row`` identifies the run's row and statistic, ``identity`` these very numbers.
    """

    key: RowKey
    columns: Columns
    values: NDArray[np.float32]
    called: NDArray[np.bool_]
    nonfinite: NDArray[np.bool_]
    row: tuple[object, ...]
    identity: tuple[object, ...]


# The sampled lines and the density beneath them are asked for one after the other, the m slider asks again. A
# quarter as much again is for the snapshots before the focus, of which scores are made.
_LINES: Final[Recent[tuple[object, ...], Lines]] = Recent(MOST_VALUES * 5 // 4)


def key_of(run: Run, node: str, quantity: str, program: str | None) -> RowKey:
    """The row that is asked for; UnknownNameError where there is none, UsageError where it is too wide."""
    key = find(run.keys, node, quantity, program)
    units = run.keys[key]
    if units > MOST_UNITS:  # a manifest may claim any number
        raise UsageError(f"node {node!r} has {units} units, more than the {MOST_UNITS} that fit in memory")
    return key


def read(run: Run, key: RowKey, statistic: str, columns: Columns, focus: int | None) -> Lines:
    """The lines of a row over ``columns``; ``focus`` is the step that the question is about."""
    units = run.keys[key]
    row = (run.directory, key, units, statistic)
    # The time of the last write is part of it: other ranks may still add to the newest snapshots.
    written = (
        (run.generation, run.last_wall_time, columns.level, len(columns.steps), *columns.steps[[0, -1]].tolist())
        if len(columns.steps)
        else ()
    )
    identity = (*row, *written, focus)
    lines = _LINES.get(identity)
    if lines is None:
        _LINES.spare(units * len(columns.steps))  # else a wide layer's old and new lines were in memory together
        lines = Lines(key, columns, *_read(run, key, statistic, columns, None), row, identity)
        _LINES.put(identity, lines, weight=lines.values.size)
    return lines


def some(
    run: Run, key: RowKey, statistic: str, columns: Columns, units: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A few ``units``' lines ``(units, c)``, and which of them saw a non-finite value ``(units,)``; not kept."""
    values, _, nonfinite = _read(run, key, statistic, columns, units)
    return values, nonfinite


def _read(run: Run, key: RowKey, statistic: str, columns: Columns, units: NDArray[np.int64] | None) -> _Found:
    if columns.points is not None:
        return _points(run, key, statistic, columns.points, units)
    if units is None:
        return _snapshots(run, key, statistic, columns)
    needed = _needed(statistic)
    rows = run.read(key, columns.positions, units=units, statistics=needed)
    called = (rows[needed.index("count")] > 0).any(axis=1)
    return derive(rows, statistic, needed).T, called, (rows[needed.index("nonfinite")] > 0).any(axis=0)


def _needed(statistic: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*sources(statistic), "count", "nonfinite")))


def _snapshots(run: Run, key: RowKey, statistic: str, columns: Columns) -> _Found:
    units = run.keys[key]
    values = np.empty((units, len(columns.steps)), np.float32)
    called = np.zeros(len(columns.steps), bool)
    nonfinite = np.zeros(units, bool)
    needed = _needed(statistic)
    for places, some, rows in run.pieces(key, columns.positions, needed, _PIECE):
        _turn(derive(rows, statistic, needed), values[some], places)
        called[places] |= (rows[needed.index("count")] > 0).any(axis=1)
        nonfinite[some] |= (rows[needed.index("nonfinite")] > 0).any(axis=0)
    return values, called, nonfinite


def _points(run: Run, key: RowKey, statistic: str, points: Points, units: NDArray[np.int64] | None) -> _Found:
    """Two columns a point: the least over its snapshots, the greatest."""
    count, width = len(points.first), run.keys[key] if units is None else len(units)
    values = np.empty((width, count, 2), np.float32)
    called = np.zeros(count, bool)
    nonfinite = np.zeros(width, bool)
    for piece in _pieces(count, 3 * width):
        part = points.between(piece.start, piece.stop)
        extremes = run.rolled(key, part, statistic, units, rolls=("min", "max"))
        for column, extreme in enumerate(extremes):
            _turn(extreme, values[:, :, column], np.arange(piece.start, piece.stop))
        broken = run.rolled(key, part, "nonfinite", units, rolls=("max",))[0]  # NaN where the node was not called
        # A row may have been restricted to statistics without it.
        called[piece] = (~np.isnan(broken)).any(axis=1) | (~np.isnan(extremes[0])).any(axis=1)
        nonfinite |= (broken > 0).any(axis=0)
    return values.reshape(width, 2 * count), np.repeat(called, 2), nonfinite


def _turn(rows: NDArray[np.floating], out: NDArray[np.float32], places: NDArray[np.int64]) -> None:
    """Puts ``rows`` ``(places, units)`` into ``places`` of ``out`` ``(units, snapshots)``, a tile at a time."""
    together = len(places) and places[-1] - places[0] + 1 == len(places)
    chosen = slice(int(places[0]), int(places[-1]) + 1) if together else places
    for start in range(0, len(out), _TILE):
        out[start : start + _TILE, chosen] = rows[:, start : start + _TILE].T


def _pieces(count: int, each: int) -> Iterator[slice]:
    size = max(1, _PIECE // max(1, each))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
