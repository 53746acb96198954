"""What two lines are compared by: the min, max and mean pixel of each segment of the x-axis."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.analysis.scales import BLOCK, Scale, to_pixels
from dgm_tb.compiled import compiled

#: Segments of the x-axis. Three bytes each: 48 bytes a line, less than one cache line.
SEGMENTS: Final = 16


def first_nonfinite(values: NDArray[np.float32]) -> NDArray[np.int32]:
    """The first position at which each line ``(lines, points)`` is NaN or infinite; -1 for a finite line."""
    first = np.empty(len(values), np.int32)
    _first_nonfinite(values, first)
    return first


def line_features(
    values: NDArray[np.float32],
    lines: NDArray[np.int64],
    first_bad: NDArray[np.int32],
    scale: Scale,
    *,
    height: int = 256,
    segments: int = SEGMENTS,
) -> NDArray[np.uint8]:
    """Features ``(len(lines), 3 · segments + 1)`` of the chosen rows of ``values`` ``(all lines, points)``, in pixels.

    Min, max and mean over the finite snapshots of each segment, then where the line first was not finite (0 if it
    always was), across a chart as wide as it is high. A segment without a finite value repeats the one before it (the
    one behind it at the start). Two lines' largest difference in any feature is, up to the rounding to whole pixels,
    at most their largest vertical distance.
    """
    points = values.shape[1]
    segments = max(min(segments, points), 1)
    bounds = np.arange(segments + 1, dtype=np.int64) * points // segments
    out = np.zeros((len(lines), 3 * segments + 1), np.uint8)
    bad = first_bad[lines]
    out[:, -1] = np.where(bad < 0, 0, 1 + bad.astype(np.int64) * (height - 1) // max(points, 1))
    size = max(BLOCK // max(points, 1), 1)
    for start in range(0, len(lines), size):
        block = values[lines[start : start + size]]
        _summarise(block, to_pixels(scale, block, height), bounds, out[start : start + size])
    return out


@compiled
def _first_nonfinite(values: NDArray[np.float32], first: NDArray[np.int32]) -> None:
    for line in range(values.shape[0]):
        first[line] = -1
        for point in range(values.shape[1]):
            if not np.isfinite(values[line, point]):
                first[line] = point
                break


@compiled
def _summarise(
    values: NDArray[np.float32], pixels: NDArray[np.float32], bounds: NDArray[np.int64], out: NDArray[np.uint8]
) -> None:
    half = np.float32(0.5)  # rounds to the nearest pixel
    segments = len(bounds) - 1
    for line in range(values.shape[0]):
        found = -1  # the first segment with a finite value
        for segment in range(segments):
            low, high, total, count = np.float32(np.inf), np.float32(-np.inf), np.float32(0), 0
            for point in range(bounds[segment], bounds[segment + 1]):
                if np.isfinite(values[line, point]):
                    pixel = pixels[line, point]
                    low, high = min(low, pixel), max(high, pixel)
                    total += pixel
                    count += 1
            at = 3 * segment
            if count:
                out[line, at], out[line, at + 1] = np.uint8(low + half), np.uint8(high + half)
                out[line, at + 2] = np.uint8(total / np.float32(count) + half)
                if found < 0:
                    found = segment
            elif found >= 0:
                out[line, at : at + 3] = out[line, at - 3 : at]
        for segment in range(max(found, 0)):
            out[line, 3 * segment : 3 * segment + 3] = out[line, 3 * found : 3 * found + 3]
