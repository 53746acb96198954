"""Several ranks' numbers of the same steps as one (pure)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.moments import COUNT, NONFINITE, STATISTICS, ZEROS, merge

Floats = NDArray[np.float32]


def merged(parts: Sequence[Floats]) -> Floats:
    """Moments ``(STATISTICS, …)`` of all ranks.

    A row that was restricted to some statistics has NaN for the others. The ranks' means are then weighted by what was
    counted, finite or not: how much of it was finite is not known.
    """
    out = _known(parts[0])
    for part in parts[1:]:
        out = merge(out, _known(part))
    for place in range(len(STATISTICS)):
        unknown = np.logical_or.reduce([np.isnan(part[place]) & (part[COUNT] > 0) for part in parts])
        if place in (ZEROS, NONFINITE) and unknown.any():
            out[place][unknown] = np.nan
    return out


def _known(part: Floats) -> Floats:
    unknown = np.isnan(part[[ZEROS, NONFINITE]])
    if not unknown.any():
        return part
    part = part.copy()
    for place in (ZEROS, NONFINITE):
        part[place][np.isnan(part[place])] = 0
    return part


def single(values: Floats, rolls: Sequence[str]) -> Floats:
    """``values`` ``(points, …)`` of single snapshots, rolled up: ``(rolls, points, …)``."""
    finite = np.isfinite(values)
    kept = np.where(finite, values, np.float32(np.nan))
    return np.stack([finite.astype(np.float32) if roll == "seen" else kept for roll in rolls])


def merged_rolls(parts: Sequence[Floats], rolls: Sequence[str]) -> Floats:
    """Rolled-up numbers ``(rolls, points, …)`` of all ranks.

    ``min`` and ``max`` are the least and greatest of any rank, ``mean`` is weighted by how many snapshots each rank has
    ``seen``. So it is the mean of the ranks' own means, not that of what is merged of their moments at each step.
    """
    if len(parts) == 1:
        return parts[0]
    stacked = np.stack(parts, axis=1)
    return _reduced(stacked, rolls, lambda function, values: function.reduce(values, axis=0))


def together(values: Floats, rolls: Sequence[str], starts: NDArray[np.int64]) -> Floats:
    """Rolled-up numbers ``(rolls, points, …)`` of neighbouring points as one, from each of ``starts`` on."""
    if len(starts) == 1:  # several times as fast
        return _reduced(values, rolls, lambda function, of: function.reduce(of, axis=0, keepdims=True))
    return _reduced(values, rolls, lambda function, of: function.reduceat(of, starts, axis=0))


_FUNCTIONS: Final[Mapping[str, np.ufunc]] = {"min": np.fmin, "max": np.fmax, "seen": np.add}


def _reduced(values: Floats, rolls: Sequence[str], reduce: Callable[[np.ufunc, Floats], Floats]) -> Floats:
    out = []
    for index, roll in enumerate(rolls):
        if roll == "mean":
            seen = values[rolls.index("seen")].astype(np.float64)
            weight = reduce(np.add, seen)
            total = reduce(np.add, np.where(seen > 0, values[index], 0) * seen)
            with np.errstate(invalid="ignore", divide="ignore"):
                out.append((total / weight).astype(np.float32))
        else:
            out.append(reduce(_FUNCTIONS[roll], values[index]))
    return np.stack(out)
