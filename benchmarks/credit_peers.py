"""What orders a layer's units for a change or a value: credit, and what others would go by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final, TypeAlias

import numpy as np
import torch
from captum.attr import LayerConductance, LayerLRP
from captum.attr._utils.lrp_rules import EpsilonRule
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.credit_digits import Digits
from dgm_tb.replay.ask import Change, Target
from dgm_tb.replay.counterfactual import replay
from dgm_tb.replay.credit import Step, change_credit, value_credit
from dgm_tb.replay.machine import Machine, pair
from dgm_tb.replay.target import function_of

Scores: TypeAlias = NDArray[np.float64]
PROGRAM: Final = "backward#0"


@dataclass(frozen=True)
class Case:
    """Units of ``layer``, a ReLU of the networks, and the mean of logit ``unit`` over the later step's batch."""

    earlier: Step
    later: Step
    networks: tuple[Digits, Digits]  # in float64, as they were at either step
    batch: Tensor  # the later step's images
    layer: int
    unit: int

    @property
    def node(self) -> str:
        return f"body.{self.layer}"

    @property
    def target(self) -> Target:
        return Target(f"body.{len(self.networks[1].body) - 1}", PROGRAM, (self.unit,))

    @cached_property
    def units(self) -> int:
        return self.seen(1)[0].shape[1]

    def seen(self, at: int) -> tuple[Tensor, Tensor]:
        """The layer's output at the earlier (0) or later (1) step on the later batch, and the target's gradient."""
        body = self.networks[at].body
        hidden = body[: self.layer + 1](self.batch.double()).detach().requires_grad_()
        out = body[self.layer + 1 :](hidden)[:, self.unit].mean()
        return hidden.detach(), torch.autograd.grad(out, hidden)[0]

    def outgoing(self) -> Tensor:
        """Σ|w| of what the next layer reads of each unit."""
        following = self.networks[1].body[self.layer + 1 :].parameters()
        weight = next(following).abs()
        by_input = weight.sum((0, 2, 3)) if weight.ndim == 4 else weight.sum(0)
        return by_input.reshape(self.units, -1).sum(1)


def by_unit(tensor: Tensor) -> Scores:
    """Summed over positions, averaged over the batch."""
    return np.asarray(tensor.detach().flatten(2).sum(2).mean(0) if tensor.ndim > 2 else tensor.detach().mean(0))


def _lrp(case: Case, at: int) -> Scores:
    network = deepcopy(case.networks[at]).requires_grad_(True)
    for part in network.body:
        if isinstance(part, nn.Flatten):
            part.rule = EpsilonRule()  # it only renames positions; captum asks for some rule
    following = LayerLRP(network, network.body[case.layer + 1])
    found = following.attribute(case.batch.double(), target=case.unit, attribute_to_layer_input=True)
    return by_unit(found[0] if isinstance(found, tuple) else found)


def _conductance(case: Case, at: int) -> Scores:
    network, x = case.networks[at], case.batch.double()
    found = LayerConductance(network, network.body[case.layer]).attribute(
        x, torch.zeros_like(x), target=case.unit, n_steps=32
    )
    return by_unit(found)


def _input(case: Case, at: int) -> Scores:
    hidden, gradient = case.seen(at)
    return by_unit(gradient * hidden) * len(hidden)


def _size(case: Case, at: int) -> Scores:
    return by_unit(case.seen(at)[0].abs())


#: What explains a value at one step; the change of it is their difference between two.
VALUES: Final[Mapping[str, Callable[[Case, int], Scores]]] = {
    "LayerConductance (captum)": _conductance,
    "LRP-ε (captum)": _lrp,
    "gradient × activation": _input,
    "\\|w·a\\|": lambda case, at: _size(case, at) * np.asarray(case.outgoing()),
    "\\|a\\|": _size,
}


def _change(case: Case) -> Scores:
    return change_credit(case.target, case.earlier, case.later, batch="same").units[case.node]


def _moved(case: Case) -> Scores:
    (before, _), (after, gradient) = case.seen(0), case.seen(1)
    return by_unit(gradient * (after - before)) * len(after)


def _distance(case: Case) -> Scores:
    return by_unit((case.seen(1)[0] - case.seen(0)[0]).abs())


def _later(of: Callable[[Case, int], Scores], case: Case) -> Scores:
    return of(case, 1)


def _difference(of: Callable[[Case, int], Scores], case: Case) -> Scores:
    return of(case, 1) - of(case, 0)


#: Scores of a layer's units for the target's change. Unsigned ones cannot say who pushed and who held.
FOR_CHANGE: Final[Mapping[str, Callable[[Case], Scores]]] = {
    "**change credit**": _change,
    **{f"{name}, difference": partial(_difference, of) for name, of in VALUES.items() if not name.startswith("\\|")},
    "gradient × Δa": _moved,
    "\\|Δa\\|": _distance,
    **{name: partial(_later, of) for name, of in VALUES.items()},
}
UNSIGNED: Final = ("\\|Δa\\|", "\\|w·a\\|", "\\|a\\|")

#: Scores for the target's value at the later step.
FOR_VALUE: Final[Mapping[str, Callable[[Case], Scores]]] = {
    "**value credit**": lambda case: value_credit(case.target, case.later).units[case.node],
    **{name: partial(_later, of) for name, of in VALUES.items()},
}


def restored(case: Case, units: Sequence[int]) -> float:
    """The target with ``units`` of the layer as the earlier step's weights make them."""
    if not units:
        return replay(case.target, (), case.later, case.earlier).target_before
    change = Change("restore-units", case.node, tuple(units))
    return replay(case.target, (change,), case.later, case.earlier).target_after


def deleted(case: Case, units: Sequence[int]) -> float:
    """The target with ``units`` of the layer at zero."""
    machine = Machine(case.later.tape)
    asked, function = function_of(case.target, case.later.tape)
    gone = torch.zeros(case.units, dtype=torch.bool)
    gone[list(units)] = True
    edits = {
        pair(out): lambda value: value.masked_fill(gone.view(1, -1, *[1] * (value.ndim - 2)), 0.0)
        for out in case.later.tape.outputs_of(case.node, PROGRAM)
    }
    with torch.no_grad():
        return float(function(machine.run(machine.sources(case.later.tensors), asked, edits=edits)))


def relus(network: Digits) -> list[int]:
    return [index for index, part in enumerate(network.body) if isinstance(part, nn.ReLU)]
