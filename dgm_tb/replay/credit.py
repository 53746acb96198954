"""Credit: how much each unit, weight, input and sample accounts for a target's change between two snapshots, or value.

Source: Dhamdhere, Sundararajan, Yan 2018, *How important is a neuron?* (conductance) and Sundararajan, Taly, Yan 2017,
*Axiomatic attribution for deep networks*; here the path runs through weights and buffers too, from one snapshot's to
another's, so that the parts add up to the change of the target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from dgm_tb.errors import UsageError
from dgm_tb.replay.ask import Target
from dgm_tb.replay.integral import Integral, Progress, integrate, within
from dgm_tb.replay.machine import Machine, pair
from dgm_tb.replay.parts import Array, Credit
from dgm_tb.replay.path import Pair, Path, live
from dgm_tb.replay.tape import Output, Source, Tape
from dgm_tb.replay.target import (
    function_of,
    look,
    loss_of,
    mask_of,
    outputs_before,
    outputs_in,
    outputs_of,
)

#: The completeness that is asked for: of the change, and of the values where the change is small beside them.
TOLERANCE: Final = 1e-3
OF_VALUES: Final = 1e-6
#: Of the numbers that a target is the mean of: where they cancel, as the gradients of all logits do, rounding is left.
OF_SIZE: Final = 1e-13
#: Of a movement that rounding may be.
BLUR: Final = 1e-3
#: Feature maps are kept up to so many numbers a node; larger ones are averaged down.
LARGEST_MAP: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Step:
    """One deep snapshot, loaded: its tape and its numbers by key."""

    tape: Tape
    tensors: Mapping[str, Tensor]


def change_credit(
    target: Target,
    earlier: Step,
    later: Step,
    *,
    batch: str = "own",
    tolerance: float = TOLERANCE,
    progress: Progress = within,
) -> Credit:
    """Credit for the target's change from one snapshot to another.

    ``batch="own"``: each on its own batch and noise (how much came from data, how much from weights); ``"same"``: both
    on the later one's. Raises `UsageError` where the two steps did not run the same program on the same shapes.
    """
    path, outs = path_of(target, earlier, later, batch=batch)
    return _credit(target, path, outs, tolerance, progress)


def path_of(target: Target, earlier: Step, later: Step, *, batch: str = "own") -> tuple[Path, tuple[Output, ...]]:
    """The line that `change_credit` integrates along, and the outputs whose units it credits."""
    machine = Machine(later.tape, precise=True)
    end = machine.sources(later.tensors)
    return _path(target, machine, _earlier(earlier, later, end, moves=batch == "own"), end)


def value_credit(
    target: Target,
    step: Step,
    *,
    baseline: str = "zero",
    tolerance: float = TOLERANCE,
    progress: Progress = within,
) -> Credit:
    """Credit for the target's value at one snapshot: its change as the inputs come from a baseline to what they are.

    ``baseline`` is ``zero`` or ``mean``, the mean over the batch. Equal to integrated gradients at the inputs and layer
    conductance at the units. Raises `UsageError` where no input can move gradually.
    """
    machine = Machine(step.tape, precise=True)
    end = machine.sources(step.tensors)
    inputs = [
        source for source in step.tape.sources if source.kind == "input" and end[source.value].is_floating_point()
    ]
    if not inputs:
        raise UsageError("the batch holds no floating-point input: ask for the change between two snapshots instead")
    start = dict(end)
    for source in inputs:
        tensor = end[source.value]
        start[source.value] = torch.zeros_like(tensor) if baseline == "zero" else tensor.mean(0, True).expand_as(tensor)
    path, outs = _path(target, machine, start, end)
    return _credit(target, path, outs, tolerance, progress)


def after_credit(target: Target, step: Step) -> dict[str, Array]:
    """How much of the target's gradient comes through each unit after it: ``{node: (units,)}``.

    One forward derivative from the target's units gives da/dt of every later unit, times its own gradient; at each
    cut of the graph these add up to the gradient of the loss with respect to the target's units, summed.
    """
    machine = Machine(step.tape, precise=True)
    sources = machine.sources(step.tensors)
    outs = outputs_of(step.tape, target)
    first = min(out.at for out in outs)
    later = tuple(out for out in outputs_in(step.tape, target.program) if out.at >= first)
    loss = loss_of(step.tape, target.program)
    with forward_ad.dual_level():

        def seeded(output: Output) -> Callable[[Tensor], Tensor]:
            return lambda value: _dual(value.clone(), mask_of(value, output.axis, target))

        edits = {pair(out): seeded(out) for out in outs}
        cuts = tuple(pair(out) for out in later)
        values = machine.run(live(sources), (loss, *cuts), edits=edits)
        tangents = {cut: _tangent_of(values[cut]) for cut in cuts}
    gradients = torch.autograd.grad(values[loss], [values[cut] for cut in cuts], allow_unused=True)
    parts = {
        cut: gradient * tangents[cut] for cut, gradient in zip(cuts, gradients, strict=True) if gradient is not None
    }
    return _by_node(later, parts)[0]


def _dual(primal: Tensor, tangent: Tensor) -> Tensor:
    made: Tensor = forward_ad.make_dual(primal, tangent)
    return made


def _tangent_of(moving: Tensor) -> Tensor:
    tangent = forward_ad.unpack_dual(moving).tangent
    return torch.zeros_like(moving) if tangent is None else tangent.detach().clone()


def _path(
    target: Target, machine: Machine, start: Mapping[int, Tensor], end: Mapping[int, Tensor]
) -> tuple[Path, tuple[Output, ...]]:
    asked, function = function_of(target, machine.tape)
    outs = outputs_before(machine.tape, target)
    cuts = tuple(pair(out) for out in outs)
    return Path(machine, start, end, asked, function, cuts, target.quantity == "gradient"), outs


def _credit(target: Target, path: Path, outs: tuple[Output, ...], tolerance: float, progress: Progress) -> Credit:
    machine = path.machine
    before, after = look(target, machine, path.start), look(target, machine, path.end)
    begin, final, samples = before.value, after.value, after.parts - before.parts
    moved = path.look(0.0).value if path.jumps else begin  # where all that moves gradually is at the start
    size = before.size + after.size
    limit = max(tolerance * max(abs(final - begin), OF_VALUES * (abs(begin) + abs(final))), OF_SIZE * size)
    found = _integral(path, (moved, final), limit, size, progress)
    units, maps = _by_node(outs, found.cuts)
    groups = _grouped(machine.tape.sources, found)
    return Credit(
        target, begin, final, found.gap, found.gap <= limit, found.nodes, units, maps,
        parameters=groups["parameter"], buffers=groups["buffer"], inputs=groups["input"],
        samples=np.asarray(samples, np.float64),
        noise=sum(float(part.sum()) for kind in ("random", "constant") for part in groups[kind].values()),
        discrete=moved - begin,
    )  # fmt: skip


def _integral(path: Path, ends: tuple[float, float], limit: float, size: float, progress: Progress) -> Integral:
    """In float32, unless rounding shows: in the target of numbers of this size, in how units move, or in the gap."""
    single, spent = path.single(), 0
    if single.machine.epsilon * size < limit:
        found = integrate(single, ends, limit, progress)
        if found.blur <= BLUR and (found.gap <= limit or found.rounded < limit):
            return found
        spent = found.nodes
    return integrate(path, ends, limit, lambda nodes: progress(spent + nodes))


def _earlier(earlier: Step, later: Step, end: Mapping[int, Tensor], *, moves: bool) -> dict[int, Tensor]:
    """The later step's sources as they were at the earlier one; batch and noise only if they ``move`` too."""
    there = {source.key: source for source in earlier.tape.sources}
    start = dict(end)
    for source in later.tape.sources:
        if source.kind not in ("parameter", "buffer") and not moves:
            continue
        known = there.get(source.key)
        if known is None or known.shape != source.shape:
            was = "was not there" if known is None else f"had the shape {list(known.shape)}"
            remedy = "" if source.kind in ("parameter", "buffer") else "; ask with batch='same'"
            raise UsageError(
                f"{source.kind} {source.name or source.key!r} has the shape {list(source.shape)} at step "
                f"{later.tape.step}; at step {earlier.tape.step} it {was}: nothing leads from one to the other{remedy}"
            )
        tensor = earlier.tensors[known.key]
        start[source.value] = tensor.to(end[source.value].dtype)
    return start


def _by_node(outs: Iterable[Output], credit: Mapping[Pair, Tensor]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Credit over units, summed over batch, positions and calls, and feature maps where there are some."""
    units: dict[str, Array] = {}
    maps: dict[str, Array] = {}
    for out in outs:
        part = credit.get(pair(out))
        if part is None:
            continue
        by_unit = part.detach().movedim(out.axis, 0)
        row = by_unit.reshape(len(by_unit), -1).sum(1).numpy()
        units[out.node] = units[out.node] + row if out.node in units and len(units[out.node]) == len(row) else row
        if part.ndim == 4 and out.axis == 1:
            image = _small(part.detach().sum(0))
            maps[out.node] = maps[out.node] + image if out.node in maps else image
    return units, maps


def _small(image: Tensor) -> Array:
    """``(units, height, width)``, summed over neighbours until it is small enough to show."""
    while image.numel() > LARGEST_MAP and min(image.shape[1:]) >= 2:
        image = torch.nn.functional.avg_pool2d(image[None], 2, ceil_mode=True)[0] * 4
    return np.asarray(image.numpy(), np.float64)


def _grouped(sources: Iterable[Source], found: Integral) -> dict[str, dict[str, Array]]:
    groups: dict[str, dict[str, Array]] = {kind: {} for kind in ("parameter", "buffer", "input", "random", "constant")}
    for source in sources:
        part = found.sources.get(source.value)
        if part is None:
            continue
        array = part.numpy()
        if source.kind in ("parameter", "buffer"):
            array = array.reshape(len(array), -1).sum(1) if array.ndim else array.reshape(1)
        name = source.name or source.key
        known = groups[source.kind].get(name)
        groups[source.kind][name] = array if known is None else known + array
    return groups
