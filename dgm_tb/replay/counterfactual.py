"""Replays with something undone or forced: what the target and the loss become."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from dgm_tb.errors import UnknownNameError, UsageError
from dgm_tb.replay.ask import Change, Target
from dgm_tb.replay.credit import Step
from dgm_tb.replay.machine import Machine, pair
from dgm_tb.replay.path import Pair
from dgm_tb.replay.tape import Output, Tape
from dgm_tb.replay.target import evaluate


@dataclass(frozen=True, slots=True)
class Outcome:
    """Target and loss as recorded and with the changes; not finite where the step was not."""

    target_before: float
    target_after: float
    loss_before: float
    loss_after: float


@dataclass
class _Plan:
    """The sources and edits that the changes make of a step."""

    machine: Machine
    sources: dict[int, Tensor]
    edits: dict[Pair, Callable[[Tensor], Tensor]]


def replay(target: Target, changes: Sequence[Change], later: Step, earlier: Step | None = None) -> Outcome:
    """Runs the step again in its recorded precision, as it was and with ``changes``.

    Raises `UsageError` for a change that cannot be made and `UnknownNameError` for a node that is not on the tape.
    """
    machine = Machine(later.tape)
    sources = machine.sources(later.tensors)
    plan = _Plan(machine, dict(sources), {})
    for change in changes:
        if change.kind not in _MADE:
            raise UsageError(f"changes: there is no change {change.kind!r}; there are {', '.join(_MADE)}")
        if earlier is None and change.kind.startswith("restore"):
            raise UsageError(f"changes: {change.kind} needs an earlier deep snapshot to restore from")
        _MADE[change.kind](plan, change, target, later, earlier)
    loss = Target(target.node, target.program, quantity="loss")
    return Outcome(
        evaluate(target, machine, sources),
        evaluate(target, machine, plan.sources, plan.edits),
        evaluate(loss, machine, sources),
        evaluate(loss, machine, plan.sources, plan.edits),
    )


def _clamp(plan: _Plan, change: Change, target: Target, later: Step, earlier: Step | None) -> None:
    if not change.low < change.high:
        raise UsageError(f"changes: clamp to [{change.low}, {change.high}] leaves nothing; the first must be the lower")
    for out in _outputs(later.tape, change.node, target.program):
        _edit(plan, out, change, lambda value: value.clamp(change.low, change.high))


def _restore_units(plan: _Plan, change: Change, target: Target, later: Step, earlier: Step | None) -> None:
    assert earlier is not None
    outs = _outputs(later.tape, change.node, target.program)
    before = plan.machine.run(_with_weights(plan, later, earlier, ""), [pair(out) for out in outs])
    for out in outs:
        _edit(plan, out, change, _always(before[pair(out)].detach()))


def _always(known: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda value: known


def _restore_weights(plan: _Plan, change: Change, target: Target, later: Step, earlier: Step | None) -> None:
    assert earlier is not None
    plan.sources = _with_weights(plan, later, earlier, change.node)


def _restore_samples(plan: _Plan, change: Change, target: Target, later: Step, earlier: Step | None) -> None:
    assert earlier is not None
    for source in later.tape.sources:
        there = earlier.tensors.get(source.key)
        if source.kind != "input" or there is None or there.shape != plan.sources[source.value].shape or not there.ndim:
            continue
        beyond = [position for position in change.units if position >= len(there)]
        if beyond:
            raise UnknownNameError(f"changes: the batch has no sample {beyond[0]}; it has 0 to {len(there) - 1}")
        restored = plan.sources[source.value].clone()
        chosen = list(change.units) or slice(None)
        restored[chosen] = there[chosen]
        plan.sources[source.value] = restored


_MADE: Final[Mapping[str, Callable[[_Plan, Change, Target, Step, Step | None], None]]] = {
    "clamp": _clamp,
    "restore-units": _restore_units,
    "restore-weights": _restore_weights,
    "restore-samples": _restore_samples,
}


def _with_weights(plan: _Plan, later: Step, earlier: Step, node: str) -> dict[int, Tensor]:
    """The sources with the parameters of a node, and of what is in it, as they were."""
    module = node.split("#")[0]
    sources = dict(plan.sources)
    touched = False
    for source in later.tape.sources:
        there = earlier.tensors.get(source.key)
        inside = not module or source.name.startswith(module + ".")
        if source.kind == "parameter" and inside and there is not None and there.shape == sources[source.value].shape:
            sources[source.value] = there
            touched = True
    if not touched:
        raise UnknownNameError(f"changes: {node or 'the model'!r} has no weights that both snapshots hold")
    return sources


def _edit(plan: _Plan, out: Output, change: Change, become: Callable[[Tensor], Tensor]) -> None:
    inner = plan.edits.get(pair(out))

    def edit(value: Tensor) -> Tensor:
        value = inner(value) if inner is not None else value
        new = become(value).to(value.dtype)
        if not change.units:
            return new
        if max(change.units) >= value.shape[out.axis]:
            raise UnknownNameError(f"changes: {out.node!r} has no unit {max(change.units)}")
        chosen = torch.tensor(change.units)
        return value.index_copy(out.axis, chosen, new.index_select(out.axis, chosen))

    plan.edits[pair(out)] = edit


def _outputs(tape: Tape, node: str, program: str) -> tuple[Output, ...]:
    outs = tape.outputs_of(node, program)
    if not outs:
        raise UnknownNameError(f"changes: node {node!r} is not on the tape of {program!r} at step {tape.step}")
    return outs
