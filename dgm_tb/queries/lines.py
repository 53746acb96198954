"""A row's window as lines: one statistic of every unit of a layer, ready to be sampled or drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import UsageError
from dgm_tb.moments import COUNT, NONFINITE, STATISTICS, derive
from dgm_tb.queries.recent import Recent
from dgm_tb.queries.rows import find
from dgm_tb.queries.span import MOST_VALUES, Span, span
from dgm_tb.records import RowKey
from dgm_tb.store.run import Run

# A read returns all eight statistics of which two or three are used: pieces of 32 MiB, so that a wide layer's window
# costs its own size and not eight times that.
_PIECE: Final = 2**23


@dataclass(frozen=True, slots=True)
class Lines:
    """``values`` float32 ``(units, w)``, NaN where the node was not called or a unit had no finite value.

    ``called`` ``(w,)``: whether the node was called at all; ``nonfinite`` ``(units,)``: whether the unit saw a
    non-finite value in the window. ``row`` identifies the run's row and statistic, ``identity`` these very numbers.
    """

    key: RowKey
    part: Span
    values: NDArray[np.float32]
    called: NDArray[np.bool_]
    nonfinite: NDArray[np.bool_]
    row: tuple[object, ...]
    identity: tuple[object, ...]


# The sampled lines and the density beneath them are asked for one after the other, the m slider asks again.
_LINES: Final[Recent[tuple[object, ...], Lines]] = Recent(MOST_VALUES)


def read(
    run: Run, node: str, quantity: str, program: str | None, statistic: str, focus: int | None, window: int
) -> Lines:
    """The lines around ``focus``; UnknownNameError where there is no such row, UsageError where it is too wide."""
    key = find(run.keys, node, quantity, program)
    units = run.keys[key]
    if 3 * units > MOST_VALUES:  # the smallest window; a manifest may claim any number
        raise UsageError(f"node {node!r} has {units} units, more than the {MOST_VALUES // 3} that fit in memory")
    row = (run.directory, key, units, statistic)
    # The time of the last write is part of it: other ranks may still add to the newest snapshots.
    written = (run.generation, run.last_wall_time)
    part = span(run.steps, focus, window, units)
    identity = (*row, *written, part.positions.start, part.positions.stop, part.focus_step)
    lines = _LINES.get(identity)
    if lines is None:
        lines = Lines(key, part, *_values(run, key, units, part, statistic), row, identity)
        _LINES.put(identity, lines, weight=lines.values.size)
    return lines


def _values(
    run: Run, key: RowKey, units: int, part: Span, statistic: str
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    values = np.empty((units, len(part.steps)), np.float32)
    called = np.zeros(len(part.steps), bool)
    nonfinite = np.zeros(units, bool)
    for piece in _pieces(part.positions, units):
        rows = run.read(key, piece)
        here = slice(piece.start - part.positions.start, piece.stop - part.positions.start)
        values[:, here] = derive(rows, statistic).T
        called[here] = (rows[COUNT] > 0).any(axis=1)
        nonfinite |= (rows[NONFINITE] > 0).any(axis=0)
    return values, called, nonfinite


def _pieces(positions: slice, units: int) -> Iterator[slice]:
    size = max(1, _PIECE // (len(STATISTICS) * max(1, units)))
    for start in range(positions.start, positions.stop, size):
        yield slice(start, min(start + size, positions.stop))
