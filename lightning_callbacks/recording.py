"""One recording: the captured steps of a training, the losses of every step, and the writer they go to."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dgm_tb.records import Record
from dgm_tb.store.writer import RunWriter
from lightning_callbacks import losses, model, moments
from lightning_callbacks.assembly import Assembly, versions
from lightning_callbacks.capture import Capture
from lightning_callbacks.deep import Deep, Keeper
from lightning_callbacks.guard import Guard
from lightning_callbacks.inventory import Inventory
from lightning_callbacks.keeping import Kept
from lightning_callbacks.losses import Losses, Number
from lightning_callbacks.options import Options
from lightning_callbacks.pace import Pace, Plan
from lightning_callbacks.structures import Structures
from lightning_callbacks.watch import LONGEST, NON_FINITE, SPIKE, Alarm

_log = logging.getLogger("lightning_callbacks")

#: The column beside the losses in which a warning stands. Not named after the loss: the tab draws at once what is.
WARNED: Final = {NON_FINITE: "dgm/non-finite", SPIKE: "dgm/spike"}
#: Bytes that deep snapshots may take where the run's size has no limit; else they may take a quarter of it.
DEEP_SHARE: Final = 1 << 29
#: A compilation that takes longer than this is explained; seconds.
LONG: Final = 2.0


class Recording:
    """What `DynamicsMonitor` and `Recorder` are made of: it is told of batches, backward passes and optimizer steps.

    ``module`` is recorded into the run directory ``directory`` as one of ``ranks`` processes. With ``lightning``
    `before_optimizer_step` says when gradients are complete. ``device`` is where the module will be trained, if it is
    not there yet. ``after`` is called with what was written. Raises
    `UsageError` where an option does not fit the module; what goes wrong later is kept in `failure` and said once.
    """

    def __init__(
        self,
        module: nn.Module,
        directory: Path,
        options: Options,
        *,
        clock: Callable[[], float],
        session: str,
        rank: int = 0,
        ranks: int = 1,
        after: Callable[[Record], None] | None = None,
        lightning: bool = False,
        device: torch.device | None = None,
        last_step: int | None = None,
    ) -> None:
        self.step_index = 0  # the step that runs or comes next, on the axis of the snapshots
        self.guard = Guard()
        self._clock, self._lightning = clock, lightning
        self._module, self._structure = module, model.structure(module)
        self._model = model.survey(module, options)
        self._pace = Pace(self._model, last_step, self._alarmed)
        self._inventory = Inventory(self._model)
        self._assembly = Assembly(self._inventory, clock)
        self._structures = Structures()
        self._capture: Capture | None = None
        self._whole = False  # all that is recorded at all is due at the captured step
        self._begun = False  # there is a snapshot of all that is recorded
        self._decided = -1  # the step for which it is decided whether it is captured
        self._backwards = 0  # begun in this batch
        self._memory: dict[int, Kept] = {}
        self._step_losses: dict[str, list[Number]] = {}
        self._metrics: dict[str, Number] = {}
        self._writer: RunWriter | None = None
        self._losses = Losses(self._submit, clock, self._pace.arrivals.late)
        self._deep: Deep | None = None  # where this process sees whole steps
        self._closed = False
        with self.guard:
            _compile(module, device)
            self._writer = RunWriter(
                directory / "plugins" / "dgm",
                session=session,
                rank=rank,
                clock=clock,
                on_failure=self.guard.failed,
                after=after,
                max_disk=None if options.max_disk is None else max(options.max_disk // ranks, 1),
                half=options.half,
            )
            if rank == 0 and self._model.parts.whole and options.compiled == "eager":
                most = DEEP_SHARE if options.max_disk is None else max(options.max_disk // (4 * ranks), 1)
                keeper = Keeper(self._writer.directory, most)
                self._deep = Deep(options.deep_every_n_steps, options.max_deep_bytes, keeper)

    @property
    def failure(self) -> Exception | None:
        """What ended the recording before the training ended."""
        return self.guard.failure

    @property
    def recording(self) -> bool:
        return self._writer is not None and self.guard.failure is None and not self._closed

    def expect_last(self, step: int | None) -> None:
        """Says which step will be the last, so that it is captured."""
        self._pace.expect_last(step)

    def begin_batch(self, batch: Any = None) -> None:
        with self.guard:
            self.abandon_batch()
            self._backwards = 0
            if self._decided != self.step_index:
                self._decided = self.step_index
                if self.recording and self._pace.schedule.due(self.step_index):
                    self._look_again()
                self._capture = self._planned(self._plan()) if self.recording else None
            if self._capture is not None:
                self._capture.begin(batch)
        self._detach_if_failed()

    @property
    def capturing(self) -> bool:
        return self._capture is not None

    def log(self, values: Mapping[str, Number]) -> None:
        """Numbers of this batch, averaged over the batches of its step."""
        with self.guard:
            for name, value in values.items():
                self._step_losses.setdefault(name, []).append(losses.kept(value))

    def before_backward(self, loss: Tensor) -> None:
        with self.guard:
            if self._capture is None and self.recording:
                self._capture = self._planned(self._pace.late_plan(loss))
                if self._capture is not None:
                    self._capture.begin(None, begun=self._backwards)
            self._backwards += 1
            if self._capture is not None:
                self._capture.loss(loss)

    def before_optimizer_step(self, optimizer: Optimizer) -> None:
        with self.guard:
            if self._capture is not None:
                self._capture.before_optimizer_step(optimizer)

    def end_batch(
        self, stepped: bool, metrics: Mapping[str, Number] | None = None, context: Mapping[str, Number] | None = None
    ) -> None:
        """Ends a batch; with ``stepped`` also the step: its row of losses and, if it was captured, its snapshot."""
        with self.guard:
            self._metrics.update(metrics or {})
            if self._capture is not None:
                self._capture.end()
            if stepped:
                self._end_step(context or {})
        self._detach_if_failed()

    def abandon_batch(self) -> None:
        """Takes the hooks of a batch that will not end off."""
        if self._capture is not None:
            self._capture.release()

    def add_metrics(self, metrics: Mapping[str, Number]) -> None:
        """Metrics that belong to the step that has just ended: of a validation or an epoch."""
        with self.guard:
            if metrics and self.recording and self.step_index:
                self._losses.add(self.step_index - 1, {name: losses.kept(value) for name, value in metrics.items()})

    def close(self, reason: str = "finished") -> None:
        """Ends the recording; further calls do nothing."""
        with self.guard:
            self.abandon_batch()
            if not self._closed and self.failure is None:
                self._losses.flush()
        self._closed = True
        if self._writer is not None:
            self._writer.close(reason if self.failure is None else f"{type(self.failure).__name__}: {self.failure}")
            if self._writer.dropped and self.failure is None:  # else it is said already what became of them
                _log.warning("DGM: %d records were dropped since the disk could not keep up", self._writer.dropped)
            self._writer = None

    def _look_again(self) -> None:
        """Takes in what became of the model: wrapped, built or adapted after it was given, lazy parameters made."""
        structure = model.structure(self._module)
        if structure != self._structure:
            self._structure, self._model = structure, model.survey(self._module, self._model.options)
            self._pace.follow(self._model)
            self._inventory.follow(self._model)
            self._memory.clear()  # it is kept by the identity of the parameters

    def _plan(self) -> Plan | None:
        return self._pace.plan(self.step_index, self._writer.stretch) if self._writer is not None else None

    def _planned(self, plan: Plan | None) -> Capture | None:
        if plan is None or not plan.due:
            return None
        self._whole = plan.whole
        return Capture(
            self._model,
            due=plan.due,
            traced=plan.whole and self._structures.wanted,
            lightning=self._lightning,
            memory=self._memory,
            failed=self.guard.failed,
            first=plan.whole and not self._begun,
            taped=self._deep.begin(self.step_index, warning=self._pace.warning) if self._deep and plan.whole else 0,
        )

    def _alarmed(self, alarm: Alarm) -> None:
        """What lies around an alarm is kept longest, and the alarm stands beside the losses."""
        if self._writer is not None:
            before = 2 * self._model.options.every_n_steps * self._writer.stretch  # the two snapshots before it
            self._writer.protect(max(alarm.step - before, 0), alarm.step + LONGEST)
        self._losses.add(alarm.step, {WARNED[alarm.kind]: 1.0 if alarm.kind == NON_FINITE else alarm.value})

    def _end_step(self, context: Mapping[str, Number]) -> None:
        captured, self._capture = self._capture, None
        step, self.step_index = self.step_index, self.step_index + 1
        values = self._metrics | {name: losses.mean(parts) for name, parts in self._step_losses.items()}
        self._step_losses, self._metrics = {}, {}
        if not self.recording:
            return
        if values:
            self._losses.add(step, values)
            self._pace.ended(step, values)
        if captured is not None:
            self._snapshot(captured, step, context)
        if captured is not None or self._losses.due():
            self._losses.flush()

    def _snapshot(self, captured: Capture, step: int, context: Mapping[str, Number]) -> None:
        self._begun |= self._whole
        self._inventory.tell_hidden(captured.hidden)
        found = self._inventory.fitting(captured.rows)
        if self._inventory.extend(found, captured.paths, captured.shapes):
            manifest = self._assembly.manifest({"every_n_steps": self._model.options.every_n_steps})
            self._submit(lambda: manifest, essential=True)
        if not self._inventory.layout.rows:  # nothing was called and nothing stepped, so far
            return
        if self._whole and (graph := self._structures.follow(captured, self._inventory.describe, step)) is not None:
            self._submit(lambda: graph, essential=True)
        if captured.scale is not None:  # the one in force: after its update the scaler only knows the next
            context = {**context, "amp_scale": captured.scale}
        self._submit(self._assembly.snapshot(step, found, captured.norms, context))
        self._keep(captured, step)

    def _keep(self, captured: Capture, step: int) -> None:
        """Hands a deep step to the writer's thread."""
        if self._deep is None or self._writer is None:
            return
        if captured.untaped is not None:
            self._writer.also(self._deep.give_up(captured.untaped))
        elif captured.tape is not None:
            self._writer.also(self._deep.end(step, captured.tape, versions()))

    def _submit(self, produce: Callable[[], Record], *, essential: bool = False) -> None:
        if self._writer is not None:
            self._writer.submit(produce, essential=essential)

    def _detach_if_failed(self) -> None:
        """No hook is running just now: after a failure they come off."""
        if self.guard.failure is not None:
            self.abandon_batch()
            self._capture = None


def _compile(module: nn.Module, device: torch.device | None) -> None:
    """Compiles the kernels that the model needs before its first step does; said where it takes long.

    Here and not beside the training's own start on another thread: loaders fork their workers meanwhile, and a lock of
    numba's that is held then is held in them for ever.
    """
    parameters = list(module.parameters())
    devices = {device} if device is not None else {parameter.device for parameter in parameters}
    if devices and all(each.type != "cpu" for each in devices):
        return  # the kernels are the CPU's
    doubles = {parameter.dtype is torch.float64 for parameter in parameters} or {False}
    begun = time.monotonic()
    moments.warm_up({torch.float64 if double else torch.float32 for double in doubles})
    if (spent := time.monotonic() - begun) > LONG:
        _log.info("DGM: compiled its kernels in %.1f s; they are kept for later runs", spent)
