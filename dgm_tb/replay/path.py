"""The straight line on which sources move from one state to another, and a target's gradient integrated along it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from dgm_tb.replay.machine import Machine
from dgm_tb.replay.substitutes import UnknownOpError

Key = TypeVar("Key", int, tuple[int, int])

Pair: TypeAlias = tuple[int, int]  # a value, before the op at a position
#: A target: a 0-d tensor from the values that it asked for.
Function: TypeAlias = Callable[[Mapping[Pair, Tensor]], Tensor]

#: Gauss–Legendre nodes of one interval: smooth networks need no second one; where kinks of ReLU lie close, halving
#: intervals of fewer nodes is cheaper, of more dearer.
ORDER: Final = 3
#: Nodes that are always allowed; beyond them the caller is asked.
MOST_NODES: Final = 128

#: Told how many nodes were spent; whether more may be.
Progress: TypeAlias = Callable[[int], bool]
#: Central differences in float64: the error of the formula, h², meets that of rounding, ε / h.
_STEP: Final = 6e-6


@dataclass(frozen=True)
class Path:
    """What moves: ``start`` and ``end`` by source (all of them, those that stay included), ``cuts`` the values at whose
    units credit is read off, ``asked`` the values that ``target`` is a function of.
    """

    machine: Machine
    start: Mapping[int, Tensor]
    end: Mapping[int, Tensor]
    asked: tuple[Pair, ...]
    target: Function
    cuts: tuple[Pair, ...] = ()
    differentiates: bool = False  # the target is itself a gradient: it needs a graph

    @cached_property
    def moving(self) -> tuple[int, ...]:
        """The floating sources that differ at the ends."""
        return tuple(
            value
            for value, tensor in self.end.items()
            if tensor.is_floating_point() and not torch.equal(tensor, self.start[value])
        )

    @property
    def jumps(self) -> bool:
        """Whether something differs at the ends that cannot move between them, such as tokens."""
        return any(
            not tensor.is_floating_point() and not torch.equal(tensor, self.start[value])
            for value, tensor in self.end.items()
        )

    @cached_property
    def steps(self) -> dict[int, Tensor]:
        """How far each moving source goes."""
        return {value: self.end[value] - self.start[value] for value in self.moving}

    def at(self, position: float) -> dict[int, Tensor]:
        """The sources at a place between 0 and 1; what cannot move between its states is at the end of the line."""
        return {
            value: torch.lerp(self.start[value], tensor, position) if value in self.steps else tensor
            for value, tensor in self.end.items()
        }

    def value(self, position: float) -> float:
        """The target at a place."""
        sources = self.at(position)
        if not self.differentiates:
            with torch.no_grad():
                return float(self.target(self.machine.run(sources, self.asked)))
        return float(self.target(self.machine.run(live(sources), self.asked)).detach())


@dataclass(frozen=True)
class Integral:
    """``sources`` and ``cuts``: credit of every element, as large as its tensor.

    ``gap`` is what the sum over all sources misses of the target's change, ``nodes`` how many places were looked at.
    """

    sources: Mapping[int, Tensor]
    cuts: Mapping[Pair, Tensor]
    gap: float
    nodes: int


def within(nodes: int) -> bool:
    """As many nodes as are always allowed."""
    return nodes + 2 * ORDER <= MOST_NODES


def integrate(path: Path, ends: tuple[float, float], tolerance: float, progress: Progress = within) -> Integral:
    """∫ ∂F/∂x · dx/dτ dτ over the line, for every moving source and every cut.

    Layer conductance (Dhamdhere, Sundararajan, Yan 2018) along a path of parameters, buffers and inputs. ``ends``: the
    target's values there; its own values at the ends of an interval tell its exact error. The worst interval is halved
    until together they miss less than ``tolerance``, as a sum and as the root of their squares, so that errors that
    cancel do not end it.
    """
    known = {0.0: ends[0], 1.0: ends[1]}
    intervals = [_Interval.over(path, 0.0, 1.0, known)]
    nodes = ORDER
    while _missed(intervals) > tolerance and progress(nodes):
        worst = max(intervals, key=lambda part: abs(part.gap))
        intervals.remove(worst)
        middle = (worst.low + worst.high) / 2
        known[middle] = path.value(middle)
        intervals += [_Interval.over(path, worst.low, middle, known), _Interval.over(path, middle, worst.high, known)]
        nodes += 2 * ORDER
    return Integral(
        _summed([part.sources for part in intervals]),
        _summed([part.cuts for part in intervals]),
        abs(sum(part.gap for part in intervals)),
        nodes,
    )


def _missed(intervals: Sequence[_Interval]) -> float:
    gaps = [part.gap for part in intervals]
    return max(abs(sum(gaps)), math.hypot(*gaps))


@dataclass(frozen=True)
class _Interval:
    low: float
    high: float
    sources: Mapping[int, Tensor]
    cuts: Mapping[Pair, Tensor]
    gap: float

    @classmethod
    def over(cls, path: Path, low: float, high: float, ends: Mapping[float, float]) -> _Interval:
        places, weights = np.polynomial.legendre.leggauss(ORDER)
        sources: list[dict[int, Tensor]] = []
        cuts: list[dict[Pair, Tensor]] = []
        for place, weight in zip(places, weights, strict=True):
            at, scale = low + (high - low) * (place + 1) / 2, (high - low) * weight / 2
            of_sources, of_cuts = rates(path, float(at))
            sources.append({value: scale * rate for value, rate in of_sources.items()})
            cuts.append({pair: scale * rate for pair, rate in of_cuts.items()})
        total = _summed(sources)
        gap = ends[high] - ends[low] - sum(float(credit.sum()) for credit in total.values())
        return cls(low, high, total, _summed(cuts), gap)


def live(sources: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """The sources, floating ones as leaves of a graph."""
    return {
        value: tensor.detach().requires_grad_() if tensor.is_floating_point() else tensor
        for value, tensor in sources.items()
    }


def rates(path: Path, position: float) -> tuple[dict[int, Tensor], dict[Pair, Tensor]]:
    """∂F/∂x · dx/dτ at one place, for every moving source and every cut."""
    moving, steps = path.moving, path.steps
    sources = path.at(position)
    leaves = live(sources) if path.differentiates else sources | live({value: sources[value] for value in moving})
    values, tangents = _with_tangents(path, leaves, steps, position)
    target = path.target(values)
    wanted = [*(leaves[value] for value in moving), *(values[cut] for cut in path.cuts)]
    if not target.requires_grad:
        gradients: Sequence[Tensor | None] = [None] * len(wanted)
    else:
        differentiable = [index for index, tensor in enumerate(wanted) if tensor.requires_grad]
        found = torch.autograd.grad(target, [wanted[index] for index in differentiable], allow_unused=True)
        by_index = dict(zip(differentiable, found, strict=True))
        gradients = [by_index.get(index) for index in range(len(wanted))]
    of_sources = {
        value: torch.zeros_like(steps[value]) if gradient is None else gradient * steps[value]
        for value, gradient in zip(moving, gradients, strict=False)
    }
    of_cuts = {
        cut: torch.zeros_like(tangents[cut]) if gradient is None else gradient * tangents[cut]
        for cut, gradient in zip(path.cuts, gradients[len(moving) :], strict=True)
    }
    return of_sources, of_cuts


def _with_tangents(
    path: Path, leaves: Mapping[int, Tensor], steps: Mapping[int, Tensor], position: float
) -> tuple[dict[Pair, Tensor], dict[Pair, Tensor]]:
    """The values asked for, in one graph, and how fast the cuts move along the line."""
    wanted = tuple(dict.fromkeys((*path.asked, *path.cuts)))
    if not path.cuts:
        return path.machine.run(leaves, wanted), {}
    try:
        with forward_ad.dual_level():
            duals = {value: dual(leaf, steps[value]) if value in steps else leaf for value, leaf in leaves.items()}
            values = path.machine.run(duals, wanted, fresh=path.cuts)
            tangents = {cut: tangent_of(values[cut]) for cut in path.cuts}
        return values, tangents
    except UnknownOpError:  # an op without a forward derivative
        values = path.machine.run(leaves, wanted, fresh=path.cuts)
        return values, _differences(path, position)


def dual(primal: Tensor, tangent: Tensor) -> Tensor:
    """A tensor that moves by ``tangent``, inside a `forward_ad.dual_level`."""
    made: Tensor = forward_ad.make_dual(primal, tangent)
    return made


def tangent_of(moving: Tensor) -> Tensor:
    """How a tensor moves: zero where it does not."""
    tangent = forward_ad.unpack_dual(moving).tangent
    return torch.zeros_like(moving) if tangent is None else tangent.detach().clone()


def _differences(path: Path, position: float) -> dict[Pair, Tensor]:
    with torch.no_grad():
        later = path.machine.run(path.at(position + _STEP), path.cuts, fresh=path.cuts)
        earlier = path.machine.run(path.at(position - _STEP), path.cuts, fresh=path.cuts)
        return {cut: (later[cut] - earlier[cut]) / (2 * _STEP) for cut in path.cuts}


def _summed(parts: Sequence[Mapping[Key, Tensor]]) -> dict[Key, Tensor]:
    total: dict[Key, Tensor] = {}
    for part in parts:
        for key, value in part.items():
            total[key] = total[key] + value if key in total else value.detach()
    return total
