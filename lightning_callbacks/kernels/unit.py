"""From one unit's sums to its statistics; and the unit read again where its sums cannot be trusted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dgm_tb.compiled import compiled
from dgm_tb.moments import ARGMAX_SAMPLE, COUNT, M2, MAX, MEAN, MIN, NONFINITE, ZEROS


@compiled
def store(
    out: NDArray[np.float32],
    unit: int,
    count: int,
    shift: float,
    drift: float,
    square: float,
    low: float,
    high: float,
    zeros: float,
    sample: int,
) -> bool:
    """Fills the unit's column of ``out``; whether its sums can be trusted, else it must be read again, carefully.

    ``drift`` and ``square`` are the sums of the deviations from ``shift`` and of their squares. They can where no
    non-finite value met them (with NaN no comparison holds), and the shift lay not so far from the mean that their
    difference has lost its digits: the rounding of float32 sums, about 1e-6, is amplified by drift² / (count · m2),
    so by 256 at most.
    """
    moved = drift * drift / count
    out[COUNT, unit] = count
    out[MEAN, unit] = shift + drift / count
    out[M2, unit] = max(square - moved, 0.0)
    out[MIN, unit] = low
    out[MAX, unit] = high
    out[ZEROS, unit] = zeros
    out[NONFINITE, unit] = 0
    out[ARGMAX_SAMPLE, unit] = sample
    return bool(moved <= 256 * (square - moved) or moved == 0)


@compiled
def read_carefully(
    cube: NDArray[np.floating], unit: int, per_sample: int, out: NDArray[np.float32], place: int
) -> None:
    """One unit in float64, value by value, non-finite ones set aside, into column ``place`` of ``out``."""
    outer, inner = cube.shape[0], cube.shape[2]
    total, zeros, seen, sample, extreme = 0.0, 0, 0, -1, -1.0
    low, high = np.inf, -np.inf
    for o in range(outer):
        for i in range(inner):
            value = np.float64(cube[o, unit, i])
            if np.isfinite(value):
                seen += 1
                total += value
                zeros += value == 0
                low, high = min(low, value), max(high, value)
                if per_sample and abs(value) > extreme:
                    extreme, sample = abs(value), o // per_sample
    mean = total / seen
    square = 0.0
    for o in range(outer):
        for i in range(inner):
            value = np.float64(cube[o, unit, i])
            if np.isfinite(value):
                square += (value - mean) ** 2
    none = seen == 0
    out[COUNT, place] = outer * inner
    out[MEAN, place] = mean
    out[M2, place] = np.nan if none else square
    out[MIN, place] = np.nan if none else low
    out[MAX, place] = np.nan if none else high
    out[ZEROS, place] = zeros
    out[NONFINITE, place] = outer * inner - seen
    out[ARGMAX_SAMPLE, place] = sample
