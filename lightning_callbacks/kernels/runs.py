"""One unit at a time, run by run of neighbouring values: for weights and large feature maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from dgm_tb.compiled import compiled
from lightning_callbacks.kernels.ahead import fetch
from lightning_callbacks.kernels.ordered import floating, ordered
from lightning_callbacks.kernels.unit import read_carefully, store

P = ParamSpec("P")
R = TypeVar("R")

#: A run is summed by at least 8 vector lanes, so this is 512 additions to each: relative error 3e-5 at worst.
CHUNK: Final = 4096
#: So many values, fewer only in shorter runs, say from where a unit's deviations are taken.
FIRST: Final = 32


def reassociated(function: Callable[P, R]) -> Callable[P, R]:
    """`compiled`, with sums in any order, so that they vectorise; NaN and infinity keep their meaning."""
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "nsz", "contract"}}
    try:
        kernel = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # as in `compiled`: nowhere to keep the machine code
        kernel = numba.njit(**options)(function)
    return cast("Callable[P, R]", kernel)


@compiled
def reduce_runs(cube: NDArray[np.floating], per_sample: int, out: NDArray[np.float32]) -> None:
    outer, units, inner = cube.shape
    for unit in range(units):
        shift = mean_of(cube[0, unit, :FIRST])
        drift, square, zeros, sample = 0.0, 0.0, 0.0, -1
        low, high, extreme = np.inf, -np.inf, -1.0
        for o in range(outer):
            if o + 1 < outer:
                fetch(cube[o + 1, unit, :CHUNK])
            elif unit + 1 < units:
                fetch(cube[0, unit + 1, :CHUNK])
            for start in range(0, inner, CHUNK):
                moved, squared, none, least, greatest = _read(cube[o, unit, start : start + CHUNK], shift)
                drift, square, zeros = drift + moved, square + squared, zeros + none
                low, high = min(low, floating(least)), max(high, floating(greatest))
                if per_sample and max(-floating(least), floating(greatest)) > extreme:
                    extreme, sample = max(-floating(least), floating(greatest)), o // per_sample
        if not store(out, unit, outer * inner, shift, drift, square, low, high, zeros, sample):
            read_carefully(cube, unit, per_sample, out, unit)


@reassociated
def mean_of(run: NDArray[np.floating]) -> float:
    """In the values' own precision, since the deviations from it are."""
    total = np.float64(0)
    for c in range(run.size):
        total += run[c]
    mean: float = run.dtype.type(total / run.size)
    return mean


@reassociated
def _read(run: NDArray[np.floating], shift: float) -> tuple[float, float, float, int, int]:
    """Sum of the deviations from ``shift``, of their squares, how many are zero, the least and the greatest."""
    one, none = run.dtype.type(1), run.dtype.type(0)
    drift, square, zeros = none, none, none
    low = high = ordered(run[0])
    for c in range(run.size):
        value = run[c]
        delta = value - shift
        drift += delta
        square += delta * delta
        zeros += one if value == none else none
        key = ordered(value)
        low = key if key < low else low
        high = key if key > high else high
    return drift, square, zeros, low, high
