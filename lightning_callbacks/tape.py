"""Recording a step: every ATen call of the user's own training step, as the user's own kernels ran it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from lightning_callbacks import units
from lightning_callbacks.course import Began, Came, Course, Ended, Entry, Minimised
from lightning_callbacks.draft import Draft, Given
from lightning_callbacks.hooking import Hook
from lightning_callbacks.hooks import program_name
from lightning_callbacks.recorded import Recorded, UnrecordableError
from lightning_callbacks.values import Part

Result = TypeVar("Result")

_TORCH: Final = f"{os.sep}torch{os.sep}"


class TapeMode(TorchDispatchMode):
    """Writes down what runs while it is entered; enter it around one whole batch, forward to optimizer step.

    It changes nothing that runs: the same kernels with the same arguments in the same order; it keeps no tensor of the
    user's alive. ``nodes`` are the modules whose outputs are noted, ``paths`` those of all modules. With ``max_bytes``
    it makes a tape (`recorded`): more bytes of sources, or anything that a tape cannot hold, and there is none. If
    ``traced`` it notes the step's `course`, tape or not.
    """

    def __init__(
        self,
        root: nn.Module,
        nodes: Mapping[str, nn.Module],
        paths: Mapping[nn.Module, str],
        *,
        max_bytes: int = 0,
        traced: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._root, self._nodes, self._paths = root, nodes, paths
        self._draft = Draft(root, max_bytes)
        self._tracing = traced
        self._broken: Exception | None = None
        self._entries: list[Entry] = []
        self._calls: list[str] = []
        self._stack: list[tuple[nn.Module, int]] = []
        self._paused = 0
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> TapeMode:
        for module in self._root.modules():
            if not isinstance(module, torch.jit.ScriptModule):  # takes no hooks
                self._handles.append(module.register_forward_pre_hook(Hook(self._begin), with_kwargs=True))
                self._handles.append(module.register_forward_hook(Hook(self._end)))
        self._handles.append(register_optimizer_step_pre_hook(self._before_update))
        self._handles.append(register_optimizer_step_post_hook(self._after_update))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def batch(self, batch: Any) -> None:
        """Names the tensors of the step's batch; a tape holds them as they are now."""

        named = list(units.tensors(batch))

        def note() -> None:
            if self._taping:
                self._draft.batch(named)
            if self._tracing:
                self._entries += [Came(name, self._part(tensor)) for name, tensor in named]

        self._guarded(note)

    def loss(self, loss: Tensor, program: int) -> None:
        """Notes what the next backward is called on."""

        def note() -> None:
            if self._taping:
                self._draft.loss(loss, program_name(program))
            if self._tracing:
                self._entries.append(Minimised(program, self._part(loss)))

        self._guarded(note)

    def recorded(self, step: int, versions: Mapping[str, str]) -> Recorded:
        """The tape, without the ops that no loss and no noted output depends on.

        Raises `UnrecordableError` where there is none, with the reason.
        """
        return self._draft.recorded(step, versions, self._calls)

    def course(self) -> Course:
        """All that happened, used or not. Raises what went wrong while it was noted."""
        if self._broken is not None:
            raise self._broken
        return Course(tuple(self._entries), tuple(self._draft.values.parts), tuple(self._calls))

    # The modules that are being called, and the optimizers that are at work.

    def _begin(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if _in_backward():
            return
        path, call = self._paths.get(module, ""), len(self._calls)
        self._stack.append((module, call))
        self._calls.append(path)

        def note() -> None:
            leaf = path in self._nodes and units.leaf(module)
            inputs = self._parts((args, kwargs)) if leaf else ()
            self._entries.append(Began(call, leaf, inputs))

        if self._tracing:
            self._guarded(note)

    def _end(self, module: nn.Module, _args: Any, output: Any) -> None:
        if _in_backward() or not any(called is module for called, _ in self._stack):
            return
        while (called := self._stack.pop())[0] is not module:  # a call that ended by an exception the user caught
            pass
        call = called[1]

        def note() -> None:
            if self._taping and self._nodes.get(self._calls[call]) is module:
                self._draft.returned(self._calls[call], output)
            if self._tracing:
                self._entries.append(Ended(call, self._parts(output)))

        self._guarded(note)

    def _before_update(self, optimizer: Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        # What an optimizer does to weights is no part of the program: whoever reads them next reads another source.
        # A closure is, and Lightning's whole training_step runs in one.
        self._paused += 1
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if closure is None:
            return None

        def unpaused() -> Any:
            paused, self._paused = self._paused, 0
            try:
                return closure()
            finally:
                self._paused = paused

        if "closure" in kwargs:
            return args, {**kwargs, "closure": unpaused}
        return (args[0], unpaused, *args[2:]), kwargs

    def _after_update(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self._paused = max(self._paused - 1, 0)

    # The ops.

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self._records() or func.namespace == "profiler":  # marks in a trace, not arithmetic
            return func(*args, **kwargs)
        site = _site(sys._getframe(1))
        given = self._guarded(lambda: self._draft.given(args, kwargs, in_backward=_in_backward()))
        out = func(*args, **kwargs)
        if given is not None:
            self._guarded(lambda: self._note(func, given, args, kwargs, out, site))
        return out

    def _note(self, func: Any, given: Given, args: Any, kwargs: Any, out: Any, site: str) -> None:
        op = self._draft.made(func, given, args, kwargs, out, self._stack[-1][1] if self._stack else -1, site)
        if self._tracing and not _in_backward():
            self._entries.append(op)

    @property
    def _taping(self) -> bool:
        return not self._draft.reason

    def _part(self, tensor: Tensor) -> Part:
        return self._draft.values.part(tensor)

    def _parts(self, tree: Any) -> tuple[Part, ...]:
        return tuple(self._part(tensor) for _, tensor in units.tensors(tree))

    def _records(self) -> bool:
        if self._paused:
            return False
        if not _in_backward():
            return self._taping or self._tracing
        self._draft.differentiated()
        # Of a backward pass only what can itself be differentiated is part of the program: a gradient inside a loss.
        return self._taping and torch.is_grad_enabled()

    def _guarded(self, work: Callable[[], Result]) -> Result | None:
        """Our own work, of which no op is recorded and nothing goes wrong in the user's training; None if it did.

        What a tape cannot hold is tried once more for the course alone.
        """
        while self._taping or self._tracing:
            self._paused += 1
            try:
                return work()
            except Exception as error:
                self._fail(error)
            finally:
                self._paused -= 1
        return None

    def _fail(self, error: Exception) -> None:
        if self._taping:
            known = isinstance(error, UnrecordableError)
            self._draft.give_up(str(error) if known else f"{type(error).__name__}: {error}")
        else:
            self._tracing, self._broken = False, error


def _in_backward() -> bool:
    return bool(torch._C._current_graph_task_id() != -1)


def _site(frame: FrameType) -> str:
    """The line of the user's code that runs: the innermost one outside torch, from ``frame`` on."""
    while frame.f_back is not None and _TORCH in frame.f_code.co_filename:
        frame = frame.f_back
    return _line(frame.f_code.co_filename, frame.f_lineno)


@lru_cache(maxsize=4096)
def _line(file: str, line: int) -> str:
    """The file by its last two parts: where a project lies on the user's disk is nobody's business."""
    return f"{'/'.join(Path(file).parts[-2:])}:{line}"
