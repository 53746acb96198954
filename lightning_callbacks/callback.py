"""`DynamicsMonitor`: Lightning's hooks, translated to calls of the recorder; no tensor arithmetic."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from torch import Tensor

from dgm_tb.records import Record
from dgm_tb.store.writer import new_session
from lightning_callbacks import losses, options, trainers
from lightning_callbacks.losses import Number
from lightning_callbacks.options import ALL, Group
from lightning_callbacks.patterns import ByName, Named
from lightning_callbacks.recording import Recording
from lightning_callbacks.summaries import Summaries

_log = logging.getLogger("lightning_callbacks")

T = TypeVar("T")

#: The two names under which the same framework is published; a monitor is a callback of each that is installed.
FRAMEWORKS: Final = ("pytorch_lightning", "lightning.pytorch")


def _bases() -> tuple[type, ...]:
    found: list[type] = []
    for name in FRAMEWORKS:
        with suppress(ImportError):
            found.append(import_module(name).Callback)
    if not found:
        raise ImportError(
            "DynamicsMonitor needs PyTorch Lightning: pip install 'dgm-tb[train]'; "
            "a bare PyTorch loop is recorded by lightning_callbacks.Recorder"
        )
    return tuple(dict.fromkeys(found))


if TYPE_CHECKING:
    from pytorch_lightning import Callback as _Callback
else:
    _Callback = type("_Callback", _bases(), {})


class DynamicsMonitor(_Callback):
    """Records every unit's training dynamics for TensorBoard's DGM tab: ``Trainer(callbacks=[DynamicsMonitor()])``.

    ==================  =================================================================================
    ``every_n_steps``   Distance of captured steps. The start is dense (0, 1, 2, 4, 8 …), so are the steps after
                        the loss became non-finite or spiked; the last step is captured too.
    ``quantities``      Some of ``activation``, ``gradient``, ``weight``, ``weight_gradient``, ``update``.
    ``statistics``      Some of ``mean``, ``std``, ``min``, ``max``, ``zero_fraction``, ``nonfinite``,
                        ``argmax_sample``: what is stored of each unit. Layers are summed up from all.
    ``include``         Modules recorded beside the leaf modules.
    ``exclude``         Modules left out; a type leaves out all that is inside, too.
    ``calls``           Modules called in a loop -> how many of their calls have rows of their own (else, beyond
                        four, all merge into one); calls beyond that merge into the last row.
    ``unit_axis``       Modules -> which axis of their output counts units, where the default is wrong.
    ``roles``           Module path (``head``; ``head#1`` is its second call) or regular expression -> what it
                        is: ``logvar``, ``discriminator`` … (`lightning_callbacks.options.ROLES`).
    ``groups``          Modules -> `Group`: another interval, other quantities or statistics. The first that
                        names a module counts; a type also names what is inside.
    ``max_disk``        Size that the run's files may reach, such as ``"500MiB"``, over all processes; None is
                        unlimited. Beyond half of it captures become rarer, then old ones are thinned out.
    ``compiled``        What of modules under `torch.compile` is recorded: ``"eager"`` runs captured steps
                        uncompiled, ``"skip"`` records their weights, weight gradients and updates alone.
    ``dtype``           ``"float16"`` stores activations in half precision where the range allows.
    ``deep_every_n_steps``  Steps of which weights, batch and program are kept too, for credit and replay:
                        ``"auto"`` (some at the start, three of the latest, those around warnings, as far as it
                        stays cheap), a number for every n-th step too, 0 for none.
    ``max_deep_bytes``  What one of these may take; a larger step is not kept.
    ``log_dir``         The run directory; by default the logger's, or without a logger
                        ``<default_root_dir>/dgm/version_<k>``.
    ==================  =================================================================================

    Modules are named by a regular expression, searched for in their paths, or by their type; ``include`` and
    ``exclude`` take one of these or several::

        DynamicsMonitor(
            100,
            exclude=[nn.Dropout, r"^teacher\\."],
            groups={nn.BatchNorm2d: Group(every_n_steps=1000), "^decoder": Group(quantities=["activation"])},
            roles={"encoder.fc_logvar": "logvar"},
        )

    Raises `UsageError` for an argument that cannot be used, at once or, where it names no module, in `setup`.
    """

    def __init__(
        self,
        every_n_steps: int = 50,
        *,
        quantities: Collection[str] = ALL,
        statistics: Collection[str] = ALL,
        include: Named | Sequence[Named] | None = None,
        exclude: Named | Sequence[Named] | None = None,
        calls: ByName[int] | None = None,
        unit_axis: ByName[int] | None = None,
        roles: Mapping[str, str] | None = None,
        groups: ByName[Group] | None = None,
        max_disk: str | int | None = "2GiB",
        compiled: str = "eager",
        dtype: str | None = None,
        deep_every_n_steps: int | str = "auto",
        max_deep_bytes: str | int = "256MiB",
        log_dir: str | Path | None = None,
    ) -> None:
        super().__init__()
        self._options = options.parse(
            every_n_steps,
            quantities=quantities,
            statistics=statistics,
            include=include,
            exclude=exclude,
            calls=calls,
            unit_axis=unit_axis,
            roles=roles,
            groups=groups,
            max_disk=max_disk,
            compiled=compiled,
            dtype=dtype,
            deep_every_n_steps=deep_every_n_steps,
            max_deep_bytes=max_deep_bytes,
        )
        self._log_dir = None if log_dir is None else Path(log_dir)
        self._clock: Callable[[], float] = time.time
        self._recorder: Recording | None = None
        self._step = 0
        self._trainer: weakref.ref[Any] | None = None
        self._optimizer_stepped = False
        self._first_batch = True
        self._backwards: list[Number] = []
        self._degraded = False

    @property
    def recorder(self) -> Recording | None:
        """The recorder of the fit that runs, None between fits."""
        return self._recorder

    def state_dict(self) -> dict[str, Any]:
        return {"step": self._recorder.step_index if self._recorder is not None else self._step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._step = int(state_dict["step"])
        if self._recorder is not None:
            self._recorder.step_index = self._step

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if stage != "fit" or trainer.fast_dev_run:  # a fast_dev_run logs nothing
            return
        if self._trainer is None or self._trainer() is not trainer:
            self._step = 0
        self._trainer = weakref.ref(trainer)
        self._close("superseded")

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        # Not in setup: the model's own setup and configure_model, which may make its layers, come after ours.
        if trainer.fast_dev_run:
            return
        directory = self._directory(trainer)
        session = trainer.strategy.broadcast(new_session(self._clock))
        after = self._summaries(trainer) if trainer.is_global_zero else None
        self._recorder = Recording(
            pl_module,
            directory,
            self._options,
            clock=self._clock,
            session=session,
            rank=trainer.global_rank,
            ranks=trainer.world_size,
            after=after,
            lightning=True,
            device=trainer.strategy.root_device,
        )
        self._recorder.step_index = self._step
        self._first_batch = True

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        if (recorder := self._recorder) is not None:
            recorder.expect_last(self._private(trainers.last_step, trainer, pl_module, default=None))

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if (recorder := self._recorder) is not None:
            if self._first_batch:
                # A checkpoint of a training without us has no count of ours: Lightning's own, where it tells, decides.
                recorder.step_index = self._private(trainers.stepped, trainer, default=recorder.step_index)
                self._first_batch = False
            self._optimizer_stepped = False
            self._backwards = []
            recorder.begin_batch(batch)

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Tensor) -> None:
        if (recorder := self._recorder) is not None:
            with recorder.guard:
                recorder.before_backward(loss)
                if not pl_module.automatic_optimization:
                    self._backwards.append(losses.kept(trainers.unscaled(trainer, loss)))

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self._optimizer_stepped = True
        if (recorder := self._recorder) is not None:
            recorder.before_optimizer_step(optimizer)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if (recorder := self._recorder) is not None:
            # Lightning's axis counts the batches in which an optimizer stepped, and every batch of manual optimization.
            stepped = self._optimizer_stepped or not pl_module.automatic_optimization
            metrics: dict[str, Number] = {}
            context: dict[str, Number] = {}
            metrics = self._private(self._metrics, trainer, pl_module, recorder, outputs, default=metrics)
            if stepped and recorder.capturing:
                context = self._private(trainers.context, trainer, batch_idx, default=context)
            recorder.end_batch(stepped, metrics, context)

    def _metrics(self, trainer: Any, pl_module: Any, recorder: Recording, outputs: Any) -> dict[str, Number]:
        """The batch's logged metrics, with each program's loss under manual optimization; logs the loss itself.

        ``loss`` is what `training_step` returned; under manual optimization, where it returned none, the metric that
        was logged as ``loss``, else the sum of what the step's backward passes were called on.
        """
        none: dict[str, Number] = {}
        logged = self._private(trainers.logged, trainer, default=none)
        returned = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if isinstance(returned, Tensor):
            # Lightning divides what training_step returned by the number of accumulated batches.
            scale = trainer.accumulate_grad_batches if pl_module.automatic_optimization else 1
            recorder.log({"loss": returned if scale == 1 else returned.detach() * scale})
        elif self._backwards and "loss" not in logged:
            recorder.log({"loss": losses.total(self._backwards)})
        return logged | {f"loss/backward#{k}": loss for k, loss in enumerate(self._backwards)}

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._between(trainer)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        if self._recorder is not None:
            self._recorder.abandon_batch()

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self._between(trainer)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self._close("exception")

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        self._close("finished")

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self._close("finished")

    def _close(self, reason: str) -> None:
        if self._recorder is not None:
            self._step = self._recorder.step_index
            self._recorder.close(reason)
            self._recorder = None

    def _between(self, trainer: Any) -> None:
        """Metrics of a validation or an epoch, which belong to the step that has just ended."""
        if (recorder := self._recorder) is not None:
            recorder.abandon_batch()
            none: dict[str, Number] = {}
            recorder.add_metrics(self._private(trainers.between, trainer, default=none))

    def _private(self, read: Callable[..., T], *given: Any, default: T) -> T:
        """What ``read`` finds in Lightning, some of it private; ``default``, said once, where a release changed it.

        Numbers beside the snapshots are no reason to end the recording.
        """
        try:
            return read(*given)
        except Exception as error:
            if not self._degraded:
                self._degraded = True
                _log.warning(
                    "DGM: metrics and numbers beside the snapshots may be missing, the recording goes on: %s: %s",
                    type(error).__name__,
                    error,
                )
                _log.debug("where they could not be read", exc_info=error)
            return default

    def _directory(self, trainer: Any) -> Path:
        """The run directory; asked for on all ranks, since the answer is broadcast."""
        # Every logger has a log_dir, most of them None. TensorBoard's comes first: its event file lies beside us.
        loggers = sorted(trainer.loggers, key=lambda logger: type(logger).__name__ != "TensorBoardLogger")
        found = (logger.log_dir for logger in loggers)
        inferred = next((directory for directory in found if directory), None) or trainers.free_directory(trainer)
        return self._log_dir or Path(trainer.strategy.broadcast(str(inferred)))

    def _summaries(self, trainer: Any) -> Callable[[Record], None] | None:
        """The small plane, where there is an event file of TensorBoard's logger in our run directory."""
        if self._log_dir is not None:
            return None
        logger = next((logger for logger in trainer.loggers if type(logger).__name__ == "TensorBoardLogger"), None)
        try:
            return Summaries(logger.experiment, self._clock) if logger is not None else None
        except Exception as error:  # tensorboardX, or an unwritable directory, of which the recorder will speak
            _log.debug("no summaries: %s", error)
            return None
