"""Installing and removing hooks around one batch: which calls there were, and their moments."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dgm_tb.records import RowKey
from lightning_callbacks import moments, units

#: Calls of a module in one program up to which each has a row; more are a loop and merge into one.
SEPARATE_CALLS: Final = 4

Guard = Callable[[Exception], None]


@dataclass  # without slots: it is referred to weakly
class Call:
    """One forward call of a module in a batch."""

    path: str
    begun: int  # how many backward passes had begun before it
    differentiable: bool = False
    activations: dict[str, Tensor] = field(default_factory=dict)  # output path -> moments
    gradients: list[tuple[int, str, Tensor]] = field(default_factory=list)  # (program, output path, moments)
    shape: tuple[int, ...] = ()

    def programs(self, started: int) -> tuple[int, ...]:
        """The programs it served: those that sent a gradient, else the next backward to begin after it, or the last."""
        arrived = sorted({program for program, _, _ in self.gradients})
        return tuple(arrived) or (max(min(self.begun, started - 1), 0),)


def program_name(index: int) -> str:
    return f"backward#{index}"


def call_suffixes(count: int) -> Iterator[str]:
    """What is appended to the node of each of a module's ``count`` calls in a program."""
    separate = count <= SEPARATE_CALLS
    return ("" if k == 0 or not separate else f"#{k}" for k in range(count))


class Hooks:
    """The hooks of one batch; a context manager that takes all of them off again.

    ``modules`` are recorded, path -> module, with the unit axis of each in ``axes`` (`Model.axes`); ``failed`` is
    called with what went wrong inside a hook, which never reaches the training.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        *,
        quantities: frozenset[str],
        axes: Mapping[str, int | None],
        failed: Guard,
    ) -> None:
        self.calls: list[Call] = []
        self.programs = 0  # backward passes seen so far
        self._modules, self._axes, self._failed = modules, axes, failed
        self._activations, self._gradients = "activation" in quantities, "gradient" in quantities
        self._tasks: dict[int, int] = {}
        self._known: dict[int, tuple[weakref.ref[Tensor], int]] = {}  # id of an output -> it and its unit axis
        self._latest: dict[int, int] = {}  # dimensions -> the unit axis last seen
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Hooks:
        for path, module in self._modules.items():
            self._handles.append(module.register_forward_hook(self._forward_hook(path)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._known.clear()

    def program(self) -> int:
        """The program of the backward pass that runs, numbered as they appear."""
        task = torch._C._current_graph_task_id()
        if task not in self._tasks:
            self._tasks[task] = self.programs
            self.programs += 1
        return self._tasks[task]

    def _forward_hook(self, path: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            try:
                self._called(path, module, inputs, output)
            except Exception as error:  # a hook runs inside the user's training
                self._failed(error)

        return hook

    def _called(self, path: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        recomputed = torch._C._current_graph_task_id() != -1
        call = self._recomputed(path) if recomputed else Call(path, self.programs)
        if call is None or (recomputed and call.differentiable):
            return
        if not recomputed:
            self.calls.append(call)
        for index, (name, tensor) in enumerate(units.tensors(output)):
            if index and isinstance(module, units.FIRST_OUTPUT_ONLY):
                break
            if index == 0:
                name, call.shape = "", tuple(tensor.shape)
            if units.has_units(tensor):
                self._output(call, name, tensor, self._axis(path, inputs, tensor), recomputed)

    def _recomputed(self, path: str) -> Call | None:
        """The call that activation checkpointing repeats inside a backward pass: repeating it is no call of its own."""
        waiting = [call for call in self.calls if call.path == path and not call.gradients]
        return waiting[-1] if waiting else None

    def _output(self, call: Call, name: str, tensor: Tensor, axis: int, recomputed: bool) -> None:
        if self._activations and not recomputed:
            call.activations[name] = moments.reduce(tensor.detach(), axis, sampled=True)
        if self._gradients and tensor.requires_grad:
            call.differentiable = True
            tensor.register_hook(self._gradient_hook(call, name, axis))  # type: ignore[no-untyped-call]

    def _gradient_hook(self, call: Call, name: str, axis: int) -> Callable[[Tensor], None]:
        # Autograd keeps the hook as long as the user keeps the graph: it must keep nothing of ours alive.
        me, its = weakref.ref(self), weakref.ref(call)

        def hook(gradient: Tensor) -> None:
            hooks, known = me(), its()
            if hooks is None or known is None or not hooks._handles:
                return
            try:
                if gradient.layout is torch.strided:
                    row = moments.reduce(gradient.detach(), axis, sampled=True)
                    known.gradients.append((hooks.program(), name, row))
            except Exception as error:  # a hook runs inside the user's training
                hooks._failed(error)

        return hook

    def _axis(self, path: str, inputs: tuple[Any, ...], tensor: Tensor) -> int:
        axis = self._axes[path]
        if axis is None:
            axis = self._inherited(inputs, tensor)
        axis = axis % tensor.ndim if -tensor.ndim <= axis < tensor.ndim else tensor.ndim - 1
        self._known[id(tensor)] = weakref.ref(tensor), axis
        self._latest[tensor.ndim] = axis
        return axis

    def _inherited(self, inputs: tuple[Any, ...], tensor: Tensor) -> int:
        """The unit axis of what feeds an element-wise module; else of the last output of as many dimensions."""
        for item in inputs:
            reference, axis = self._known.get(id(item), (None, 0))
            if reference is not None and reference() is item and isinstance(item, Tensor) and item.ndim == tensor.ndim:
                return axis
        return self._latest.get(tensor.ndim, 1 if tensor.ndim >= 3 else -1)

    def named(self) -> list[tuple[Call, tuple[tuple[int, str], ...]]]:
        """Every call with its (program, node name): numbered within module and program; call when the batch is over."""
        served = [(call, call.programs(self.programs)) for call in self.calls]
        counts: dict[tuple[str, int], int] = {}
        for call, programs in served:
            for program in programs:
                counts[call.path, program] = counts.get((call.path, program), 0) + 1
        suffixes = {key: call_suffixes(count) for key, count in counts.items()}
        return [
            (call, tuple((p, call.path + next(suffixes[call.path, p])) for p in programs)) for call, programs in served
        ]

    def rows(self) -> Iterator[tuple[RowKey, Tensor]]:
        """The moments of all calls under their keys; a key appears once for each call that merges into its row."""
        for call, names in self.named():
            node_in = dict(names)
            first = names[0]
            for output, row in call.activations.items():
                yield RowKey(first[1] + output, program_name(first[0]), "activation"), row
            for program, output, row in call.gradients:
                yield RowKey(node_in[program] + output, program_name(program), "gradient"), row
