"""One recording: hooks on the captured steps, losses of every step, and the writer of the run they go to."""

from __future__ import annotations

import logging
import math
import platform
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from dgm_tb.records import Graph, Manifest, Record, RowKey, Snapshot
from dgm_tb.store.writer import RunWriter, new_session
from lightning_callbacks import graph, losses, model, moments, options, rows
from lightning_callbacks.capture import Capture
from lightning_callbacks.inventory import Inventory
from lightning_callbacks.losses import Losses, Number
from lightning_callbacks.options import ALL, Options
from lightning_callbacks.schedule import Schedule

_log = logging.getLogger("lightning_callbacks")

#: A model whose calls differ from step to step is traced so many times at most; its graph is the union.
MAX_TRACES: Final = 8
_PACKAGES: Final = ("dgm-tb", "torch", "lightning", "pytorch-lightning")


class Recorder:
    """Records the training of ``module`` into the run directory ``directory``; a context manager.

    In a bare PyTorch loop::

        with Recorder(model, "runs/first") as recorder:
            for batch in loader:
                with recorder.step(batch):
                    loss = ...
                    recorder.log(loss=loss)
                    loss.backward()
                    optimizer.step()

    The arguments are those of `DynamicsMonitor`. Raises `UsageError` where an argument cannot be used. Whatever goes
    wrong later – an unwritable directory, a full disk, an error inside a hook – ends the recording with one logged
    warning and leaves the training alone; `failure` says what it was.
    """

    def __init__(
        self,
        module: nn.Module,
        directory: str | Path,
        *,
        every_n_steps: int = 50,
        quantities: Collection[str] = ALL,
        include: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        unit_axis: Mapping[str, int] | None = None,
        last_step: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        parsed = options.parse(every_n_steps, quantities, include, exclude, unit_axis)
        self._open(module, Path(directory), parsed, clock=clock, last_step=last_step)

    @classmethod
    def for_lightning(
        cls,
        module: nn.Module,
        directory: Path,
        parsed: Options,
        *,
        clock: Callable[[], float],
        session: str,
        rank: int,
        after: Callable[[Record], None] | None,
    ) -> Recorder:
        """A recorder whose optimizer steps are announced by Lightning."""
        recorder = cls.__new__(cls)
        recorder._open(module, directory, parsed, clock=clock, session=session, rank=rank, after=after, lightning=True)
        return recorder

    def _open(
        self,
        module: nn.Module,
        directory: Path,
        parsed: Options,
        *,
        clock: Callable[[], float],
        session: str | None = None,
        rank: int = 0,
        after: Callable[[Record], None] | None = None,
        lightning: bool = False,
        last_step: int | None = None,
    ) -> None:
        self.step_index = 0  # the step that runs or comes next, on the axis of the snapshots
        self.schedule = Schedule(parsed.every_n_steps, last_step)
        self.failure: Exception | None = None
        self._clock, self._lightning = clock, lightning
        self._model = model.survey(module, parsed)
        self._inventory = Inventory(self._model)
        self._graph: Graph | None = None
        self._latest: NDArray[np.float32] | None = None  # the last recorded value of every row; the writer's thread's
        self._traces = 0
        self._structures: set[frozenset[RowKey]] = set()
        self._untraced = True  # the calls of the latest captured step are in no trace yet
        self._capture: Capture | None = None
        self._memory: dict[int, Tensor] = {}
        self._step_losses: dict[str, list[Number]] = {}
        self._metrics: dict[str, Number] = {}
        self._writer: RunWriter | None = None
        self._losses = Losses(self._submit, clock)
        self._closed = False
        with self.guarded():
            moments.warm_up({parameter.dtype for parameter in module.parameters()} | {torch.float32})
            self._writer = RunWriter(
                directory / "plugins" / "dgm",
                session=session or new_session(clock),
                rank=rank,
                clock=clock,
                on_failure=self._failed,
                after=after,
            )

    @property
    def recording(self) -> bool:
        return self._writer is not None and self.failure is None and not self._closed

    @contextmanager
    def step(self, batch: Any = None, *, stepped: bool = True) -> Iterator[Recorder]:
        """Encloses one batch: forward, backward and the optimizer's step. ``stepped=False``: gradients accumulate, the
        batch belongs to the same step as the next."""
        self.begin_batch(batch)
        try:
            yield self
        except BaseException:
            self.abandon_batch()
            raise
        self.end_batch(stepped)

    def log(self, **values: Number) -> None:
        """Logs numbers of this step, averaged over its micro-batches; ``loss``, told before its ``backward``, is also
        where the graph ends."""
        with self.guarded():
            if isinstance(loss := values.get("loss"), Tensor):
                self.before_backward(loss)
            for name, value in values.items():
                self._step_losses.setdefault(name, []).append(losses.kept(value))

    # What follows is what `step` and `DynamicsMonitor` are made of.

    def expect_last(self, step: int | None) -> None:
        """Says which step will be the last, so that it is captured."""
        self.schedule = replace(self.schedule, last_step=step)

    def begin_batch(self, batch: Any = None) -> None:
        with self.guarded(detach=True):
            self.abandon_batch()
            if not self.recording or not self.schedule.captures(self.step_index):
                self._capture = None
                return
            if self._capture is None:
                traced = self._untraced and self._traces < MAX_TRACES
                self._capture = Capture(
                    self._model, traced=traced, lightning=self._lightning, memory=self._memory, failed=self._failed
                )
            self._capture.begin(batch)

    @property
    def capturing(self) -> bool:
        return self._capture is not None

    def log_loss(self, loss: Number) -> None:
        """The loss of this batch, after its backward."""
        self._step_losses.setdefault("loss", []).append(losses.kept(loss))

    def before_backward(self, loss: Tensor) -> None:
        with self.guarded():
            if self._capture is not None:
                self._capture.loss(loss)

    def before_optimizer_step(self, optimizer: Optimizer) -> None:
        with self.guarded():
            if self._capture is not None:
                self._capture.before_optimizer_step(optimizer)

    def end_batch(
        self, stepped: bool, metrics: Mapping[str, Number] | None = None, context: Mapping[str, Number] | None = None
    ) -> None:
        """Ends a batch; with ``stepped`` also the step: its row of losses and, if it was captured, its snapshot."""
        with self.guarded(detach=True):
            self._metrics.update(metrics or {})
            if self._capture is not None:
                self._capture.end()
            if stepped:
                self._end_step(context or {})

    def abandon_batch(self) -> None:
        """Takes the hooks of a batch that will not end off."""
        if self._capture is not None:
            self._capture.release()

    def add_metrics(self, metrics: Mapping[str, Number]) -> None:
        """Metrics that belong to the step that has just ended: of a validation or an epoch."""
        with self.guarded():
            if metrics and self.recording and self.step_index:
                self._losses.add(self.step_index - 1, {name: losses.kept(value) for name, value in metrics.items()})

    def close(self, reason: str = "finished") -> None:
        """Ends the recording; further calls do nothing."""
        with self.guarded():
            self.abandon_batch()
            if not self._closed and self.failure is None:
                self._losses.flush()
        self._closed = True
        if self._writer is not None:
            self._writer.close(reason if self.failure is None else f"{type(self.failure).__name__}: {self.failure}")
            if self._writer.dropped:
                _log.warning("DGM: %d records were dropped since the disk could not keep up", self._writer.dropped)
            self._writer = None

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close("finished" if kind is None else "exception")

    def _end_step(self, context: Mapping[str, Number]) -> None:
        captured, self._capture = self._capture, None
        step, self.step_index = self.step_index, self.step_index + 1
        values = self._metrics | {name: losses.mean(parts) for name, parts in self._step_losses.items()}
        self._step_losses, self._metrics = {}, {}
        if not self.recording:
            return
        if values:
            self._losses.add(step, values)
        if captured is not None:
            self._snapshot(captured, step, context)
        if captured is not None or self._losses.due():
            self._losses.flush()

    def _snapshot(self, captured: Capture, step: int, context: Mapping[str, Number]) -> None:
        found = self._inventory.fitting(captured.rows)
        if self._inventory.extend(found, captured.paths, captured.shapes):
            nodes, schedule = tuple(self._inventory.nodes.values()), {"every_n_steps": self.schedule.every_n_steps}
            manifest = Manifest(self._inventory.layout, nodes, self._clock(), _versions(), schedule)
            self._submit(lambda: manifest, essential=True)
        layout = self._inventory.layout
        self._follow_structure(captured, step)
        keys = [key for key, _ in found]
        tensors = {name: value for name, value in context.items() if isinstance(value, Tensor)}
        host = rows.to_host([*(row for _, row in found), *captured.norms, *tensors.values()])
        numbers = {name: float(value) for name, value in context.items() if not isinstance(value, Tensor)}
        numbers["wall_time"] = self._clock()
        norms = len(captured.norms)

        def produce() -> Snapshot:
            arrays = host()
            body, rest = arrays[: len(keys)], [float(array.reshape(-1)[0]) for array in arrays[len(keys) :]]
            norm = rows.gradient_norm(keys, body, rest[:norms])
            numbers.update(zip(tensors, rest[norms:], strict=True), gradient_norm=norm)
            made = rows.snapshot(layout, step, numbers, keys, body, self._latest)
            self._latest = rows.latest(layout, made.values, self._latest)
            return made

        self._submit(produce)

    def _follow_structure(self, captured: Capture, step: int) -> None:
        """Writes the graph of a traced step; where the calls are new and this step was not traced, the next one is."""
        structure = frozenset(key for key, _ in captured.rows)
        found = captured.graph(self._inventory.describe, step)
        if found is not None:
            self._graph = graph.merge(self._graph, found)
            merged = self._graph
            self._traces += 1
            self._structures.add(structure)
            self._submit(lambda: merged, essential=True)
        self._untraced = structure not in self._structures

    def _submit(self, produce: Callable[[], Record], *, essential: bool = False) -> None:
        if self._writer is not None:
            self._writer.submit(produce, essential=essential)

    @contextmanager
    def guarded(self, *, detach: bool = False) -> Iterator[None]:
        """Nothing that goes wrong inside reaches the training; ``detach`` where no hook is running just now."""
        try:
            yield
        except Exception as error:
            self._failed(error)
        if detach and self.failure is not None:
            self.abandon_batch()
            self._capture = None

    def _failed(self, error: Exception) -> None:
        if self.failure is None:
            self.failure = error
            remedy = " (free some space, or record elsewhere with log_dir=)" if isinstance(error, OSError) else ""
            _log.warning(
                "DGM: the recording stopped, the training goes on: %s: %s%s", type(error).__name__, error, remedy
            )
            _log.debug("where the recording stopped", exc_info=error)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def number(value: object) -> Number:
    """A context number: tensors stay on their device, what is no number is NaN."""
    if isinstance(value, Tensor):
        return value.detach()
    return float(value) if isinstance(value, int | float) else math.nan
