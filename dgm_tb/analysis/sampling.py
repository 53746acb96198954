"""Which lines of a crowd to draw: progressive blue-noise sampling of polylines.

Poisson-disk dart throwing from coarse to fine, after Wei 2010 (*Multi-class blue noise sampling*), Sun et al. 2013
(*Line segment sampling with blue-noise properties*) and Yuksel 2015 (*Sample elimination for generating Poisson disk
sample sets*); the bound on its cover radius is that of Gonzalez 1985 (farthest-first k-center), its pruning that of
Elkan 2003. The points inside a line are not thinned here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.analysis.features import SEGMENTS, first_nonfinite, line_features
from dgm_tb.analysis.progressive import Crowd, Progress, progressive
from dgm_tb.analysis.scales import fit
from dgm_tb.errors import UsageError

#: An outlier stands for less than this share of what a drawn line stands for on average (at most one, if that is less),
OUTLIER_SHARE: Final = 0.1
#: in a sample so coarse that the average is at least this,
COARSE: Final = 20
#: and is this many times farther from the next line of that sample than the crowd usually is: 4,096 random walks
#: then have 1 to 4 outliers among 300 drawn lines, and 9 to 16 without this.
ISOLATION: Final = 1.5
#: At most this share of the lines are non-finite ones, as long as there are finite ones to draw instead.
NONFINITE_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Sample:
    """The lines to draw, most telling first: every prefix is a sample too.

    ``lines``, ``weights``, ``outliers`` and ``nonfinite`` are ``(drawn,)``: positions of the lines, how many lines each
    stands for (itself included; they add up to all), whether it is isolated, whether it has a NaN or an infinity.
    ``radius``: no line is farther than this from a drawn one, in pixels (rounded features, see `line_features`).
    """

    lines: NDArray[np.int64]
    weights: NDArray[np.int64]
    outliers: NDArray[np.bool_]
    nonfinite: NDArray[np.bool_]
    radius: float


@dataclass(frozen=True, slots=True)
class _Part:
    lines: NDArray[np.int64]
    weights: NDArray[np.int64]
    outliers: NDArray[np.bool_]
    radius: int


def sample_lines(
    values: NDArray[np.float32],
    m: int,
    *,
    scale: str = "symlog",
    height: int = 256,
    segments: int = SEGMENTS,
    seed: int = 0,
    priority: NDArray[np.integer] | None = None,
) -> Sample:
    """At most ``m`` of the lines ``(lines, points)``: few where they crowd, and every isolated one.

    Lines are alike by `line_features` on the named ``scale`` of a chart ``height`` pixels high; lines with the same
    features are drawn once. Non-finite lines are a class of their own. ``priority`` is an earlier ``Sample.lines``,
    considered first and in its order, so that a picture changes little from refresh to refresh; the others follow at
    random by ``seed``. Leave out snapshots in which no line was recorded: their NaN would make every line non-finite.

    Raises `UsageError` for an ``m`` below 4, a ``height`` outside 2 … 256 or an unknown scale.
    """
    if m < 4:
        raise UsageError(f"m={m} lines are no sample of a crowd; use at least 4")
    if not 2 <= height <= 256:
        raise UsageError(f"height={height} pixels cannot be compared in bytes; use 2 to 256")
    values = np.ascontiguousarray(values, np.float32)
    first_bad, fitted = first_nonfinite(values), fit(values, scale)
    order = priority_order(len(values), seed, priority)
    is_bad = first_bad[order] >= 0
    finite, bad = (
        Crowd.of(line_features(values, lines, first_bad, fitted, height=height, segments=segments), lines)
        for lines in (order[~is_bad], order[is_bad])
    )
    budget = min(len(finite.lines), m - min(len(bad.lines), int(m * NONFINITE_SHARE)))
    return _join(_choose(finite, budget), _choose(bad, m - budget))


def priority_order(n: int, seed: int, priority: NDArray[np.integer] | None) -> NDArray[np.int64]:
    """All of ``0 … n - 1``: those of ``priority`` that exist, in its order and once, then the others at random."""
    shuffled = np.random.default_rng(seed).permutation(n)
    if priority is None or not len(priority):
        return shuffled
    first = np.asarray(priority, np.int64)
    first = first[(first >= 0) & (first < n)]
    first = first[np.sort(np.unique(first, return_index=True)[1])]
    rest = np.ones(n, np.bool_)
    rest[first] = False
    return np.concatenate([first, shuffled[rest[shuffled]]])


def _choose(crowd: Crowd, m: int) -> _Part:
    """``m`` lines of one class in the order of choice, those of the bulk and the outliers marked."""
    progress = progressive(crowd.features, m)
    weights = np.bincount(progress.owner, crowd.counts, minlength=len(progress.chosen)).astype(np.int64)
    return _Part(
        crowd.lines[progress.chosen],
        weights[: len(progress.chosen)],
        _isolated(crowd, progress),
        int(progress.distance.max(initial=0)),
    )


def _isolated(crowd: Crowd, progress: Progress) -> NDArray[np.bool_]:
    """Which of the chosen lines stand for few lines and lie far from the next: ``(chosen,)``."""
    total = int(crowd.counts.sum())
    # Where nearly every line is drawn no line stands for many: judge by a coarser sample, a prefix of this one.
    coarse = min(len(progress.chosen), total // COARSE)
    outliers = np.zeros(len(progress.chosen), np.bool_)
    if coarse < 3:
        return outliers
    part = progress if coarse == len(progress.chosen) else progressive(crowd.features, coarse)
    weights = np.bincount(part.owner, crowd.counts, minlength=coarse)
    samples = crowd.features[part.chosen]
    spacing = np.array([_nearest_other(samples, i) for i in range(coarse)])
    usual = max(float(np.median(part.distance)), 1.0)
    outliers[:coarse] = (weights < max(OUTLIER_SHARE * total / coarse, 1.5)) & (spacing >= ISOLATION * usual)
    return outliers


def _nearest_other(samples: NDArray[np.uint8], index: int) -> int:
    others = np.delete(samples, index, axis=0).astype(np.int16)
    return int(np.abs(others - samples[index].astype(np.int16)).max(axis=1).min())


def _join(finite: _Part, bad: _Part) -> Sample:
    """One order of both classes: a line of the bulk, an outlier, a line of the bulk, an outlier, a non-finite one.

    The order of choice begins with what is far apart, so it fits outliers; the bulk begins with what stands for most.
    """
    rank = np.empty(len(finite.lines))
    bulk = np.flatnonzero(~finite.outliers)
    rank[bulk[np.argsort(-finite.weights[bulk], kind="stable")]] = np.arange(len(bulk))
    rank[finite.outliers] = np.arange(finite.outliers.sum()) + 0.5
    order = np.argsort(np.concatenate([rank, 2 * np.arange(len(bad.lines)) + 1.75]), kind="stable")
    lines, weights, outliers = (
        np.concatenate([getattr(part, name) for part in (finite, bad)])[order]
        for name in ("lines", "weights", "outliers")
    )
    return Sample(lines, weights, outliers, order >= len(finite.lines), float(max(finite.radius, bad.radius)))
