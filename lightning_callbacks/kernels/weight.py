"""A weight read once around an optimizer's step: while it is copied before it, and against the copy after it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dgm_tb.compiled import compiled
from lightning_callbacks.kernels.ahead import fetch
from lightning_callbacks.kernels.ordered import floating, ordered
from lightning_callbacks.kernels.runs import CHUNK, FIRST, mean_of, reassociated
from lightning_callbacks.kernels.unit import read_carefully, store


@compiled
def keep(rows: NDArray[np.floating], kept: NDArray[np.floating], out: NDArray[np.float32]) -> None:
    """The statistics of ``rows`` ``(units, inner)``, which are copied to ``kept``."""
    units, inner = rows.shape
    for unit in range(units):
        if unit + 1 < units:
            fetch(rows[unit + 1, :CHUNK])
            fetch(kept[unit + 1, :CHUNK])
        shift = mean_of(rows[unit, :FIRST])
        drift, square, zeros, low, high = 0.0, 0.0, 0.0, np.inf, -np.inf
        for start in range(0, inner, CHUNK):
            run, copy = rows[unit, start : start + CHUNK], kept[unit, start : start + CHUNK]
            moved, squared, none, least, greatest = _copy(run, copy, shift)
            drift, square, zeros = drift + moved, square + squared, zeros + none
            low, high = min(low, floating(least)), max(high, floating(greatest))
        if not store(out, unit, inner, shift, drift, square, low, high, zeros, -1):
            # np.int64(0): of a literal 0 numba would compile what is called once more.
            read_carefully(rows.reshape(1, units, inner), unit, np.int64(0), out, unit)


@compiled
def change_of(after: NDArray[np.floating], before: NDArray[np.floating], out: NDArray[np.float32]) -> None:
    """The statistics of ``after - before``, both ``(units, inner)``."""
    units, inner = after.shape
    for unit in range(units):
        if unit + 1 < units:
            fetch(after[unit + 1, :CHUNK])
            fetch(before[unit + 1, :CHUNK])
        shift = mean_of(after[unit, :FIRST] - before[unit, :FIRST])
        drift, square, zeros, low, high = 0.0, 0.0, 0.0, np.inf, -np.inf
        for start in range(0, inner, CHUNK):
            stop = start + CHUNK
            moved, squared, none, least, greatest = _subtract(after[unit, start:stop], before[unit, start:stop], shift)
            drift, square, zeros = drift + moved, square + squared, zeros + none
            low, high = min(low, floating(least)), max(high, floating(greatest))
        if not store(out, unit, inner, shift, drift, square, low, high, zeros, -1):
            change = (after[unit] - before[unit]).reshape(1, 1, inner)
            read_carefully(change, np.int64(0), np.int64(0), out, unit)


@reassociated
def _copy(run: NDArray[np.floating], kept: NDArray[np.floating], shift: float) -> tuple[float, float, float, int, int]:
    """As `runs` reads a run."""
    one, none = run.dtype.type(1), run.dtype.type(0)
    drift, square, zeros = none, none, none
    low = high = ordered(run[0])
    for c in range(run.size):
        value = run[c]
        kept[c] = value
        delta = value - shift
        drift += delta
        square += delta * delta
        zeros += one if value == none else none
        key = ordered(value)
        low = key if key < low else low
        high = key if key > high else high
    return drift, square, zeros, low, high


@reassociated
def _subtract(
    after: NDArray[np.floating], before: NDArray[np.floating], shift: float
) -> tuple[float, float, float, int, int]:
    """As `runs` reads a run, of the differences."""
    one, none = after.dtype.type(1), after.dtype.type(0)
    drift, square, zeros = none, none, none
    low = high = ordered(after[0] - before[0])
    for c in range(after.size):
        value = after[c] - before[c]
        delta = value - shift
        drift += delta
        square += delta * delta
        zeros += one if value == none else none
        key = ordered(value)
        low = key if key < low else low
        high = key if key > high else high
    return drift, square, zeros, low, high
