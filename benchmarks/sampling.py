"""Blue-noise sampling beside random, exact dart throwing and exact greedy k-center; its time and peak memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.analysis.density import dense_lines
from dgm_tb.analysis.features import first_nonfinite, line_features
from dgm_tb.analysis.sampling import priority_order, sample_lines
from dgm_tb.analysis.scales import Scale, fit
from dgm_tb.compiled import compiled
from tests import oracles

HEADING: Final = "Sampling"
PACKAGES: Final = ("numpy", "numba")
SCALE: Final = "symlog"
WIDTH, HEIGHT = 640, 256
SEED: Final = 0

Lines = NDArray[np.float32]
Features = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Chart:
    """What all methods sample from: lines ``(n, points)`` with some planted spikes, their features, their picture."""

    values: Lines
    planted: NDArray[np.int64]
    features: Features
    scale: Scale
    lonely: NDArray[np.int64]  # the 0.5 % with the farthest nearest neighbour
    density: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pick:
    """What a method chose: positions, the lines each stands for, and the wall and CPU time from values to choice."""

    lines: NDArray[np.int64]
    weights: NDArray[np.int64]
    seconds: float
    cpu: float


def bundles(n: int, points: int, planted: int, seed: int = SEED) -> tuple[Lines, NDArray[np.int64]]:
    """``n`` noisy lines around eight random walks; ``planted`` of them spike once, by 5 to 50 times their noise."""
    rng = np.random.default_rng(seed)
    walks = np.cumsum(rng.normal(size=(8, points)), axis=1).astype(np.float32)
    values = walks[rng.integers(0, 8, n)] + 0.7 * rng.standard_normal((n, 1), np.float32)
    for start in range(0, n, 10_000):
        part = values[start : start + 10_000]
        part += 0.3 * rng.standard_normal(part.shape, np.float32)
    lines, at = rng.choice(n, planted, replace=False), rng.integers(0, points, planted)
    values[lines, at] += (rng.choice([-1, 1], planted) * rng.uniform(1.5, 15, planted)).astype(np.float32)
    return values, lines


def chart(n: int, points: int, planted: int) -> Chart:
    values, spikes = bundles(n, points, planted)
    scale = fit(values, SCALE)
    features = line_features(values, np.arange(n), first_nonfinite(values), scale)
    lonely = np.argsort(-_nearest_neighbours(features).astype(int), kind="stable")[: max(n // 200, 1)]
    return Chart(values, spikes, features, scale, lonely, _density(values, scale))


def ours(values: Lines, m: int, seed: int = SEED, priority: NDArray[np.int64] | None = None) -> Pick:
    start, cpu = time.perf_counter(), time.thread_time()
    sample = sample_lines(values, m, scale=SCALE, seed=seed, priority=priority)
    return Pick(sample.lines, sample.weights, time.perf_counter() - start, time.thread_time() - cpu)


def peer(choose: Callable[[Features, int], Sequence[int]], values: Lines, m: int, seed: int = SEED) -> Pick:
    """A twin on the same features in the same random order."""
    start, cpu = time.perf_counter(), time.thread_time()
    order = priority_order(len(values), seed, None)
    features = line_features(values, order, first_nonfinite(values), fit(values, SCALE))
    chosen = np.array(choose(features, m))
    seconds, cpu = time.perf_counter() - start, time.thread_time() - cpu
    owner = np.argmin([oracles.distances(features, line) for line in chosen], axis=0)
    return Pick(order[chosen], np.bincount(owner, minlength=len(chosen)), seconds, cpu)


def _first(features: Features, m: int) -> Sequence[int]:
    return range(m)


METHODS: Final[dict[str, Callable[..., Pick]]] = {
    "**progressive blue noise**": ours,
    "random": lambda *a, **k: peer(_first, *a, **k),
    "exact dart throwing": lambda *a, **k: peer(oracles.dart_throwing, *a, **k),
    "exact greedy k-center": lambda *a, **k: peer(oracles.greedy_centers, *a, **k),
}

COLUMNS: Final = (
    "method",
    "spikes kept",
    "loneliest 0.5 % kept",
    "cover radius max / p99 / mean (px)",
    "min spacing (px)",
    "close pairs / random",
    "pixel recall",
    "overplot",
    "density EMD, weighted (px)",
    "Jaccard: seeds, +1 snapshot",
    "s wall / CPU",
)


def row(name: str, method: Callable[..., Pick], crowd: Chart, m: int, repeats: int) -> tuple[str, ...]:
    """One method's line of the table."""
    picks = [method(crowd.values, m) for _ in range(repeats)]
    pick = picks[0]
    far = np.array([oracles.distances(crowd.features, line) for line in pick.lines])
    cover, between = far.min(axis=0), far[:, pick.lines][np.triu_indices(len(pick.lines), 1)]
    images = np.array([_density(crowd.values[[line]], crowd.scale) for line in pick.lines])
    count = (images > 0).sum(axis=0)
    ink = crowd.density > 0
    emd = [_emd(np.tensordot(w, images, 1), crowd.density) for w in (np.ones(len(pick.lines)), pick.weights)]
    return (
        name,
        f"{np.isin(crowd.planted, pick.lines).mean():.2f}",
        f"{np.isin(crowd.lonely, pick.lines).mean():.2f}",
        f"{cover.max()} / {np.percentile(cover, 99):.0f} / {cover.mean():.1f}",
        f"{between.min()}",
        f"{_close_pairs(between, crowd.features):.2f}",
        f"{(count > 0)[ink].mean():.2f}",
        f"{np.maximum(count - 1, 0).sum() / count.sum():.2f}",
        f"{emd[0]:.1f}, {emd[1]:.1f}",
        ", ".join(f"{value:.2f}" for value in _stability(method, crowd, m, pick)),
        _seconds(picks),
    )


def _seconds(picks: Sequence[Pick]) -> str:
    return f"{np.median([p.seconds for p in picks]):.3f} / {np.median([p.cpu for p in picks]):.3f}"


def _close_pairs(between: NDArray[np.uint8], features: Features, radius: int = 6) -> float:
    """How much rarer pairs nearer than ``radius`` pixels are in the sample than among random lines: g(d) there."""
    rng = np.random.default_rng(SEED)
    pairs = features[rng.integers(0, len(features), (2, 100_000))].astype(np.int16)
    usual = (np.abs(pairs[0] - pairs[1]).max(axis=1) < radius).mean()
    return float((between < radius).mean() / usual) if usual else float("nan")


def _stability(method: Callable[..., Pick], crowd: Chart, m: int, pick: Pick) -> tuple[float, float]:
    """Jaccard index to another seed's choice, and to that with the window moved on by one snapshot."""
    other = method(crowd.values, m, seed=SEED + 1)
    rng = np.random.default_rng(SEED)
    newest = crowd.values[:, -1:] + 0.3 * rng.standard_normal((len(crowd.values), 1), np.float32)
    moved = np.concatenate([crowd.values[:, 1:], newest], axis=1)
    remembers = {"priority": pick.lines} if method is ours else {}
    return _jaccard(pick, other), _jaccard(pick, method(moved, m, **remembers))


def _jaccard(a: Pick, b: Pick) -> float:
    first, second = set(a.lines.tolist()), set(b.lines.tolist())
    return len(first & second) / len(first | second)


def _density(values: Lines, scale: Scale) -> NDArray[np.float32]:
    return dense_lines(values, np.arange(values.shape[1]), width=WIDTH, height=HEIGHT, scale=scale)


def _emd(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Mean over columns of the earth mover's distance of two densities, in pixels."""
    shares = [np.cumsum(d / np.maximum(d.sum(axis=0), 1e-9), axis=0, dtype=np.float64) for d in (a, b)]
    return float(np.abs(shares[0] - shares[1]).sum(axis=0).mean())


@compiled
def _nearest_neighbours(features: Features) -> NDArray[np.uint8]:
    nearest = np.full(len(features), 255, np.uint8)
    for line in range(len(features)):
        for other in range(line):
            far = np.uint8(0)
            for column in range(features.shape[1]):
                x, y = features[line, column], features[other, column]
                far = max(far, np.uint8(max(x, y) - min(x, y)))
            nearest[line], nearest[other] = min(nearest[line], far), min(nearest[other], far)
    return nearest


def speed(n: int, m: int, points: int, repeats: int) -> tuple[str, ...]:
    """Time (median) and peak memory of one size, the values themselves not counted."""
    values, planted = bundles(n, points, 100)
    picks = [ours(values, m) for _ in range(repeats)]
    tracemalloc.start()
    ours(values, m)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    matrix = line_features(values[:1], np.array([0]), np.array([-1], np.int32), Scale(SCALE, 0, 1, 1)).nbytes * n
    return (
        f"{n:,}",
        _seconds(picks),
        f"{peak / 2**20:.0f}",
        f"{peak / matrix:.1f}",
        f"{np.isin(planted, picks[0].lines).mean():.2f}",
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def run(
    n: int = 20_000,
    m: int = 300,
    points: int = 256,
    repeats: int = 3,
    sizes: Sequence[int] = (10_000, 100_000, 1_000_000),
) -> str:
    """Both tables as Markdown."""
    ours(bundles(100, points, 1)[0], m)  # compiles
    crowd = chart(n, points, 100)
    compared = table(COLUMNS, [row(name, method, crowd, m, repeats) for name, method in METHODS.items()])
    sped = table(
        ("n", "s wall / CPU", "peak MiB", "peak / feature matrix", "spikes kept"),
        [speed(size, 500, points, repeats) for size in sizes],
    )
    return (
        f"n = {n:,} lines of {points} points, m = {m}; synthetic bundles, 100 planted one-snapshot spikes, {SCALE} "
        "scale. All methods choose by the same features; the peers are the tests' plain NumPy twins, so their seconds "
        "are no race. Close pairs: under 6 px. Window moved by one snapshot: ours is given its earlier order.\n\n"
        f"{compared}\n\n"
        f"Time from values to sample on one thread, m = 500, {points} points:\n\n{sped}"
    )
