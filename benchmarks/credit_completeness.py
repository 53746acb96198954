"""Whether the parts add up: targets drawn at random on every kind of network, the worst gap beside the criterion."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from unittest.mock import patch

import numpy as np

from benchmarks.tables import table
from dgm_tb.replay import integral
from dgm_tb.replay.ask import TARGETS, Target
from dgm_tb.replay.credit import OF_VALUES, TOLERANCE, Step, change_credit
from dgm_tb.replay.machine import Machine, pair
from dgm_tb.replay.parts import Credit
from tests.callbacks.networks import Gan
from tests.replay.steps import HARD, KINDS, two_steps

SEED: Final = 20261124
BATCHES: Final = ("own", "same")


#: Intervals of a path over kinks that are many enough to be called the path itself.
FINE: Final = (2, 64)


@dataclass(frozen=True, slots=True)
class Drawn:
    """One target's outcome; ``gap`` in units of what is allowed, ``off``: how far units' credit is from that of many
    intervals, as a share of its size (0: no kinks, or no unit moved).
    """

    kind: str
    quantity: str
    gap: float
    nodes: int
    converged: bool
    off: float


def drawn(kind: type[Any], targets: int) -> list[Drawn]:
    """``targets`` drawn on two snapshots of a training of ``kind``."""
    chance = random.Random(f"{SEED} {kind.__name__}")
    earlier, later = two_steps(kind, between=chance.randint(1, 4), seed=chance.randint(0, 999))
    return [_outcome(kind, chance, earlier, later) for _ in range(targets)]


def _outcome(kind: type[Any], chance: random.Random, earlier: Step, later: Step) -> Drawn:
    program = chance.choice(later.tape.program_names)
    out = chance.choice([out for out in later.tape.outputs if out.program == program])
    machine = Machine(later.tape)
    value = machine.run(machine.sources(later.tensors), [pair(out)])[pair(out)]
    count = value.shape[out.axis]
    units = tuple(sorted(chance.sample(range(count), chance.randint(1, min(3, count)))))
    target = Target(out.node, program, units, chance.choice(TARGETS))
    batch = chance.choice(BATCHES)
    credit = change_credit(target, earlier, later, batch=batch)
    with patch.object(integral, "KINKED", FINE), patch.object(integral, "JUMPING", FINE):
        fine = change_credit(target, earlier, later, batch=batch)
    allowed = TOLERANCE * max(abs(credit.change), OF_VALUES * (abs(credit.before) + abs(credit.after)))
    missed = abs(credit.change - credit.total)
    # What is a mean of numbers that cancel, such as the gradients of all logits, is nothing but rounding.
    rounding = credit.converged and missed > allowed
    gap = min(missed, allowed) if rounding else missed
    gap = gap / allowed if gap else 0.0
    off = 0.0 if rounding else _off(credit, fine)
    return Drawn(kind.__name__, target.quantity, gap, credit.nodes, credit.converged, off)


def _off(credit: Credit, fine: Credit) -> float:
    parts = [(credit.units[node], units) for node, units in fine.units.items()]
    size = sum(np.abs(units).sum() for _, units in parts)
    return float(sum(np.abs(part - units).sum() for part, units in parts) / size) if size else 0.0


def run(targets: int, kinds: Sequence[type[Any]] = (*KINDS, Gan, *HARD)) -> str:
    found = [outcome for kind in kinds for outcome in drawn(kind, targets)]
    columns = (
        "network",
        "targets",
        "converged",
        "gap / allowed: median, worst",
        "nodes: median, most",
        "off: median, worst",
    )
    by_kind = [_row(kind.__name__, [one for one in found if one.kind == kind.__name__]) for kind in kinds]
    by_quantity = [_row(f"all, {name}", [one for one in found if one.quantity == name]) for name in TARGETS]
    return (
        f"**Completeness.** Targets drawn with seed {SEED} (program, node, one to three units; activation, gradient or "
        "loss; own batches or the same), at most 128 path nodes; allowed is 1e-3 · max(|ΔF|, 1e-6 · (|F_s| + |F_t|)). "
        "Where a ReLU switches or a maximum moves, its derivative is averaged over an interval, and a jump of it goes "
        f"to the input that went over the kink. Off: units' credit beside that of {FINE[1]} intervals, as a share of "
        "its size, Σ|difference| / Σ|credit|.\n\n"
        + table(columns, [*by_kind, *(row for row in by_quantity if row[1] != "0")])
    )


def _row(name: str, found: Sequence[Drawn]) -> tuple[str, ...]:
    if not found:
        return name, "0", "", "", "", ""
    gaps, nodes, off = ([getattr(one, what) for one in found] for what in ("gap", "nodes", "off"))
    share = np.mean([one.converged for one in found])
    return (
        name, str(len(found)), f"{share:.0%}", f"{np.median(gaps):.2g}, {max(gaps):.2g}",
        f"{np.median(nodes):.0f}, {max(nodes)}", f"{np.median(off):.1%}, {max(off):.1%}",
    )  # fmt: skip
