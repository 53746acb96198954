"""Many units at a time, row by row: for units that lie next to each other."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.compiled import compiled
from lightning_callbacks.kernels.unit import read_carefully, store

#: Accumulators of so many columns (8 arrays of 4 KB) stay in the first-level cache.
TILE: Final = 1024
#: So many additions at most go into one float32 accumulator before it is emptied into a float64: relative error 3e-5
#: at worst, about 1e-6 in practice.
BLOCK: Final = 512


@compiled
def reduce_columns(cube: NDArray[np.floating], per_sample: int, out: NDArray[np.float32]) -> None:
    """Rows of ``units · inner`` columns, a tile of whole units at a time."""
    outer, units, inner = cube.shape
    rows = cube.reshape(outer, units * inner)
    tile = min(max(TILE // inner, 1), units)
    size = tile * inner
    part, part_square, shift = np.zeros(size, rows.dtype), np.zeros(size, rows.dtype), np.empty(size, rows.dtype)
    zeros, best, where = np.empty(size, rows.dtype), np.empty(size, rows.dtype), np.empty(size, np.int32)
    low, high = np.empty(size, rows.dtype), np.empty(size, rows.dtype)
    drift, square = np.empty(size), np.empty(size)
    for first in range(0, units, tile):
        last = min(first + tile, units)
        begin, end = first * inner, last * inner
        width = end - begin
        for c in range(width):
            zeros[c], best[c], where[c], low[c], high[c], drift[c], square[c] = 0, -1, -1, np.inf, -np.inf, 0, 0
        _set_shift(rows[0, begin:end], inner, shift)
        r = 0
        while r < outer:
            # Four rows at once: the accumulators are then read and written a quarter as often.
            if r + 4 <= outer:
                four = rows[r, begin:end], rows[r + 1, begin:end], rows[r + 2, begin:end], rows[r + 3, begin:end]
                _add_four(*four, shift, part, part_square, low, high, zeros)
                if per_sample:
                    _locate_four(*four, r, best, where)
                r += 4
            else:
                _add_one(rows[r, begin:end], shift, part, part_square, low, high, zeros)
                if per_sample:
                    _locate_one(rows[r, begin:end], r, best, where)
                r += 1
            if r % BLOCK == 0 or r == outer:
                _empty_into(part, drift)
                _empty_into(part_square, square)
        for unit in range(first, last):
            c = (unit - first) * inner
            for other in range(c + 1, c + inner):  # the unit's other columns, into its first
                drift[c] += drift[other]
                square[c] += square[other]
                zeros[c] += zeros[other]
                low[c], high[c] = min(low[c], low[other]), max(high[c], high[other])
                if best[other] > best[c] or (best[other] == best[c] and where[other] < where[c]):
                    best[c], where[c] = best[other], where[other]
            sample = where[c] // per_sample if per_sample else -1
            count = outer * inner
            if not store(out, unit, count, shift[c], drift[c], square[c], low[c], high[c], zeros[c], sample):
                read_carefully(cube, unit, per_sample, out, unit)


@compiled
def _set_shift(row: NDArray[np.floating], inner: int, shift: NDArray[np.floating]) -> None:
    """Each unit's mean over one row, for all its columns."""
    for unit in range(0, row.size, inner):
        mean = np.float64(0)
        for c in range(unit, unit + inner):
            mean += row[c]
        for c in range(unit, unit + inner):
            shift[c] = mean / inner


@compiled
def _add_four(
    row0: NDArray[np.floating],
    row1: NDArray[np.floating],
    row2: NDArray[np.floating],
    row3: NDArray[np.floating],
    shift: NDArray[np.floating],
    drift: NDArray[np.floating],
    square: NDArray[np.floating],
    low: NDArray[np.floating],
    high: NDArray[np.floating],
    zeros: NDArray[np.floating],
) -> None:
    one, none = row0.dtype.type(1), row0.dtype.type(0)
    for c in range(row0.size):
        v0, v1, v2, v3 = row0[c], row1[c], row2[c], row3[c]
        d0, d1, d2, d3 = v0 - shift[c], v1 - shift[c], v2 - shift[c], v3 - shift[c]
        drift[c] += (d0 + d1) + (d2 + d3)
        square[c] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)
        low01, low23 = v1 if v1 < v0 else v0, v3 if v3 < v2 else v2
        least = low23 if low23 < low01 else low01
        low[c] = least if least < low[c] else low[c]
        high01, high23 = v1 if v1 > v0 else v0, v3 if v3 > v2 else v2
        greatest = high23 if high23 > high01 else high01
        high[c] = greatest if greatest > high[c] else high[c]
        zeros01 = (one if v0 == none else none) + (one if v1 == none else none)
        zeros[c] += zeros01 + (one if v2 == none else none) + (one if v3 == none else none)


@compiled
def _add_one(
    row: NDArray[np.floating],
    shift: NDArray[np.floating],
    drift: NDArray[np.floating],
    square: NDArray[np.floating],
    low: NDArray[np.floating],
    high: NDArray[np.floating],
    zeros: NDArray[np.floating],
) -> None:
    one, none = row.dtype.type(1), row.dtype.type(0)
    for c in range(row.size):
        value = row[c]
        delta = value - shift[c]
        drift[c] += delta
        square[c] += delta * delta
        low[c] = value if value < low[c] else low[c]
        high[c] = value if value > high[c] else high[c]
        zeros[c] += one if value == none else none


@compiled
def _locate_four(
    row0: NDArray[np.floating],
    row1: NDArray[np.floating],
    row2: NDArray[np.floating],
    row3: NDArray[np.floating],
    first: int,
    best: NDArray[np.floating],
    where: NDArray[np.int32],
) -> None:
    r0, r1, r2, r3 = np.int32(first), np.int32(first + 1), np.int32(first + 2), np.int32(first + 3)
    for c in range(row0.size):
        v0, v1, v2, v3 = abs(row0[c]), abs(row1[c]), abs(row2[c]), abs(row3[c])
        size01, row01 = v1 if v1 > v0 else v0, r1 if v1 > v0 else r0
        size23, row23 = v3 if v3 > v2 else v2, r3 if v3 > v2 else r2
        size, row = size23 if size23 > size01 else size01, row23 if size23 > size01 else row01
        where[c] = row if size > best[c] else where[c]
        best[c] = size if size > best[c] else best[c]


@compiled
def _locate_one(row: NDArray[np.floating], r: int, best: NDArray[np.floating], where: NDArray[np.int32]) -> None:
    here = np.int32(r)
    for c in range(row.size):
        size = abs(row[c])
        where[c] = here if size > best[c] else where[c]
        best[c] = size if size > best[c] else best[c]


@compiled
def _empty_into(part: NDArray[np.floating], total: NDArray[np.float64]) -> None:
    for c in range(part.size):
        total[c] += part[c]
        part[c] = 0
