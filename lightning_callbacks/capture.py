"""One captured step: hooks, optimizer hooks and, where asked for, the trace, over all batches of its window."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from dgm_tb.records import Graph, Node, RowKey
from lightning_callbacks import graph
from lightning_callbacks.hooks import Hooks, program_name
from lightning_callbacks.model import Model
from lightning_callbacks.trace import Trace
from lightning_callbacks.updates import Updates


class Capture:
    """What one step leaves behind. `begin` and `end` enclose each of its batches (micro-batches merge)."""

    def __init__(
        self,
        model: Model,
        *,
        traced: bool,
        lightning: bool,
        memory: dict[int, Tensor],
        failed: Callable[[Exception], None],
    ) -> None:
        self.rows: list[tuple[RowKey, Tensor]] = []
        self.norms: list[Tensor] = []
        self.paths: dict[str, str] = {}  # node -> module path
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.trace: Trace | None = None
        self.labels: dict[str, str] = {}
        self._named: list[Any] = []  # of the traced batch
        self._model, self._lightning, self._failed = model, lightning, failed
        self._traced, self._memory = traced, memory
        self._hooks: Hooks | None = None
        self._updates: Updates | None = None
        self._batch = ExitStack()
        self._parameters = list(model.root.parameters())

    @property
    def active(self) -> bool:
        return self._hooks is not None

    def begin(self, batch: Any) -> None:
        quantities = self._model.options.quantities
        with ExitStack() as stack:
            hooks = stack.enter_context(
                Hooks(self._model.modules, quantities=quantities, axes=self._model.axes, failed=self._failed)
            )
            updates = stack.enter_context(
                Updates(
                    self._model.weights,
                    self._parameters,
                    quantities=quantities,
                    lightning=self._lightning,
                    program=lambda: program_name(max(hooks.programs - 1, 0)),
                    memory=self._memory,
                    failed=self._failed,
                )
            )
            if self._traced and self.trace is None:
                self.trace = stack.enter_context(
                    Trace(self._model.root, self._model.paths, self._model.modules, self._failed)
                )
                self.trace.batch(batch)
            self._hooks, self._updates, self._batch = hooks, updates, stack.pop_all()

    def loss(self, loss: Tensor) -> None:
        """Tells what the next backward is called on."""
        if self.active and self.trace is not None and not self._named and self._hooks is not None:
            self.trace.loss(loss, self._hooks.programs)

    def before_optimizer_step(self, optimizer: Optimizer) -> None:
        if self._updates is not None:
            self._updates.before_step(optimizer)

    def release(self) -> None:
        """Takes all hooks off; what this batch has seen so far is forgotten."""
        self._batch.close()
        self._hooks = self._updates = None

    def end(self) -> None:
        hooks, updates = self._hooks, self._updates
        self.release()
        if hooks is None or updates is None:
            return
        named = hooks.named()
        for call, names in named:
            for _, node in names:
                self.paths.setdefault(node, call.path)
                self.shapes.setdefault(node, call.shape)
                self.paths.update({node + output: call.path for output in call.activations})
        if self.trace is not None and not self._named:
            self._named = named
        self.paths.update({weight.node: weight.module for weight in self._model.weights})
        self.rows += [*hooks.rows(), *updates.rows]
        self.norms += updates.norms
        depth = _common_depth(weight.node for weight in self._model.weights)
        for program, steps in updates.stepped.items():
            self.labels[program] = ", ".join(_label(optimizer, nodes, depth) for optimizer, nodes in steps)

    def graph(self, describe: Callable[[str, str], Node], step: int) -> Graph | None:
        """The traced batch's data flow, if it was traced."""
        if self.trace is None:
            return None
        types = {path: type(module).__name__ for path, module in self._model.named.items()}
        found = graph.build(self.trace.events, self._named, describe, types, step)
        served = {program for node in found.nodes for program in node.programs}
        labels = {program: self.labels.get(program, program) for program in sorted(served)}
        return Graph(step, found.nodes, found.edges, found.groups, labels)


def _label(optimizer: Optimizer, nodes: tuple[str, ...], depth: int) -> str:
    """``generator (Adam)``: the outermost modules that an optimizer changed, below what encloses all of them."""
    tops = list(dict.fromkeys(".".join(path.split(".")[depth : depth + 1]) or path for path in nodes))
    names = ", ".join(tops[:3]) + (" …" if len(tops) > 3 else "")
    return f"{names} ({type(optimizer).__name__})" if names else type(optimizer).__name__


def _common_depth(paths: Iterable[str]) -> int:
    """How many leading components all paths share."""
    split = [path.split(".") for path in paths]
    return next(
        (depth for depth, parts in enumerate(zip(*split, strict=False)) if len(set(parts)) > 1),
        min(map(len, split), default=1) - 1,
    )
