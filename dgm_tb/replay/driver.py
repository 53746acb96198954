"""Whose values drive an op beyond what a number can hold: the recorded node, and its units, that it depends on most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from dgm_tb.errors import DgmError
from dgm_tb.replay.credit import Step
from dgm_tb.replay.machine import Machine, pair
from dgm_tb.replay.path import Pair, live
from dgm_tb.replay.tape import Output, feeding

#: Units are told until together they make up so much of it, at most so many.
_PART: Final = 0.9
_UNITS: Final = 8


@dataclass(frozen=True, slots=True)
class Driver:
    """A recorded node behind an op's non-finite output.

    ``elasticity``: by how many percent the output grows with each percent of the node's values (1: it is proportional
    to them, 100: it explodes with them); None where only the tape's order tells which node it is. ``units``: those that
    it comes from, the strongest first, with their ``shares`` of the elasticity; ``low`` and ``high``: what they were.
    """

    node: str
    elasticity: float | None = None
    units: tuple[int, ...] = ()
    shares: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None


def driver_of(step: Step, made: Pair, bad: Tensor) -> Driver | None:
    """The node that drives the value ``made``, whose elements in the mask ``bad`` are not finite; None: there is none.

    In float64 an overflow is a number, y. By d log|y| / d log|a|, summed over the units a of a node, y reacts to the
    nodes before it: proportionally to those from which only linear layers lead to it, manifold where an `exp` lies
    between. The nearest node is told, unless y reacts to one farther away that much more strongly: of all, the one at
    which the reaction grows by the largest factor.
    """
    outs = [out for out in step.tape.outputs if out.at < made[1]]
    fed = feeding(step.tape, [made], [pair(out) for out in outs])
    near = sorted((out for out in outs if pair(out) in fed), key=lambda out: -out.at)
    if not near:
        return None
    try:
        found = _elasticities(step, made, bad, near)
    except (DgmError, RuntimeError, MemoryError):  # no derivative, or no room for one: the op itself is told anyhow
        found = {}
    return _strongest(found, near) or Driver(near[0].node)


@dataclass(frozen=True, slots=True)
class _Reaction:
    """Of one node: elasticity by unit, and each unit's least and greatest value."""

    by_unit: Tensor
    low: Tensor
    high: Tensor

    @property
    def whole(self) -> float:
        return abs(float(self.by_unit.sum()))


def _elasticities(step: Step, made: Pair, bad: Tensor, near: Sequence[Output]) -> Mapping[str, _Reaction]:
    """By node, the nearest first; empty where the value is not finite in float64 either."""
    machine = Machine(step.tape, precise=True)
    cuts = tuple(dict.fromkeys(pair(out) for out in near))
    values = machine.run(live(machine.sources(step.tensors)), (made, *cuts))
    broken = values[made][bad].abs()
    broken = broken[torch.isfinite(broken) & (broken > 0)]
    if not broken.numel():
        return {}
    gradients = torch.autograd.grad(broken.log().mean(), [values[cut] for cut in cuts], allow_unused=True)
    by_cut = {cut: gradient for cut, gradient in zip(cuts, gradients, strict=True) if gradient is not None}
    found: dict[str, _Reaction] = {}
    for out in near:
        if pair(out) not in by_cut:
            continue
        units = values[pair(out)].detach().movedim(out.axis, 0).flatten(1)
        reaction = _Reaction(
            (by_cut[pair(out)].movedim(out.axis, 0).flatten(1) * units).sum(1), *torch.aminmax(units, dim=1)
        )
        found[out.node] = _joined(found[out.node], reaction) if out.node in found else reaction
    return found


def _joined(one: _Reaction, other: _Reaction) -> _Reaction:
    """Of a node that was called twice."""
    if len(one.by_unit) != len(other.by_unit):
        return one
    low, high = torch.minimum(one.low, other.low), torch.maximum(one.high, other.high)
    return _Reaction(one.by_unit + other.by_unit, low, high)


def _strongest(found: Mapping[str, _Reaction], near: Sequence[Output]) -> Driver | None:
    best, known, factor = "", 1.0, 0.0
    for node in dict.fromkeys(out.node for out in near):
        whole = found[node].whole if node in found else 0.0
        # The nearest of those that make it grow alike, to some rounding.
        if whole / known > factor * (1 + 1e-6):
            best, factor = node, whole / known
        known = max(known, whole)
    return _driver(best, found[best]) if best else None


def _driver(node: str, reaction: _Reaction) -> Driver:
    sign = 1.0 if float(reaction.by_unit.sum()) >= 0 else -1.0
    parts = (sign * reaction.by_unit).clamp(min=0)
    shares, units = parts.div(parts.sum()).sort(descending=True, stable=True)
    missing = 1 - shares.cumsum(0) + shares  # of all, before each unit is counted
    kept = max(1, int((missing[:_UNITS] > 1 - _PART).sum()))
    chosen = units[:kept]
    return Driver(
        node,
        reaction.whole,
        tuple(chosen.tolist()),
        tuple(shares[:kept].tolist()),
        float(reaction.low[chosen].min()),
        float(reaction.high[chosen].max()),
    )
