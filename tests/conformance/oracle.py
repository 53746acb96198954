"""What should have been recorded: a training repeated by hand with plain hooks, `autograd.grad` and NumPy, slowly."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from dgm_tb.moments import STATISTICS
from dgm_tb.records import RowKey
from tests.conformance.cases import Case

Values = tuple[NDArray[np.float64], NDArray[np.float64]]  # (units, values) and the batch position of each value

#: Calls of a module in one program up to which each has rows of its own.
SEPARATE = 4


@dataclass
class Output:
    """One tensor that a call of a module gave; ``path`` with the output's path behind it."""

    module: str
    path: str
    call: int
    before: int  # backward passes before the call
    value: Tensor
    edge: GradientEdge | None
    gradients: dict[int, Tensor] = field(default_factory=dict)  # program -> its gradient


@dataclass(frozen=True)
class Step:
    """The rows ``(STATISTICS, units)`` of one step, and the losses of its programs (means over micro-batches)."""

    rows: dict[RowKey, NDArray[np.float64]]
    losses: list[float]


def repeat(case: Case, root: nn.Module, batches: list[Any], optimizers: list[torch.optim.Optimizer]) -> Iterator[Step]:
    """Trains ``root["network"]`` on ``batches``, and says of each step what its rows should be."""
    network = root.get_submodule("network")
    for start in range(0, len(batches), case.accumulate):
        parts: dict[RowKey, list[Values]] = {}
        losses: list[list[float]] = [[] for _ in optimizers]
        micro = batches[start : start + case.accumulate]
        for batch in micro:
            outputs: list[Output] = []
            with _hooked(case, network, outputs) as begun:
                for program, (loss_of, optimizer) in enumerate(
                    zip(case.losses(network, batch), optimizers, strict=True)
                ):
                    loss = loss_of()
                    losses[program].append(loss.item())
                    scaled = loss / case.accumulate
                    _gradients(outputs, scaled, program)
                    begun[0] += 1
                    if case.accumulate == 1 or batch is micro[0]:
                        optimizer.zero_grad()
                    scaled.backward(retain_graph=True)
                    if batch is micro[-1]:
                        _optimize(case, network, optimizer, f"backward#{program}", parts)
            _collect(case, outputs, len(optimizers), parts)
        if start == 0:
            _frozen(case, network, parts)
        yield Step({key: moments(values) for key, values in parts.items()}, [float(np.mean(v)) for v in losses])


class _hooked:
    """Plain forward hooks on the modules that the case names."""

    def __init__(self, case: Case, network: nn.Module, outputs: list[Output]) -> None:
        self.begun = [0]
        self._handles = []
        paths = {path.partition("[")[0] for path in case.outputs}
        counts: Counter[str] = Counter()
        for path in paths:

            def hook(module: nn.Module, args: Any, output: Any, path: str = path) -> None:
                call, counts[path] = counts[path], counts[path] + 1
                for suffix, tensor in _named(case, path, output):
                    edge = get_gradient_edge(tensor) if tensor.requires_grad else None
                    kept = tensor.detach().clone()
                    outputs.append(Output(path, path + suffix, call, self.begun[0], kept, edge))

            self._handles.append(network.get_submodule(path).register_forward_hook(hook))

    def __enter__(self) -> list[int]:
        return self.begun

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()


def _named(case: Case, path: str, output: Any) -> Iterator[tuple[str, Tensor]]:
    """The outputs that the case speaks of: it names further ones by their path, such as ``[more][0]``."""
    for name in case.outputs:
        if name.partition("[")[0] != path:
            continue
        suffix = name[len(path) :]
        found = output
        for part in suffix.strip("[]").split("][") if suffix else []:
            found = found[int(part)] if part.isdigit() else _fields(found)[part]
        while not isinstance(found, Tensor):
            found = found[0] if isinstance(found, tuple) else next(iter(_fields(found).values()))
        yield suffix, found


def _fields(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else vars(value)


def _gradients(outputs: list[Output], loss: Tensor, program: int) -> None:
    """What of ``loss`` arrives at each output: asked of autograd for each by itself."""
    differentiable = [output for output in outputs if output.edge is not None]
    edges = [output.edge for output in differentiable]
    found = torch.autograd.grad(loss, edges, retain_graph=True, allow_unused=True)  # type: ignore[arg-type]
    for output, gradient in zip(differentiable, found, strict=True):
        if gradient is not None:
            output.gradients[program] = gradient.detach().clone()


def _optimize(
    case: Case,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    program: str,
    parts: dict[RowKey, list[Values]],
) -> None:
    owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
    mine = [
        (node, network.get_parameter(name), cube)
        for node, named in case.weights.items()
        for name, cube in named
        if id(network.get_parameter(name)) in owned
    ]
    before = [(p.detach().clone(), None if p.grad is None else p.grad.clone()) for _, p, _ in mine]
    if case.clip is not None:
        torch.nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], case.clip)
    optimizer.step()
    for (node, parameter, cube), (weight, gradient) in zip(mine, before, strict=True):
        found = {"weight": weight, "weight_gradient": gradient, "update": parameter.detach() - weight}
        for quantity, value in found.items():
            if value is not None:
                parts.setdefault(RowKey(f"network.{node}", program, quantity), []).append(_of_weight(cube(value)))


def _frozen(case: Case, network: nn.Module, parts: dict[RowKey, list[Values]]) -> None:
    """What is not trained has a weight in the first snapshot."""
    for node, named in case.weights.items():
        for name, cube in named:
            if not network.get_parameter(name).requires_grad:
                key = RowKey(f"network.{node}", "backward#0", "weight")
                parts.setdefault(key, []).append(_of_weight(cube(network.get_parameter(name).detach())))


def _of_weight(cube: Tensor) -> Values:
    """Of ``(outer, units, inner)``; a weight has no samples."""
    values = cube.transpose(0, 1).flatten(1).double().numpy()
    return values, np.full(values.shape[1], -1.0)


def _collect(case: Case, outputs: list[Output], programs: int, parts: dict[RowKey, list[Values]]) -> None:
    """Files every output under its node: numbered by its module's calls in the program, merged if they are many."""
    arrived: dict[tuple[str, int], set[int]] = {}
    for output in outputs:
        arrived.setdefault((output.module, output.call), set()).update(output.gradients)
    served = {
        (output.module, output.call): sorted(arrived[output.module, output.call]) or [min(output.before, programs - 1)]
        for output in outputs
    }
    numbers: dict[tuple[str, int, int], int] = {}  # module, program, call -> its number in the program
    totals: Counter[tuple[str, int]] = Counter()
    for (module, call), its in sorted(served.items(), key=lambda item: item[0][1]):
        for program in its:
            numbers[module, program, call] = totals[module, program]
            totals[module, program] += 1

    def node(output: Output, program: int) -> str:
        number = numbers[output.module, program, output.call]
        apart = number and totals[output.module, program] <= SEPARATE
        return f"network.{output.module}{f'#{number}' if apart else ''}{output.path[len(output.module) :]}"

    for output in outputs:
        axis, units = case.outputs[output.path]
        its = served[output.module, output.call]
        values = _values(output.value, axis)
        assert len(values[0]) == units, (output.path, output.value.shape)
        key = RowKey(node(output, its[0]), f"backward#{its[0]}", "activation")
        parts.setdefault(key, []).append(values)
        for program, gradient in output.gradients.items():
            key = RowKey(node(output, program), f"backward#{program}", "gradient")
            parts.setdefault(key, []).append(_values(gradient, axis))


def _values(tensor: Tensor, axis: int) -> Values:
    array = tensor.detach().double().numpy()
    positions = np.broadcast_to(np.arange(len(array), dtype=float).reshape(-1, *[1] * (array.ndim - 1)), array.shape)
    units = array.shape[axis]
    return np.moveaxis(array, axis, 0).reshape(units, -1), np.moveaxis(positions, axis, 0).reshape(units, -1)[0]


def moments(parts: list[Values]) -> NDArray[np.float64]:
    """``(STATISTICS, units)`` of all values of a row."""
    values = np.concatenate([value for value, _ in parts], axis=1)
    samples = np.concatenate([sample for _, sample in parts])
    out = np.empty((len(STATISTICS), len(values)))
    for unit, all_of in enumerate(values):
        finite = all_of[np.isfinite(all_of)]
        extreme = int(np.argmax(np.where(np.isfinite(all_of), np.abs(all_of), -1.0)))
        mean = math.fsum(finite) / len(finite) if len(finite) else math.nan
        out[:, unit] = (
            len(all_of),
            mean,
            math.fsum((finite - mean) ** 2) if len(finite) else math.nan,
            finite.min(initial=math.inf) if len(finite) else math.nan,
            finite.max(initial=-math.inf) if len(finite) else math.nan,
            np.count_nonzero(all_of == 0),
            len(all_of) - len(finite),
            samples[extreme] if len(finite) else -1,
        )
    return out
