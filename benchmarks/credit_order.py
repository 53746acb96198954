"""Whether scores order units as undoing them does: rank correlation with exact ablation, and deletion curves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from scipy.stats import spearmanr

from benchmarks.credit_digits import cnn, mlp, started
from benchmarks.credit_peers import FOR_CHANGE, FOR_VALUE, UNSIGNED, Case, Scores, deleted, relus, restored
from benchmarks.tables import table

#: Steps of training before the earlier snapshot, and between the two.
BEFORE: Final = 20
BETWEEN: Final = 30
#: Networks, and by how much the learning rate rises between the snapshots.
NETWORKS: Final = {
    "MLP 64-32-32-10": (mlp, 1.0),
    "CNN 16-32, 32": (cnn, 1.0),
    "CNN 16-32, 32, learning rate × 30 between": (cnn, 30.0),
}

Undo = Callable[[Case, Sequence[int]], float]


def cases(network: str, seeds: int) -> Iterator[Case]:
    """Every ReLU layer of a network that learns digits, for one logit, by seed."""
    for seed in range(seeds):
        kind, faster = NETWORKS[network]
        training = started(kind, seed, BEFORE)
        earlier, before = training.record()
        training.faster(faster)
        training.learn(BETWEEN)
        batch = training.next()
        later, after = training.record(batch)
        for layer in relus(after):
            yield Case(earlier, later, (before, after), batch[0], layer, seed % 10)


def alone(case: Case, undo: Undo) -> Scores:
    """Exactly what each unit's undoing alone takes from the target."""
    whole = undo(case, ())
    return np.array([whole - undo(case, (unit,)) for unit in range(case.units)])


def area(case: Case, undo: Undo, scores: Scores, sign: float) -> float:
    """Area over the perturbation curve (Samek et al. 2017): the mean of what undoing the first k units took, over k."""
    order = np.argsort(-sign * scores, kind="stable").tolist()
    whole = undo(case, ())
    return float(np.mean([sign * (whole - undo(case, order[:k])) for k in range(1, len(order) + 1)]))


def agreement(scores: Scores, exact: Scores) -> float:
    """Spearman's ρ; 0 where one of them is constant."""
    if np.ptp(scores) == 0 or np.ptp(exact) == 0:
        return 0.0
    return float(spearmanr(scores, exact).statistic)


def compared(found: Sequence[Case], undo: Undo, methods: Mapping[str, Callable[[Case], Scores]]) -> list[list[str]]:
    """A row a method: ρ with sign, ρ of sizes (median, least), and AOPC beside that of the exact order."""
    exact = [alone(case, undo) for case in found]
    signs = [float(np.sign(effects.sum())) or 1.0 for effects in exact]
    best = [area(case, undo, effects, sign) for case, effects, sign in zip(found, exact, signs, strict=True)]
    chance = np.random.default_rng(0)
    rows = []
    every: dict[str, Callable[[Case], Scores]] = {**methods, "at random": lambda case: chance.normal(size=case.units)}
    for name, method in every.items():
        scores = [method(case) for case in found]
        signed = [agreement(mine, effects) for mine, effects in zip(scores, exact, strict=True)]
        sizes = [agreement(np.abs(mine), np.abs(effects)) for mine, effects in zip(scores, exact, strict=True)]
        # An unsigned score puts the largest first, whichever way the target went.
        areas = [
            area(case, undo, sign * mine if name in UNSIGNED else mine, sign) / most
            for case, mine, sign, most in zip(found, scores, signs, best, strict=True)
        ]
        with_sign = "–" if name in UNSIGNED else f"{np.median(signed):.2f}, {min(signed):.2f}"
        rows.append([name, with_sign, f"{np.median(sizes):.2f}", f"{np.mean(areas):.2f}, {min(areas):.2f}"])
    return [*rows, ["exact order", "1.00, 1.00", "1.00", "1.00, 1.00"]]


def run(seeds: int) -> str:
    parts = []
    for name in NETWORKS:
        found = list(cases(name, seeds))
        columns = ("order by", "ρ with exact effects: median, least", "ρ of sizes: median", "AOPC: mean, least")
        parts.append(
            f"{name}, {len(found)} layers. *Change*: units restored to the earlier snapshot's.\n\n"
            + table(columns, compared(found, restored, FOR_CHANGE))
        )
        parts.append(f"{name}. *Value*: units set to zero.\n\n" + table(columns, compared(found, deleted, FOR_VALUE)))
    return (
        f"**Exact ablation and deletion.** Networks that learn scikit-learn's digits, snapshots after {BEFORE} and "
        f"{BEFORE + BETWEEN} steps, {seeds} seeds; target: one logit's mean over the later batch; every hidden "
        "layer. Exact effect: what undoing one unit alone takes from the target, by replay. AOPC: the mean of what "
        "undoing the first k units took, as a share of that in the order of the exact effects; its sign is that of "
        "their sum.\n\n" + "\n\n".join(parts)
    )
