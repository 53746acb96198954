"""Installing and removing hooks around one batch: which calls there were, and their moments."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dgm_tb.records import RowKey
from lightning_callbacks import moments, units, views
from lightning_callbacks.hooking import Hook

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
    axes: dict[str, int] = field(default_factory=dict)  # output path -> the axis that counts its units
    shape: tuple[int, ...] = ()
    within: int | None = None  # of a repeated call: the program that repeats it
    views: dict[str, Callable[[], bool]] = field(default_factory=dict)  # output path -> was it changed in place?

    def programs(self, started: int) -> tuple[int, ...]:
        """The programs it served: those that sent a gradient, else the next backward to begin after it, or the last."""
        if len(self.gradients) == 1:  # nearly always
            return (self.gradients[0][0],)
        arrived = sorted({program for program, _, _ in self.gradients})
        return tuple(arrived) or (max(min(self.begun, started - 1), 0),)


def program_name(index: int) -> str:
    return f"backward#{index}"


@lru_cache(maxsize=65536)  # the same come again at every capture, and making one takes a microsecond
def _key(node: str, program: int, quantity: str) -> RowKey:
    return RowKey(node, program_name(program), quantity)


def call_suffixes(count: int, most: int | None = None) -> Iterator[str]:
    """What is appended to the node of each of a module's ``count`` calls in a program.

    With ``most`` so many calls have rows of their own, and later ones merge into the last.
    """
    last = (count if count <= SEPARATE_CALLS else 1) - 1 if most is None else most - 1
    return (f"#{min(k, last)}" if min(k, last) else "" for k in range(count))


class Hooks:
    """The hooks of one batch; a context manager that takes all of them off again.

    ``modules`` are recorded, path -> module: of each the ``due`` quantities, with the unit axis in ``axes``
    (`Model.axes`) and so many calls apart as ``calls`` says; ``failed`` is called with what went wrong inside a hook,
    which never reaches the training.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        *,
        due: Mapping[str, frozenset[str]],
        axes: Mapping[str, int | None],
        calls: Mapping[str, int] | None = None,
        failed: Guard,
    ) -> None:
        self.calls: list[Call] = []
        self.programs = 0  # backward passes seen so far
        self._modules, self._axes, self._failed = modules, axes, failed
        self._due, self._most = due, calls or {}
        self._tasks: dict[int, int] = {}
        self._known: dict[int, tuple[weakref.ref[Tensor], int]] = {}  # id of an output -> it and its unit axis
        self._latest: dict[int, int] = {}  # dimensions -> the unit axis last seen
        self._handles: list[RemovableHandle] = []
        self._repeats: list[list[Call]] = []  # parts that checkpointing repeats, each with what stands for its calls
        self._arrived = False  # a gradient, since the latest of them began
        self._active = False
        self._named: list[tuple[Call, tuple[tuple[int, str], ...]]] | None = None
        self._me = weakref.ref(self)

    def __enter__(self) -> Hooks:
        self._active = True
        for path, module in self._modules.items():
            self._handles.append(module.register_forward_hook(Hook(self._forwarded, path)))
        return self

    def __exit__(self, *_: object) -> None:
        self._active = False
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._known.clear()
        self._settle()

    def program(self, within: int | None = None) -> int:
        """The program of the backward pass that runs, numbered as they appear; a pass ``within`` another is no other.

        Reentrant checkpointing runs one of its own for each part that it repeats.
        """
        task = torch._C._current_graph_task_id()
        if within is not None:
            self._tasks.setdefault(task, within)
        if task not in self._tasks:
            self._tasks[task] = self.programs
            self.programs += 1
        return self._tasks[task]

    def counting(self) -> Callable[[Tensor], None]:
        """A hook for a loss: its backward pass is a program."""
        me = weakref.ref(self)

        def hook(gradient: Tensor) -> None:
            hooks = me()
            if hooks is not None and hooks._active:
                hooks.program()

        return hook

    def _forwarded(self, path: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        try:
            self._called(path, module, inputs, output)
        except Exception as error:  # a hook runs inside the user's training
            self._failed(error)

    def _called(self, path: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        recomputed = torch._C._current_graph_task_id() != -1
        call = self._repeated(path) if recomputed else Call(path, self.programs)
        if call is None:
            return
        if not recomputed:
            self.calls.append(call)
        for index, (name, tensor) in enumerate(units.tensors(output)):
            if index and isinstance(module, units.FIRST_OUTPUT_ONLY):
                break
            if index == 0:
                name, call.shape = "", units.shape(tensor)
            if units.has_units(tensor):
                self._output(call, name, tensor, self._axis(path, inputs, tensor), recomputed)

    def _repeated(self, path: str) -> Call | None:
        """What stands for a call that activation checkpointing repeats: it is no call of its own (`_settle`)."""
        if not any(call.path == path and not call.differentiable for call in self.calls):
            return None  # the first time already had a gradient to wait for
        outer = None
        if self._arrived or not self._repeats:
            self._arrived = False
            self._repeats.append([])
        else:  # the repeated part may have a checkpointed part itself, which is repeated by a pass within the pass
            outer = self._repeats[-1][-1].within
        again = Call(path, self.programs, within=self.program(outer))
        self._repeats[-1].append(again)
        return again

    def _settle(self) -> None:
        """Gives the gradients of repeated calls to the calls that were repeated.

        A checkpointed part is repeated in its own order, and the last part first: its calls are the last without one.
        """
        for repeat in self._repeats:
            for path in dict.fromkeys(again.path for again in repeat if again.differentiable):
                repeated = [again for again in repeat if again.path == path and again.differentiable]
                waiting = [call for call in self.calls if call.path == path and not call.differentiable]
                for call, again in zip(waiting[-len(repeated) :], repeated, strict=False):
                    call.gradients += again.gradients
                    call.differentiable = True
        self._repeats.clear()

    def _output(self, call: Call, name: str, tensor: Tensor, axis: int, recomputed: bool) -> None:
        call.axes[name] = axis
        if "activation" in self._due[call.path] and not recomputed:
            call.activations[name] = moments.reduce(tensor.detach(), axis, sampled=True)
        if "gradient" in self._due[call.path] and tensor.requires_grad:
            call.differentiable = True
            if not recomputed and (changed := views.witness(tensor)) is not None:
                call.views[name] = changed
            tensor.register_hook(self._gradient_hook(call, name, axis))

    def _gradient_hook(self, call: Call, name: str, axis: int) -> Callable[[Tensor], None]:
        # Autograd keeps the hook as long as the user keeps the graph: it must keep nothing of ours alive.
        me, its = self._me, weakref.ref(call)

        def hook(gradient: Tensor) -> None:
            hooks, known = me(), its()
            if hooks is None or known is None or not hooks._active:
                return
            try:
                if gradient.layout is torch.strided:
                    row = moments.reduce(gradient.detach(), axis, sampled=True)
                    known.gradients.append((hooks.program(known.within), name, row))
                    hooks._arrived = True
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
        if self._named is None:
            self._named = self._numbered()
        return self._named

    def _numbered(self) -> list[tuple[Call, tuple[tuple[int, str], ...]]]:
        served = [(call, call.programs(self.programs)) for call in self.calls]
        counts: dict[tuple[str, int], int] = {}
        for call, programs in served:
            for program in programs:
                counts[call.path, program] = counts.get((call.path, program), 0) + 1
        suffixes = {key: call_suffixes(count, self._most.get(key[0])) for key, count in counts.items()}
        return [
            (call, tuple((p, call.path + next(suffixes[call.path, p])) for p in programs)) for call, programs in served
        ]

    def hidden(self) -> set[str]:
        """The paths of modules some of whose outputs' gradients nobody can see; see `views`."""
        return {
            call.path
            for call in self.calls
            for name, changed in call.views.items()
            if changed() and name not in {output for _, output, _ in call.gradients}
        }

    def rows(self) -> Iterator[tuple[RowKey, Tensor]]:
        """The moments of all calls under their keys; a key appears once for each call that merges into its row."""
        for call, names in self.named():
            node_in = dict(names)
            first = names[0]
            for output, row in call.activations.items():
                yield _key(first[1] + output, first[0], "activation"), row
            for program, output, row in call.gradients:
                yield _key(node_in[program] + output, program, "gradient"), row
