"""Dart throwing from coarse to fine over the features of a crowd of lines, exactly pruned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.compiled import compiled

#: Pixels: from half a chart's height to one pixel. Steps of half that (2^(-k/4)) keep 2 % more of the planted outliers
#: of benchmarks/sampling.py, but only 0.57 instead of 0.66 of the lines from one snapshot to the next.
RADII: Final = tuple(128 * 2 ** (-k / 2) for k in range(15))
#: Lines added between two passes over the crowd: more need fewer passes, but prune each other less.
BATCH: Final = 32


@dataclass(frozen=True, slots=True)
class Crowd:
    """The lines of one class, the first of each set of duplicates: ``counts`` says how many it stands for.

    ``lines`` ``(distinct,)``, ``features`` ``(distinct, F)``.
    """

    lines: NDArray[np.int64]
    features: NDArray[np.uint8]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, features: NDArray[np.uint8], lines: NDArray[np.int64]) -> Crowd:
        """Consumes ``features`` ``(lines, F)``: the distinct rows are moved to its start."""
        first, counts = np.empty(len(lines), np.int64), np.zeros(len(lines), np.int64)
        # Twice as many slots as lines: a power of two, so that a hash is cut by a mask.
        slots = np.full(2 << len(lines).bit_length(), -1, np.int32)
        distinct = _deduplicate(features, slots, first, counts)
        return cls(lines[first[:distinct]], features[:distinct], counts[:distinct])


@dataclass(frozen=True, slots=True)
class Progress:
    """What `progressive` chose: positions in its features, in the order of choice.

    ``owner`` is which of the chosen is nearest to each line and ``distance`` how far, in pixels ``(lines,)``.
    ``levels`` are the completed ones ``(radius, lines chosen until then)``: up to there the chosen lines are pairwise
    at least the radius apart and every line is less than the radius away from one of them.
    """

    chosen: NDArray[np.int64]
    owner: NDArray[np.int32]
    distance: NDArray[np.uint8]
    levels: tuple[tuple[float, int], ...]


def progressive(features: NDArray[np.uint8], m: int) -> Progress:
    """Up to ``m`` of the lines with these distinct features ``(lines, F)``, earlier lines preferred.

    Dart throwing with the radii `RADII`, every level completed before the next; it ends at ``m`` or when all lines are
    chosen. At a completed level the cover radius is below twice the best possible with one line fewer, as all chosen
    lines are a radius apart; between two levels it is below 2√2 times that.
    """
    n = len(features)
    chosen = np.empty(min(m, n), np.int64)
    owner, distance = np.zeros(n, np.int32), np.zeros(n, np.uint8)
    done = np.full(len(RADII), -1, np.int64)
    if len(chosen):
        # Whole pixels: at least r apart is at least ceil(r) apart.
        _throw(features, np.ceil(RADII).astype(np.int64), chosen, owner, distance, done)
    levels = tuple((radius, int(count)) for radius, count in zip(RADII, done, strict=True) if count >= 0)
    return Progress(chosen, owner, distance, levels)


@compiled
def _deduplicate(
    features: NDArray[np.uint8], slots: NDArray[np.int32], first: NDArray[np.int64], counts: NDArray[np.int64]
) -> int:
    distinct, mask = 0, np.uint64(len(slots) - 1)
    for line in range(features.shape[0]):
        hashed = np.uint64(1469598103934665603)  # FNV-1a
        for column in range(features.shape[1]):
            hashed = (hashed ^ np.uint64(features[line, column])) * np.uint64(1099511628211)
        slot = (hashed ^ (hashed >> np.uint64(32))) & mask
        while slots[slot] >= 0 and _distance(features, slots[slot], features, line) > 0:
            slot = (slot + np.uint64(1)) & mask
        if slots[slot] < 0:
            slots[slot], first[distinct] = distinct, line
            features[distinct] = features[line]
            distinct += 1
        counts[slots[slot]] += 1
    return distinct


@compiled
def _distance(a: NDArray[np.uint8], i: int, b: NDArray[np.uint8], j: int) -> np.uint8:
    """The largest difference of two rows; in bytes throughout, so that it is a handful of vector instructions."""
    far: np.uint8 = np.uint8(0)
    for column in range(a.shape[1]):
        x, y = a[i, column], b[j, column]
        far = max(far, np.uint8(max(x, y) - min(x, y)))
    return far


@compiled
def _throw(
    features: NDArray[np.uint8],
    radii: NDArray[np.int64],
    chosen: NDArray[np.int64],
    owner: NDArray[np.int32],
    distance: NDArray[np.uint8],
    done: NDArray[np.int64],
) -> None:
    n, m = features.shape[0], len(chosen)
    samples = np.empty((m, features.shape[1]), np.uint8)
    between = np.empty((BATCH, m), np.uint8)  # from each line of the batch to each chosen one
    nearest = np.empty(m, np.uint8)
    chosen[0], samples[0] = 0, features[0]
    for line in range(n):
        distance[line] = _distance(features, line, samples, 0)
    count = 1
    for level in range(len(radii)):
        radius, cursor = radii[level], 0
        while cursor < n:
            start = count
            while cursor < n and count < m and count - start < BATCH:
                if distance[cursor] >= radius and _apart(samples, start, count, features, cursor, radius):
                    chosen[count], samples[count] = cursor, features[cursor]
                    count += 1
                cursor += 1
            if count > start:
                _between(samples, start, count, between, nearest)
                _update(features, samples, start, count, between, nearest, owner, distance)
            if count == m:
                break
        if cursor < n and _any_at_least(distance, radius):
            return
        done[level] = count
        if count == n:
            return


@compiled
def _apart(
    samples: NDArray[np.uint8], start: int, stop: int, features: NDArray[np.uint8], line: int, radius: int
) -> bool:
    for sample in range(start, stop):  # noqa: SIM110 - a kernel knows no generators
        if _distance(samples, sample, features, line) < radius:
            return False
    return True


@compiled
def _between(
    samples: NDArray[np.uint8], start: int, stop: int, between: NDArray[np.uint8], nearest: NDArray[np.uint8]
) -> None:
    nearest[:start] = 255
    for new in range(start, stop):
        for old in range(start):
            between[new - start, old] = _distance(samples, new, samples, old)
            nearest[old] = min(nearest[old], between[new - start, old])


@compiled
def _update(
    features: NDArray[np.uint8],
    samples: NDArray[np.uint8],
    start: int,
    stop: int,
    between: NDArray[np.uint8],
    nearest: NDArray[np.uint8],
    owner: NDArray[np.int32],
    distance: NDArray[np.uint8],
) -> None:
    for line in range(features.shape[0]):
        old, twice = owner[line], 2 * np.int64(distance[line])
        if nearest[old] >= twice:  # by the triangle inequality none of the new ones is nearer than the owner
            continue
        for new in range(start, stop):
            if between[new - start, old] < twice:
                far = _distance(features, line, samples, new)
                if far < distance[line]:
                    distance[line], owner[line] = far, new


@compiled
def _any_at_least(distance: NDArray[np.uint8], radius: int) -> bool:
    for far in distance:  # noqa: SIM110 - likewise
        if far >= radius:
            return True
    return False
