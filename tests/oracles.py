"""Slow, obvious twins of fast code: what the tests and the benchmarks compare with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.uint8]


def distance(a: Sequence[int], b: Sequence[int]) -> int:
    """The distance of two lines' features."""
    return max(abs(int(x) - int(y)) for x, y in zip(a, b, strict=True))


def distances(features: Features, line: int) -> NDArray[np.uint8]:
    """From one line to all: `distance` for a whole crowd, in NumPy."""
    far = np.zeros(len(features), np.uint8)
    for column in range(features.shape[1]):
        values = features[:, column]
        far = np.maximum(far, np.maximum(values, values[line]) - np.minimum(values, values[line]))
    return far


def line_features(pixels: Sequence[float], segments: int) -> list[int]:
    """Min, max and mean of each segment of one line's pixels (NaN: not finite), as `analysis.features` has them."""
    points = len(pixels)
    parts = [
        [v for v in pixels[points * s // segments : points * (s + 1) // segments] if not math.isnan(v)]
        for s in range(segments)
    ]
    if not any(parts):
        return [0] * (3 * segments)
    last, filled = next(part for part in parts if part), []
    for part in parts:
        last = part or last
        filled.append(last)
    return [math.floor(v + 0.5) for part in filled for v in (min(part), max(part), sum(part) / len(part))]


def throw_darts(features: Features, radius: float, most: int) -> list[int]:
    """Sequential dart throwing in the given order: each line at least ``radius`` from all before it is taken."""
    chosen: list[int] = []
    nearest = np.full(len(features), 256, np.int64)
    for line in range(len(features)):
        if nearest[line] >= radius:
            chosen.append(line)
            if len(chosen) > most:
                break
            np.minimum(nearest, distances(features, line), out=nearest)
    return chosen


def progressive(features: Features, m: int) -> list[int]:
    """Dart throwing at 128, 128 / √2, 64 … 1 pixels, all chosen kept: `analysis.progressive`."""
    chosen: list[int] = []
    for level in range(15):
        radius = 128 * 2 ** (-level / 2)
        for line in range(len(features)):
            if all(distance(features[line], features[other]) >= radius for other in chosen):
                chosen.append(line)
                if len(chosen) == m:
                    return chosen
    return chosen


def dart_throwing(features: Features, m: int) -> list[int]:
    """Exact dart throwing with the smallest radius, found by bisection, at which at most ``m`` lines are taken."""
    low, high = 0, 256  # whole pixels are all the radii there are
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if len(throw_darts(features, middle, m)) <= m else (middle, high)
    return throw_darts(features, high, m)


def greedy_centers(features: Features, m: int) -> list[int]:
    """Farthest-first k-center (Gonzalez 1985)."""
    chosen, nearest = [0], distances(features, 0)
    while len(chosen) < min(m, len(features)):
        chosen.append(int(np.argmax(nearest)))
        np.minimum(nearest, distances(features, chosen[-1]), out=nearest)
    return chosen


def cover_radius(features: Features, chosen: Iterable[int]) -> int:
    """How far the line worst represented is from the nearest chosen one."""
    centers = [features[c] for c in chosen]
    return max(min(distance(line, center) for center in centers) for line in features)


def best_cover_radius(features: Features, m: int) -> int:
    """The least cover radius that any ``m`` lines have, by trying all."""
    return min(cover_radius(features, chosen) for chosen in combinations(range(len(features)), m))


def dense_lines(
    pixels: NDArray[np.floating], columns: NDArray[np.float64], width: int, height: int
) -> NDArray[np.float64]:
    """`analysis.density.dense_lines` of lines given in pixels from the bottom, the obvious way."""
    image = np.zeros((height, width))
    for line in np.asarray(pixels, np.float64):
        for column in range(width):
            touched = _inside(line, columns, column - 0.5, column + 0.5)
            if touched:
                first, last = math.floor(min(touched) + 0.5), math.floor(max(touched) + 0.5)
                image[first : last + 1, column] += 1 / (last - first + 1)
    return image[::-1]


def _inside(line: NDArray[np.float64], x: NDArray[np.float64], left: float, right: float) -> list[float]:
    """Heights at the ends of every piece of a line between two places, and of its lone points."""
    heights = [y for at, y in zip(x, line, strict=True) if left <= at < right and not math.isnan(y)]
    for x0, y0, x1, y1 in zip(x, line, x[1:], line[1:], strict=False):
        if not math.isnan(y0 + y1) and x1 >= left and x0 < right and x1 > x0:
            heights += [float(np.interp(at, [x0, x1], [y0, y1])) for at in (max(x0, left), min(x1, right))]
    return heights


def jump_score(changes: Sequence[float], size: float, focus: int, stillness: float) -> float:
    """`analysis.windows.jump_scores` of one row."""
    jump, earlier = changes[focus], [c for c in changes[:focus] if not math.isnan(c)]
    if math.isnan(jump) or len(earlier) < 3:
        return math.nan
    usual = float(np.median(earlier))
    spread = 1.4826 * float(np.median([abs(c - usual) for c in earlier]))
    return 0.0 if jump == usual else (jump - usual) / (spread + stillness * size)
