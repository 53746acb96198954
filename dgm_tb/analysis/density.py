"""The density of all lines of a chart: DenseLines, after Moritz & Fisher 2018 (arXiv 1808.06019)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dgm_tb.analysis.scales import BLOCK, Scale, to_pixels
from dgm_tb.compiled import compiled


def dense_lines(
    values: NDArray[np.float32], x: NDArray[np.number], *, width: int, height: int, scale: Scale
) -> NDArray[np.float32]:
    """How many lines pass each pixel: float32 ``(height, width)``, row 0 at the top.

    ``values`` is ``(lines, points)`` and ``x`` ``(points,)`` ascending; the first and last x fall on the centres of the
    first and last pixel column. In every pixel column that it crosses, a line contributes a total of 1, shared among
    the pixels it touches there, so a steep line weighs no more than a flat one. A line with a gap (a value that is not
    finite) contributes nothing inside the gap; a finite value between two gaps, or a single point, fills its own pixel.
    """
    image = np.zeros((height, width), np.float32)
    columns = _columns(np.asarray(x, np.float64), width)
    values = np.asarray(values, np.float32)
    size = max(BLOCK // max(len(columns), 1), 1)
    for start in range(0, len(values), size):
        block = values[start : start + size]
        pixels = to_pixels(scale, block, height)
        pixels[~np.isfinite(block)] = np.nan
        _draw(pixels, columns, image)
    return image[::-1]


def _columns(x: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    extent = x[-1] - x[0] if len(x) else 0.0
    return (x - x[0]) / extent * (width - 1) if extent > 0 else np.zeros(len(x))


@compiled
def _draw(pixels: NDArray[np.float32], columns: NDArray[np.float64], image: NDArray[np.float32]) -> None:
    """Adds lines given in pixel rows from the bottom: a column is covered by what the line spans inside it."""
    width = image.shape[1]
    low, high = np.empty(width, np.float32), np.empty(width, np.float32)
    shares = np.float32(1) / np.arange(image.shape[0] + 1).astype(np.float32)
    for line in range(pixels.shape[0]):
        low[:], high[:] = np.inf, -np.inf
        for point in range(pixels.shape[1]):
            here = pixels[line, point]
            if np.isnan(here):
                continue
            column = int(columns[point] + 0.5)
            low[column], high[column] = min(low[column], here), max(high[column], here)
            if point and not np.isnan(pixels[line, point - 1]):
                _span(columns[point - 1], pixels[line, point - 1], columns[point], here, low, high)
        for column in range(width):
            if low[column] <= high[column]:
                first, last = np.int32(low[column] + np.float32(0.5)), np.int32(high[column] + np.float32(0.5))
                share = shares[last - first + 1]
                for row in range(first, last + 1):
                    image[row, column] += share


@compiled
def _span(x0: float, y0: float, x1: float, y1: float, low: NDArray[np.float32], high: NDArray[np.float32]) -> None:
    """Widens the covered rows of the columns between two points: column c reaches from c - 1/2 to c + 1/2."""
    slope = (y1 - y0) / (x1 - x0) if x1 > x0 else 0.0
    first, last = int(x0 + 0.5), int(x1 + 0.5)
    for column in (first, last):
        enter = y0 + slope * (max(x0, column - 0.5) - x0)
        leave = y0 + slope * (min(x1, column + 0.5) - x0)
        low[column] = min(low[column], min(enter, leave))
        high[column] = max(high[column], max(enter, leave))
    for column in range(first + 1, last):  # there is nothing else of the line in these
        enter = np.float32(y0 + slope * (column - 0.5 - x0))
        leave = np.float32(y0 + slope * (column + 0.5 - x0))
        low[column], high[column] = min(enter, leave), max(enter, leave)
