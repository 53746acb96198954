"""From values to pixel rows: the linear, robust and symlog scales that sampling and density share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import UsageError

#: Quantiles and medians are taken of about this many values at most: their rank is right within 0.3 %.
QUANTILE_SAMPLE: Final = 100_000
#: Values mapped to pixels at a time: 256 KiB of float32 stay in the second-level cache.
BLOCK: Final = 65_536
#: Smaller differences are drawn as none: float32 does not hold their reciprocal in pixels.
TINY: Final = 1e-35
#: The symlog scale's linear threshold in medians of |value|.
THRESHOLD_MEDIANS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Scale:
    """A monotone map from values to pixels: ``low`` is drawn at the bottom, ``high`` at the top; beyond is clipped.

    With a ``linear_threshold`` *c* (symlog) it is linear in ``sign(y) · log(1 + |y| / c)``: nearly linear where
    ``|y| < c``, logarithmic far above; with NaN it is linear in ``y``.
    """

    name: str
    low: float
    high: float
    linear_threshold: float = float("nan")


def fit(values: NDArray[np.float32], name: str) -> Scale:
    """The scale called ``name`` (`SCALES`) that fits the finite ``values`` ``(lines, points)``.

    Raises `UsageError` for an unknown name.
    """
    if name not in SCALES:
        raise UsageError(f"scale={name!r} is unknown; use one of {', '.join(SCALES)}")
    flat = np.ascontiguousarray(values, np.float32).reshape(-1)
    low, high = _extent(flat)
    return SCALES[name](flat, low, high) if low <= high else Scale(name, 0.0, 1.0)


def to_pixels(scale: Scale, values: NDArray[np.float32], height: int) -> NDArray[np.float32]:
    """``values`` as float32 pixels in ``[0, height - 1]``, 0 at the bottom; NaN stays NaN, infinities are clipped.

    A scale without extent (all values equal) maps everything to the middle.
    """
    if not scale.high - scale.low > TINY:
        return np.where(np.isnan(values), np.nan, (height - 1) / 2).astype(np.float32)
    pixels: NDArray[np.float32]
    with np.errstate(over="ignore"):  # float32 may not hold a difference of its largest numbers: such are clipped
        if np.isnan(scale.linear_threshold):
            length, pixels = scale.high - scale.low, np.subtract(values, np.float32(scale.low))
        else:
            length, pixels = _symlog(scale, values)
        pixels *= np.float32((height - 1) / length)
    np.clip(pixels, 0, height - 1, out=pixels)
    return pixels


def _symlog(scale: Scale, values: NDArray[np.float32]) -> tuple[float, NDArray[np.float32]]:
    """How long the scale is in symlog units, and how far above its low end each value lies."""
    # Values of one sign are measured from the smallest: log((c + |y|) / (c + base)) = log1p((|y| - base) / (c + base)).
    # Else 1e6 ± 1 would drown in float32's rounding.
    base = 0.0 if scale.low < 0 < scale.high else min(abs(scale.low), abs(scale.high))
    unit = scale.linear_threshold + base
    bottom, top = (np.copysign(np.log1p((abs(y) - base) / unit), y) for y in (scale.low, scale.high))
    if base:
        distance = np.abs(np.clip(values, np.float32(scale.low), np.float32(scale.high)))
        distance -= np.float32(base)
    else:
        distance = np.abs(values)
    distance *= np.float32(1 / unit)
    np.log1p(distance, out=distance)
    if scale.low < 0:
        np.copysign(distance, values, out=distance)
    distance -= np.float32(bottom)
    return float(top - bottom), distance


def _linear(flat: NDArray[np.float32], low: float, high: float) -> Scale:
    return Scale("linear", low, high)


def _robust(flat: NDArray[np.float32], low: float, high: float) -> Scale:
    # Half the span beyond the percentiles keeps what is clipped apart from the top and bottom of the crowd.
    first, last = (float(q) for q in np.quantile(_some_finite(flat), (0.01, 0.99)))
    margin = (last - first) / 2
    return Scale("robust", max(low, first - margin), min(high, last + margin))


def _symmetric_log(flat: NDArray[np.float32], low: float, high: float) -> Scale:
    magnitudes = np.abs(_some_finite(flat))
    magnitudes = magnitudes[magnitudes > 0]
    # Three medians are two standard deviations of centred noise: the crowd is drawn nearly linearly, what explodes
    # logarithmically, and up to half of the values may have exploded.
    threshold = THRESHOLD_MEDIANS * float(np.median(magnitudes)) if magnitudes.size else max(abs(low), abs(high))
    return Scale("symlog", low, high, max(threshold, TINY))


#: Name of a scale -> how it is fitted to values with the given least and greatest finite one.
SCALES: Final[dict[str, Callable[[NDArray[np.float32], float, float], Scale]]] = {
    "linear": _linear,
    "symlog": _symmetric_log,
    "robust": _robust,
}


def _some_finite(flat: NDArray[np.float32]) -> NDArray[np.float64]:
    # An odd stride, so that it does not pick the same few columns of every line.
    sample = flat[:: len(flat) // QUANTILE_SAMPLE | 1]
    finite = sample[np.isfinite(sample)]
    return (finite if finite.size else flat[np.isfinite(flat)]).astype(np.float64)


def _extent(flat: NDArray[np.float32]) -> tuple[float, float]:
    """The least and greatest finite value; infinite where there is none."""
    low, high = np.inf, -np.inf
    for start in range(0, len(flat), BLOCK):
        block = flat[start : start + BLOCK]
        # Most blocks are finite, and NumPy's min propagates NaN: one quick pass tells.
        first, last = float(block.min()), float(block.max())
        if not np.isfinite(last - first):
            block = block[np.isfinite(block)]
            first, last = float(block.min(initial=np.inf)), float(block.max(initial=-np.inf))
        low, high = min(low, first), max(high, last)
    return low, high
