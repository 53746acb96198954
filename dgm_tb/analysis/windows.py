"""The snapshots around a focus, and how unusual the jump into the focus is."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

#: A median absolute deviation times this is the standard deviation of a normal distribution.
MAD_TO_STD: Final = 1.4826
#: From this robust z-score on a jump is extreme: Iglewicz and Hoaglin 1993, *How to detect and handle outliers*, label
#: values from 3.5 on.
EXTREME: Final = 3.5
#: Fewer earlier jumps than this say nothing about what is usual.
FEWEST_JUMPS: Final = 3
#: A change below this share of a row's own size is never unusual: it keeps rows at rest from scoring infinity. It lies
#: above the rounding of a float32 mean over a batch (1e-6) and below the noise of live weights (1e-3 a snapshot).
STILLNESS: Final = 1e-4
#: Values that `unit_scores` turns to float64 at once: 2 MiB, and some ten arrays like it, of any number of units.
_PIECE: Final = 2**18


def position(steps: NDArray[np.int64], focus: int) -> int:
    """Where the nearest snapshot at or before step ``focus`` stands in the ascending ``steps``; 0 if there is none."""
    return max(int(np.searchsorted(steps, focus, side="right")) - 1, 0)


def window(steps: NDArray[np.int64], focus: int, size: int) -> slice:
    """The positions of up to ``size`` snapshots on each side of the focus, cut at the ends of ``steps``."""
    centre = position(steps, focus)
    return slice(max(centre - size, 0), min(centre + size + 1, len(steps)))


def jump_scores(changes: NDArray[np.floating], sizes: NDArray[np.floating], focus: int) -> NDArray[np.float64]:
    """How unusual each row's change into column ``focus`` is: robust z-scores ``(rows,)``.

    ``changes`` ``(rows, snapshots)`` are magnitudes (`dgm_tb.moments.REDUCTIONS`), NaN where there is none; ``sizes``
    ``(rows,)`` of what changes. A row's change is compared with its own earlier ones, by their median and median
    absolute deviation: layers of different size compare, and what comes after the focus changes nothing. NaN where
    nothing can be said: without a change at the focus, or with fewer than `FEWEST_JUMPS` before it.
    """
    before = np.asarray(changes, np.float64)[:, : focus + 1]
    earlier = before[:, :-1]
    usual = _median(earlier, 1)
    spread = MAD_TO_STD * _median(np.abs(earlier - usual[:, None]), 1)
    scores = _z(before[:, -1], usual, spread, np.asarray(sizes, np.float64))
    scores[np.isfinite(earlier).sum(axis=1) < FEWEST_JUMPS] = np.nan
    return scores


def unit_scores(
    series: NDArray[np.floating], focus: int, recorded: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """How unusual each unit's jump into column ``focus`` is among all units of its layer: robust z-scores ``(units,)``.

    ``series`` is ``(units, snapshots)``. |Δ| is taken from the last finite value before and compared with that of the
    other units: a jump that the whole layer makes is no unit's own. +inf where a finite unit is not finite at the
    focus; NaN where it was never finite before, or already was not in its snapshot before. ``recorded`` (like
    ``series``) is False where there is no value at all: such a snapshot is passed over, and at the focus it gives NaN.
    """
    jumps, sizes, known = np.empty((3, len(series)), np.float64)
    together = max(1, _PIECE // (focus + 1))
    for start in range(0, len(series), together):
        piece = slice(start, start + together)
        before = np.asarray(series[piece, : focus + 1], np.float64)
        jumps[piece], sizes[piece] = _jump(before), _size(before)
        known[piece] = _broken(before, None if recorded is None else recorded[piece])
    usual = _median(jumps, 0)
    scores = _z(jumps, usual, MAD_TO_STD * _median(np.abs(jumps - usual), 0), _median(sizes, 0))
    return np.where(known == 0, scores, known)


def extreme(units: int) -> float:
    """From which score of `unit_scores` on a jump is extreme in a layer of so many units.

    At least `EXTREME`; of more units as high as chance alone lets one of them score, were their jumps normal: of a
    million some 6,000 lie beyond 3.5. The largest of n |normal| values is about √(2 ln n) − (ln ln n + ln π) /
    (2 √(2 ln n)), their median 0.6745, and 1.4826 times their median deviation from it 0.5917.
    """
    if units < 3:
        return EXTREME
    root = math.sqrt(2 * math.log(units))
    largest = root - (math.log(math.log(units)) + math.log(math.pi)) / (2 * root)
    return max(EXTREME, (largest - 0.6745) / 0.5917)


def _jump(series: NDArray[np.float64]) -> NDArray[np.float64]:
    """|Δ| into the last column from the last finite value before; NaN where there is none or it is not finite."""
    finite = np.isfinite(series)
    last = np.where(finite[:, :-1], np.arange(series.shape[1] - 1), -1).max(axis=1, initial=-1)
    with np.errstate(invalid="ignore"):  # an infinity less itself; it does not count
        jump = np.abs(series[:, -1] - series[np.arange(len(series)), np.maximum(last, 0)])
    return np.where(finite[:, -1] & (last >= 0), jump, np.nan)


def _size(before: NDArray[np.float64]) -> NDArray[np.float64]:
    """A row's own size: its usual |value| before the focus, or its greatest up to the focus where that is zero."""
    values = np.where(np.isfinite(before), np.abs(before), np.nan)
    size = _median(values[:, :-1], 1)
    return np.where(size > 0, size, np.nan_to_num(values).max(axis=1))


def _z(
    jump: NDArray[np.float64], usual: NDArray[np.float64], spread: NDArray[np.float64], size: NDArray[np.float64]
) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (jump - usual) / (spread + STILLNESS * size)
    # 0 / 0: at rest at zero.
    return np.where(jump == usual, 0.0, z)


def _broken(before: NDArray[np.float64], recorded: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    """+inf where a finite row broke at the focus, NaN where it had broken before or is absent, else 0."""
    seen = np.ones(before.shape, np.bool_) if recorded is None else recorded[:, : before.shape[1]]
    finite = np.isfinite(before)
    previous = np.maximum.accumulate(np.where(seen[:, :-1], np.arange(before.shape[1] - 1), -1), axis=1)[:, -1:]
    was_finite = (
        (previous >= 0) & np.take_along_axis(finite, np.maximum(previous, 0), axis=1)
        if previous.size
        else np.zeros((len(before), 1), np.bool_)
    )
    broke = seen[:, -1] & ~finite[:, -1]
    found = np.where(broke, np.where(was_finite[:, 0], np.inf, np.nan), 0.0)
    return np.where(seen[:, -1], found, np.nan)


def _median(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The median of what is not NaN; NaN, without a warning, where nothing is."""
    ordered = np.sort(values, axis=axis)  # NaN last
    count = np.atleast_1d((~np.isnan(values)).sum(axis=axis))
    ordered = np.atleast_2d(np.moveaxis(ordered, axis, -1))
    if not ordered.shape[-1]:
        return np.full(len(count), np.nan)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, ordered.shape[-1] - 1)
    rows = np.arange(len(count))
    middle: NDArray[np.float64] = (ordered[rows, low] + ordered[rows, high]) / 2
    return middle
