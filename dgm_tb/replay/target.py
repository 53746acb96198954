"""A target as a function of what a run gives: its value, its values by sample, and the outputs it follows from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dgm_tb.errors import UnknownNameError
from dgm_tb.replay.ask import Target
from dgm_tb.replay.machine import Edits, Machine, pair
from dgm_tb.replay.path import Function, Pair, live
from dgm_tb.replay.tape import Output, Tape, feeding


def evaluate(target: Target, machine: Machine, sources: Mapping[int, Tensor], edits: Edits | None = None) -> float:
    """The target's value on given sources, with some values changed as they are made."""
    asked, function = function_of(target, machine.tape)
    with torch.set_grad_enabled(target.quantity == "gradient"):
        return float(function(machine.run(prepared(sources, target), asked, edits=edits)).detach())


@dataclass(frozen=True, slots=True)
class Looked:
    """A target in one run: its value, its parts by sample ``(batch,)`` (empty where it has none), and the mean size of
    the numbers that it is the mean of.
    """

    value: float
    parts: Tensor
    size: float


def look(target: Target, machine: Machine, sources: Mapping[int, Tensor]) -> Looked:
    """The target on given sources."""
    asked, gather = _gatherer(target, machine.tape)
    with torch.set_grad_enabled(target.quantity == "gradient"):
        found = [tensor.detach() for tensor in gather(machine.run(prepared(sources, target), asked))]
    size = float(torch.stack([part.abs().mean() for part in found]).mean())
    lengths = {len(part) for part in found if part.ndim}
    parts = torch.empty(0)
    if target.quantity != "loss" and len(lengths) == 1:
        by_sample = [part.reshape(len(part), -1).mean(1) for part in found]
        parts = torch.stack(by_sample).mean(0) / len(by_sample[0])
    return Looked(float(_mean(found)), parts, size)


def function_of(target: Target, tape: Tape) -> tuple[tuple[Pair, ...], Function]:
    """What a target asks a run for, and the target as a function of it."""
    asked, gather = _gatherer(target, tape)
    return asked, lambda values: _mean(gather(values))


def _mean(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack([part.mean() for part in parts]).mean()


def _gatherer(target: Target, tape: Tape) -> tuple[tuple[Pair, ...], Callable[[Mapping[Pair, Tensor]], list[Tensor]]]:
    """What a target asks a run for, and what of it the target is the mean of."""
    loss = loss_of(tape, target.program)
    if target.quantity == "loss":
        return (loss,), lambda values: [values[loss]]
    outs = outputs_of(tape, target)
    pairs = tuple(pair(out) for out in outs)

    def gathered(values: Mapping[Pair, Tensor]) -> list[Tensor]:
        tensors = [values[one] for one in pairs]
        if target.quantity == "gradient":
            found = torch.autograd.grad(values[loss], tensors, create_graph=True, allow_unused=True)
            tensors = [torch.zeros_like(t) if g is None else g for g, t in zip(found, tensors, strict=True)]
        return [_chosen(tensor, out.axis, target) for tensor, out in zip(tensors, outs, strict=True)]

    return (*pairs, loss) if target.quantity == "gradient" else pairs, gathered


def outputs_of(tape: Tape, target: Target) -> tuple[Output, ...]:
    """The outputs of the target's node; raises `UnknownNameError` where the tape has none."""
    outs = tape.outputs_of(target.node, target.program)
    if not outs:
        there = ", ".join(dict.fromkeys(out.node for out in tape.outputs if out.program == target.program))
        raise UnknownNameError(
            f"node {target.node!r} is not on the tape of {target.program!r} at step {tape.step}; it has: {there[:300]}"
        )
    return outs


def outputs_before(tape: Tape, target: Target) -> tuple[Output, ...]:
    """The outputs that the target depends on, its own included; what lies beside its way is left out."""
    asked, _ = function_of(target, tape)
    every = {pair(out): out for out in outputs_in(tape, target.program)}
    found = feeding(tape, asked, every)
    return tuple(out for one, out in every.items() if one in found)


def outputs_in(tape: Tape, program: str) -> tuple[Output, ...]:
    """All outputs that served a program, each once."""
    return tuple({pair(out): out for out in tape.outputs if out.program == program}.values())


def loss_of(tape: Tape, program: str) -> Pair:
    """A program's loss as what `Machine.run` is asked for; raises `UnknownNameError`."""
    for found in tape.programs:
        if found.name == program:
            return found.loss, found.at
    raise UnknownNameError(f"step {tape.step} has no program {program!r}; it has {', '.join(tape.program_names)}")


def prepared(sources: Mapping[int, Tensor], target: Target) -> Mapping[int, Tensor]:
    """The sources, as leaves of a graph where the target is itself a gradient."""
    return live(sources) if target.quantity == "gradient" else sources


def _chosen(tensor: Tensor, axis: int, target: Target) -> Tensor:
    """The target's units and samples of one output."""
    count = tensor.shape[axis]
    beyond = [unit for unit in target.units if unit >= count]
    if beyond:
        raise UnknownNameError(f"units: node {target.node!r} has no unit {beyond[0]}; it has 0 to {count - 1}")
    if target.samples is not None:
        tensor = tensor[list(target.samples)]
    return tensor.index_select(axis, torch.tensor(target.units or range(count)))


def mask_of(tensor: Tensor, axis: int, target: Target) -> Tensor:
    """One where the target's units are, else zero."""
    mask = torch.zeros(tensor.shape[axis], dtype=tensor.dtype)
    mask[list(target.units) or slice(None)] = 1
    shape = [1] * tensor.ndim
    shape[axis] = -1
    return mask.view(shape).expand_as(tensor).clone()
