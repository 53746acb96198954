"""The straight line on which sources move from one state to another: the target and its gradients at a place on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor

from dgm_tb.replay.kinks import Inputs, Kinks, Noted
from dgm_tb.replay.machine import Machine

Pair: TypeAlias = tuple[int, int]  # a value, before the op at a position
#: A target: a 0-d tensor from the values that it asked for.
Function: TypeAlias = Callable[[Mapping[Pair, Tensor]], Tensor]


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

    def single(self) -> Path:
        """The same line in float32."""
        machine = Machine(self.machine.tape, precise=True, dtype=torch.float32)

        def cast(sources: Mapping[int, Tensor]) -> dict[int, Tensor]:
            return {
                value: tensor.float() if tensor.is_floating_point() else tensor for value, tensor in sources.items()
            }

        return replace(self, machine=machine, start=cast(self.start), end=cast(self.end))

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
    def kinked(self) -> bool:
        """Whether derivatives jump along the line."""
        return self.machine.has_kinks(self.asked)

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

    def look(self, position: float) -> Place:
        """The line at one place."""
        sources, noted = self.at(position), Noted()
        wanted = tuple(dict.fromkeys((*self.asked, *self.cuts)))
        with torch.set_grad_enabled(self.differentiates):
            values = self.machine.run(live(sources) if self.differentiates else sources, wanted, kinks=noted)
            value = float(self.target(values).detach())
        return Place(value, {cut: values[cut].detach() for cut in self.cuts}, noted.inputs)

    def gradients(self, position: float, kinks: Kinks | None) -> Gradients:
        """∂F/∂x of every moving source and cut at one place."""
        sources = self.at(position)
        leaves = live(sources) if self.differentiates else sources | live({one: sources[one] for one in self.moving})
        wanted = tuple(dict.fromkeys((*self.asked, *self.cuts)))
        values = self.machine.run(leaves, wanted, kinks=kinks)
        found = _derived(
            self.target(values), [*(leaves[one] for one in self.moving), *(values[cut] for cut in self.cuts)]
        )
        count = len(self.moving)
        return Gradients(
            dict(zip(self.moving, found[:count], strict=True)),
            dict(zip(self.cuts, found[count:], strict=True)),
            {cut: values[cut].detach() for cut in self.cuts},
        )


@dataclass(frozen=True)
class Place:
    """The target's value at a place, the cuts', and what the ops with kinks were given."""

    value: float
    cuts: Mapping[Pair, Tensor]
    inputs: Mapping[int, Inputs]

    @cached_property
    def bytes(self) -> int:
        given = (one for inputs in self.inputs.values() for one in inputs if isinstance(one, Tensor))
        return sum(tensor.nbytes for tensor in (*self.cuts.values(), *given))


@dataclass(frozen=True)
class Gradients:
    """∂F/∂x by source and by cut, and the cuts' ``values``, at one place; None where the target does not depend."""

    sources: Mapping[int, Tensor | None]
    cuts: Mapping[Pair, Tensor | None]
    values: Mapping[Pair, Tensor]


def live(sources: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """The sources, floating ones as leaves of a graph."""
    return {
        value: tensor.detach().requires_grad_() if tensor.is_floating_point() else tensor
        for value, tensor in sources.items()
    }


def _derived(target: Tensor, wanted: Sequence[Tensor]) -> list[Tensor | None]:
    """The target's gradients; None where it does not depend on a tensor."""
    found: list[Tensor | None] = [None] * len(wanted)
    places = [place for place, tensor in enumerate(wanted) if tensor.requires_grad]
    if target.requires_grad and places:
        gradients = torch.autograd.grad(target, [wanted[place] for place in places], allow_unused=True)
        for place, gradient in zip(places, gradients, strict=True):
            found[place] = gradient
    return found
