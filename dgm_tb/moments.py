"""Moments of a unit's values: the statistics that are stored, what they merge to and what they derive."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dgm_tb.compiled import compiled

FloatArray: TypeAlias = NDArray[np.floating]

#: The statistics of every stored row, in their fixed order: axis 0 of every ``[statistics, units]`` tensor.
#: ``mean``, ``m2`` (sum of squared deviations), ``min`` and ``max`` are over *finite* values and NaN where there is
#: none; ``count`` is what was seen, finite or not; ``argmax_sample`` is the batch position of the largest finite
#: |value| (-1 where the quantity has no batch axis).
STATISTICS: Final = ("count", "mean", "m2", "min", "max", "zeros", "nonfinite", "argmax_sample")
COUNT, MEAN, M2, MIN, MAX, ZEROS, NONFINITE, ARGMAX_SAMPLE = range(len(STATISTICS))

#: What a reader may ask for: statistics that stand for themselves or follow from the stored ones.
DERIVED: Final = ("mean", "std", "min", "max", "zero_fraction", "nonfinite")
#: How a unit statistic is reduced over a layer's units; axis 1 of a snapshot's ``aggregates``. ``change`` is the root
#: mean square of the units' differences from their latest recorded value before: the mean of a layer whose units
#: jump to both sides stays where it was, its change does not.
REDUCTIONS: Final = ("mean", "min", "max", "change")


def derive(rows: FloatArray, statistic: str) -> FloatArray:
    """One statistic of stored rows ``(statistics, ...)`` as an array ``(...)``; NaN where nothing was counted.

    ``statistic`` is a name of `STATISTICS` or `DERIVED`; ``std`` is the population standard deviation in the
    quantity's own unit, ``zero_fraction`` lies in [0, 1].
    """
    count = rows[COUNT]
    seen = count > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        if statistic == "std":
            value = np.sqrt(rows[M2] / (count - rows[NONFINITE]))
        elif statistic == "zero_fraction":
            value = rows[ZEROS] / count
        else:
            value = rows[STATISTICS.index(statistic)]
    return np.where(seen, value, np.nan).astype(rows.dtype, copy=False)


def merge(first: FloatArray, second: FloatArray) -> FloatArray:
    """Moments ``(statistics, units)`` of two disjoint sets of values, merged exactly.

    Source: Chan, Golub, LeVeque 1979, *Updating formulae and a pairwise algorithm for computing sample variances*.
    ``argmax_sample`` is taken from the part with the larger |extreme|.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    finite_a, finite_b = a[COUNT] - a[NONFINITE], b[COUNT] - b[NONFINITE]
    total = finite_a + finite_b
    # A part without finite values has NaN moments; it must not poison the other.
    mean_a, mean_b = np.where(finite_a > 0, a[MEAN], 0.0), np.where(finite_b > 0, b[MEAN], 0.0)
    m2_a, m2_b = np.where(finite_a > 0, a[M2], 0.0), np.where(finite_b > 0, b[M2], 0.0)
    out = np.empty_like(a)
    delta = mean_b - mean_a
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = mean_a + delta * finite_b / total
        m2 = m2_a + m2_b + delta**2 * finite_a * finite_b / total
    out[COUNT] = a[COUNT] + b[COUNT]
    out[MEAN] = np.where(total > 0, mean, np.nan)
    out[M2] = np.where(total > 0, m2, np.nan)
    out[MIN] = np.fmin(a[MIN], b[MIN])
    out[MAX] = np.fmax(a[MAX], b[MAX])
    out[ZEROS] = a[ZEROS] + b[ZEROS]
    out[NONFINITE] = a[NONFINITE] + b[NONFINITE]
    extreme_a = np.fmax(np.abs(a[MIN]), np.abs(a[MAX]))
    extreme_b = np.fmax(np.abs(b[MIN]), np.abs(b[MAX]))
    out[ARGMAX_SAMPLE] = np.where(
        np.nan_to_num(extreme_b, nan=-1.0) > np.nan_to_num(extreme_a, nan=-1.0), b[ARGMAX_SAMPLE], a[ARGMAX_SAMPLE]
    )
    return out.astype(first.dtype, copy=False)


def absent(units: int) -> NDArray[np.float32]:
    """The row ``(statistics, units)`` of a node that was not called: count 0, moments NaN, no sample."""
    row = np.zeros((len(STATISTICS), units), np.float32)
    row[[MEAN, M2, MIN, MAX]] = np.nan
    row[ARGMAX_SAMPLE] = -1
    return row


def aggregate(row: FloatArray, before: FloatArray | None = None) -> NDArray[np.float32]:
    """A layer's summary ``(DERIVED, REDUCTIONS)`` of one row ``(statistics, units)``.

    Only units whose statistic is finite count, for the change only those that were so in ``before`` too. The mean over
    units is weighted equally; NaN where no unit counts. ``nonfinite`` is reduced likewise, so its mean times the number
    of units is the layer's count.
    """
    out = np.full((len(DERIVED), len(REDUCTIONS)), np.nan, np.float32)
    for index, statistic in enumerate(DERIVED):
        values = derive(row, statistic)
        finite = values[np.isfinite(values)]
        if finite.size:
            out[index, :3] = finite.mean(dtype=np.float64), finite.min(), finite.max()
        if before is not None:
            change = values.astype(np.float64) - derive(before, statistic)
            finite = change[np.isfinite(change)]
            if finite.size:
                out[index, 3] = np.sqrt((finite**2).mean())
    return out


def aggregate_rows(
    values: NDArray[np.float32], starts: NDArray[np.int64], before: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """`aggregate` of every row of a snapshot at once: ``(rows, DERIVED, REDUCTIONS)``.

    ``values`` is flat float32, ``starts`` ``(rows + 1,)`` as in `dgm_tb.records.Layout.starts`: row *i* is
    ``values[starts[i]:starts[i + 1]]``, ``[statistics, units]``. ``before`` is the like of an earlier layout, of which
    this one is a continuation. Equal to `aggregate` up to the rounding of the sums.
    """
    out = np.empty((len(starts) - 1, len(DERIVED), len(REDUCTIONS)), np.float32)
    earlier = np.empty(0, np.float32) if before is None else np.ascontiguousarray(before, np.float32)
    _aggregate_rows(np.ascontiguousarray(values, np.float32), earlier, np.ascontiguousarray(starts, np.int64), out)
    return out


@compiled
def _derived(table: NDArray[np.float32], unit: int) -> tuple[float, float, float, float, float, float]:
    """A counted unit's statistics in the order of `DERIVED`."""
    count = table[COUNT, unit]
    return (
        table[MEAN, unit],
        np.sqrt(table[M2, unit] / (count - table[NONFINITE, unit])),
        table[MIN, unit],
        table[MAX, unit],
        table[ZEROS, unit] / count,
        table[NONFINITE, unit],
    )


@compiled
def _aggregate_rows(
    values: NDArray[np.float32], before: NDArray[np.float32], starts: NDArray[np.int64], out: NDArray[np.float32]
) -> None:
    derived, statistics, none = len(DERIVED), len(STATISTICS), np.float32(np.nan)
    for row in range(len(starts) - 1):
        table = values[starts[row] : starts[row + 1]].reshape(statistics, -1)
        known = starts[row + 1] <= len(before)
        earlier = before[starts[row] : starts[row + 1]].reshape(statistics, -1) if known else table
        total, seen = np.zeros(derived), np.zeros(derived, np.int64)
        squares, pairs = np.zeros(derived), np.zeros(derived, np.int64)
        low, high = np.full(derived, np.float32(np.inf)), np.full(derived, np.float32(-np.inf))
        for unit in range(table.shape[1]):
            if not table[COUNT, unit] > 0:
                continue
            now = _derived(table, unit)
            for index in range(derived):
                value = now[index]
                if np.isfinite(value):
                    total[index] += value
                    seen[index] += 1
                    low[index] = min(low[index], value)
                    high[index] = max(high[index], value)
            if known and earlier[COUNT, unit] > 0:
                then = _derived(earlier, unit)
                for index in range(derived):
                    change = np.float64(now[index]) - np.float64(then[index])
                    if np.isfinite(change):
                        squares[index] += change * change
                        pairs[index] += 1
        for index in range(derived):
            out[row, index, 0] = total[index] / seen[index] if seen[index] else none
            out[row, index, 1] = low[index] if seen[index] else none
            out[row, index, 2] = high[index] if seen[index] else none
            out[row, index, 3] = np.sqrt(squares[index] / pairs[index]) if pairs[index] else none
