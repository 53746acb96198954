"""Moments of a unit's values: the statistics that are stored, what they merge to and what they derive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
#: The stored statistics from which each derived one follows: a row that is restricted to fewer stores these.
SOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    "mean": ("count", "mean"),
    "std": ("count", "m2", "nonfinite"),
    "min": ("count", "min"),
    "max": ("count", "max"),
    "zero_fraction": ("count", "zeros"),
    "nonfinite": ("count", "nonfinite"),
}
#: How a unit statistic is reduced over a layer's units; axis 1 of a snapshot's ``aggregates``. ``change`` is the root
#: mean square of the units' differences from their latest recorded value before: the mean of a layer whose units
#: jump to both sides stays where it was, its change does not.
REDUCTIONS: Final = ("mean", "min", "max", "change")


def sources(statistic: str) -> tuple[str, ...]:
    """The stored statistics that `derive` needs for one of `STATISTICS` or `DERIVED`."""
    return SOURCES.get(statistic) or tuple(dict.fromkeys(("count", statistic)))


def derive(rows: FloatArray, statistic: str, statistics: Sequence[str] = STATISTICS) -> FloatArray:
    """One statistic of stored rows ``(statistics, ...)`` as an array ``(...)``; NaN where nothing was counted.

    ``statistics`` are those that ``rows`` hold, at least `sources` of it.
    ``statistic`` is a name of `STATISTICS` or `DERIVED`; ``std`` is the population standard deviation in the
    quantity's own unit, ``zero_fraction`` lies in [0, 1].
    """
    place = statistics.index
    count = rows[place("count")]
    seen = count > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        if statistic == "std":
            value = np.sqrt(rows[place("m2")] / (count - rows[place("nonfinite")]))
        elif statistic == "zero_fraction":
            value = rows[place("zeros")] / count
        else:
            value = rows[place(statistic)]
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
    values: NDArray[np.float32],
    starts: NDArray[np.int64],
    before: NDArray[np.float32] | None = None,
    places: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """`aggregate` of every row of a snapshot at once: ``(rows, DERIVED, REDUCTIONS)``.

    ``values`` is flat float32, ``starts`` ``(rows + 1,)`` as in `dgm_tb.records.Layout.starts`: row *i* is
    ``values[starts[i]:starts[i + 1]]``, ``[statistics, units]``. ``before`` is the like of an earlier layout, of which
    this one is a continuation. Rows restricted to some statistics say in ``places`` ``(rows, STATISTICS)`` which of
    their channels each is (`dgm_tb.records.Layout.places`); what does not follow from those is NaN. Equal to
    `aggregate` up to the rounding of the sums.
    """
    rows = len(starts) - 1
    if places is None:
        places = np.tile(np.arange(len(STATISTICS)), (rows, 1))
    out = np.empty((rows, len(DERIVED), len(REDUCTIONS)), np.float32)
    earlier = np.empty(0, np.float32) if before is None else np.ascontiguousarray(before, np.float32)
    _aggregate_rows(
        np.ascontiguousarray(values, np.float32),
        earlier,
        np.ascontiguousarray(starts, np.int64),
        np.ascontiguousarray(places, np.int64),
        out,
    )
    return out


@compiled
def _stored(table: NDArray[np.float32], place: int, unit: int) -> np.float32:
    """Channel ``place`` of a unit in ``table`` ``(channels, units)``; NaN for -1, which is not stored."""
    value: np.float32 = table[place, unit] if place >= 0 else np.float32(np.nan)
    return value


@compiled
def _derived(
    table: NDArray[np.float32], place: NDArray[np.int64], unit: int
) -> tuple[np.float32, np.float32, np.float32, np.float32, np.float32, np.float32]:
    """A counted unit's statistics in the order of `DERIVED`; ``place`` ``(STATISTICS,)`` as in `_stored`."""
    count, nonfinite = table[place[COUNT], unit], _stored(table, place[NONFINITE], unit)
    return (
        _stored(table, place[MEAN], unit),
        np.sqrt(_stored(table, place[M2], unit) / (count - nonfinite)),
        _stored(table, place[MIN], unit),
        _stored(table, place[MAX], unit),
        _stored(table, place[ZEROS], unit) / count,
        nonfinite,
    )  # fmt: skip


@compiled
def _aggregate_rows(
    values: NDArray[np.float32],
    before: NDArray[np.float32],
    starts: NDArray[np.int64],
    places: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    kinds, none = len(DERIVED), np.float32(np.nan)
    for row in range(len(starts) - 1):
        place = places[row]
        channels = np.count_nonzero(place >= 0)
        table = values[starts[row] : starts[row + 1]].reshape(channels, -1)
        known = starts[row + 1] <= len(before)
        earlier = before[starts[row] : starts[row + 1]].reshape(channels, -1) if known else table
        total, seen = np.zeros(kinds), np.zeros(kinds, np.int64)
        squares, pairs = np.zeros(kinds), np.zeros(kinds, np.int64)
        low, high = np.full(kinds, np.float32(np.inf)), np.full(kinds, np.float32(-np.inf))
        for unit in range(table.shape[1]):
            if not table[place[COUNT], unit] > 0:
                continue
            now = _derived(table, place, unit)
            for index in range(kinds):
                value = now[index]
                if np.isfinite(value):
                    total[index] += value
                    seen[index] += 1
                    low[index] = min(low[index], value)
                    high[index] = max(high[index], value)
            if known and earlier[place[COUNT], unit] > 0:
                then = _derived(earlier, place, unit)
                for index in range(kinds):
                    change = np.float64(now[index]) - np.float64(then[index])
                    if np.isfinite(change):
                        squares[index] += change * change
                        pairs[index] += 1
        for index in range(kinds):
            out[row, index, 0] = total[index] / seen[index] if seen[index] else none
            out[row, index, 1] = low[index] if seen[index] else none
            out[row, index, 2] = high[index] if seen[index] else none
            out[row, index, 3] = np.sqrt(squares[index] / pairs[index]) if pairs[index] else none
