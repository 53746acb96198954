"""One captured step: hooks, optimizer hooks and, where asked for, the tape, over all batches of its window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from dgm_tb.records import Graph, Node, RowKey
from lightning_callbacks import compiled, graph, scaling, sharded, trace
from lightning_callbacks.course import Course
from lightning_callbacks.hooks import Call, Hooks, program_name
from lightning_callbacks.keeping import Kept
from lightning_callbacks.model import Model
from lightning_callbacks.recorded import Recorded, Seen, UnrecordableError
from lightning_callbacks.scaling import Scaling
from lightning_callbacks.tape import TapeMode
from lightning_callbacks.updates import Updates


class Capture:
    """What one step leaves behind. `begin` and `end` enclose each of its batches (micro-batches merge)."""

    def __init__(
        self,
        model: Model,
        *,
        due: Mapping[str, frozenset[str]],
        traced: bool,
        lightning: bool,
        memory: dict[int, Kept],
        failed: Callable[[Exception], None],
        first: bool = False,
        taped: int = 0,
    ) -> None:
        self.rows: list[tuple[RowKey, Tensor]] = []
        self.norms: list[Tensor] = []
        self.paths: dict[str, str] = {}  # node -> module path
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.labels: dict[str, str] = {}
        self.hidden: set[str] = set()  # paths of modules whose gradient nobody can see
        self.scale: Tensor | None = None  # of the gradient scaler, where one scaled this step's losses
        self._course: Course | None = None  # of the step's first batch, if it is traced
        self._named: list[Any] = []  # its calls
        self._model, self._due, self._lightning, self._failed = model, due, lightning, failed
        self._traced, self._memory = traced and not model.inside, memory
        self.tape: Recorded | None = None  # of the step's first batch
        self.untaped: str | None = None  # why there is none although it was asked for
        self._taped = taped  # bytes that a tape may take; 0: none is recorded, or it is recorded
        self._mode: TapeMode | None = None
        self._first = first  # of a recording: the only one to look at what is never trained
        self._hooks: Hooks | None = None
        self._updates: Updates | None = None
        self._scaling: Scaling | None = None
        self._batch = ExitStack()
        self._parameters = list(model.root.parameters())

    @property
    def active(self) -> bool:
        return self._hooks is not None

    def begin(self, batch: Any, begun: int = 0) -> None:
        """Hooks what is due; ``begun``: backward passes of this batch that have begun already."""
        with ExitStack() as stack:
            if self._model.options.compiled == "eager":
                stack.enter_context(compiled.eager())
            hooks = stack.enter_context(
                Hooks(
                    {path: module for path, module in self._model.modules.items() if path in self._due},
                    due=self._due,
                    axes=self._model.axes,
                    calls=self._model.calls,
                    failed=self._failed,
                )
            )
            hooks.programs = begun
            updates = stack.enter_context(
                Updates(
                    self._model.weights,
                    self._parameters,
                    due=self._due,
                    lightning=self._lightning,
                    program=lambda: program_name(max(hooks.programs - 1, 0)),
                    memory=self._memory,
                    failed=self._failed,
                )
            )
            scales = stack.enter_context(
                Scaling(
                    program=hooks.program,
                    unscaled=lambda optimizer: None if self._lightning else updates.before_step(optimizer),
                    failed=self._failed,
                )
            )
            if self._taped and self._model.inside:
                self._taped, self.untaped = 0, "compiled modules are left alone (compiled='skip')"
            if self._taped or self._traced:
                self._mode = stack.enter_context(
                    TapeMode(
                        self._model.root,
                        self._model.modules,
                        self._model.paths,
                        max_bytes=self._taped,
                        traced=self._traced,
                    )
                )
                self._mode.batch(batch)
            self._hooks, self._updates, self._scaling, self._batch = hooks, updates, scales, stack.pop_all()

    def loss(self, loss: Tensor) -> None:
        """Tells what the next backward is called on."""
        hooks = self._hooks
        if hooks is not None and self._mode is not None:
            self._mode.loss(loss, hooks.programs)
        if hooks is not None and loss.requires_grad:  # counts the pass even where no gradient is hooked
            loss.register_hook(hooks.counting())

    def before_optimizer_step(self, optimizer: Optimizer) -> None:
        later = self._scaling is not None and self._scaling.scales and scaling.undoes(optimizer)
        if self._updates is not None and not later:  # later its own hook knows the scale
            self._updates.before_step(optimizer)

    def release(self) -> None:
        """Takes all hooks off; what this batch has seen so far is forgotten."""
        self._batch.close()
        self._hooks = self._updates = self._scaling = self._mode = None

    def end(self) -> None:
        hooks, updates, scales, mode = self._hooks, self._updates, self._scaling, self._mode
        self._mode = None
        self.release()
        if hooks is None or updates is None or scales is None:
            return
        if self._first:
            self._first = False
            updates.read_frozen(program_name(0))
        self.hidden |= hooks.hidden()
        named = hooks.named()
        if mode is not None:
            self._wind(mode, named)
        for call, names in named:
            for _, node in names:
                self.paths.setdefault(node, call.path)
                self.shapes.setdefault(node, call.shape)
                self.paths.update({node + output: call.path for output in call.activations})
        self.paths.update({weight.node: weight.module for weight in self._model.weights})
        self.rows += [*scales.unscaled(hooks.rows()), *sharded.placed(updates.rows, self._model.parts.held)]
        self.scale = self.scale if scales.latest is None else scales.latest
        self.norms += updates.norms
        if not self._model.parts.whole:  # the norm over all processes would take a message to each
            self.norms.append(torch.tensor(torch.nan, dtype=torch.float32))
        depth = _common_depth(weight.node for weight in self._model.weights)
        for program, steps in updates.stepped.items():
            self.labels[program] = ", ".join(_label(optimizer, nodes, depth) for optimizer, nodes in steps)

    def _wind(self, mode: TapeMode, named: Sequence[tuple[Call, tuple[tuple[int, str], ...]]]) -> None:
        """Takes off what the mode has recorded: of a tape the outputs are named as the rows are."""
        if self._taped:
            self._taped = 0
            try:
                made = mode.recorded(0, {})
                self.tape = replace(made, tape=made.named(_seen(named)))
            except UnrecordableError as error:
                self.untaped = str(error)
        if self._traced:
            self._traced, self._course, self._named = False, mode.course(), list(named)

    def graph(self, describe: Callable[[str, str], Node], step: int) -> Graph | None:
        """The traced batch's data flow, if it was traced."""
        if self._course is None:
            return None
        types = {path: type(module).__name__ for path, module in self._model.named.items()}
        found = graph.build(trace.events(self._course), self._named, describe, types, step)
        served = {program for node in found.nodes for program in node.programs}
        labels = {program: self.labels.get(program, program) for program in sorted(served)}
        return Graph(step, found.nodes, found.edges, found.groups, labels)


def _seen(
    named: Sequence[tuple[Call, tuple[tuple[int, str], ...]]],
) -> dict[Seen, list[tuple[str, str, int]]]:
    """The nodes, programs and unit axes that each output of each call stands for."""
    found: dict[Seen, list[tuple[str, str, int]]] = {}
    counts: dict[str, int] = {}
    for call, names in named:
        occurrence = counts.get(call.path, 0)
        counts[call.path] = occurrence + 1
        for output, axis in call.axes.items():
            nodes = [(node + output, program_name(program), axis) for program, node in names]
            found[Seen(call.path, occurrence, output)] = nodes
    return found


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
