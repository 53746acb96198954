"""`DynamicsMonitor`: Lightning's hooks, translated to calls of the recorder; no tensor arithmetic."""

from __future__ import annotations

import logging
import math
import time
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from torch import Tensor

from dgm_tb.records import Record
from dgm_tb.store.writer import new_session
from lightning_callbacks import losses, options
from lightning_callbacks.losses import Number
from lightning_callbacks.options import ALL
from lightning_callbacks.recorder import Recorder, number
from lightning_callbacks.summaries import Summaries

_log = logging.getLogger("lightning_callbacks")

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

    ``every_n_steps``: distance of captured steps; the start is dense (0, 1, 2, 4, 8 …), the last step is captured too.
    ``quantities``: some of ``activation``, ``gradient``, ``weight``, ``weight_gradient``, ``update``.
    ``include``, ``exclude``: regular expressions searched for in module paths: modules recorded beside the leaf
    modules, and modules left out. ``unit_axis``: regular expression -> which axis of an output counts units, where
    the default is wrong. ``log_dir``: the run directory; by default the logger's, or without a logger
    ``<default_root_dir>/dgm/version_<k>``.

    Raises `UsageError` for an argument that cannot be used, at once or, for patterns that match nothing, in `setup`.
    """

    def __init__(
        self,
        every_n_steps: int = 50,
        *,
        quantities: Collection[str] = ALL,
        include: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        unit_axis: Mapping[str, int] | None = None,
        log_dir: str | Path | None = None,
    ) -> None:
        super().__init__()
        self._options = options.parse(every_n_steps, quantities, include, exclude, unit_axis)
        self._log_dir = None if log_dir is None else Path(log_dir)
        self._clock: Callable[[], float] = time.time
        self._recorder: Recorder | None = None
        self._step = 0
        self._trainer: weakref.ref[Any] | None = None
        self._optimizer_stepped = False
        self._first_batch = True
        self._backwards: list[Number] = []

    @property
    def recorder(self) -> Recorder | None:
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
        directory = self._directory(trainer)
        session = trainer.strategy.broadcast(new_session(self._clock))
        after = self._summaries(trainer) if trainer.is_global_zero else None
        self._recorder = Recorder.for_lightning(
            pl_module,
            directory,
            self._options,
            clock=self._clock,
            session=session,
            rank=trainer.global_rank,
            after=after,
        )
        self._recorder.step_index = self._step
        self._first_batch = True

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        if (recorder := self._recorder) is not None:
            with recorder.guarded():
                recorder.expect_last(_last_step(trainer, pl_module))

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if (recorder := self._recorder) is not None:
            if self._first_batch:
                # A checkpoint of a training without us has no count of ours: Lightning's own, where it tells, decides.
                axis = getattr(trainer.fit_loop, "epoch_loop", None)
                recorder.step_index = getattr(axis, "_batches_that_stepped", recorder.step_index)
                self._first_batch = False
            self._optimizer_stepped = False
            self._backwards = []
            recorder.begin_batch(batch)

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Tensor) -> None:
        if (recorder := self._recorder) is not None:
            with recorder.guarded():
                recorder.before_backward(loss)
                if not pl_module.automatic_optimization:
                    self._backwards.append(losses.kept(loss))

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
            with recorder.guarded():
                metrics = self._metrics(trainer, pl_module, recorder, outputs)
                context = _context(trainer, batch_idx) if stepped and recorder.capturing else {}
            recorder.end_batch(stepped, metrics, context)

    def _metrics(self, trainer: Any, pl_module: Any, recorder: Recorder, outputs: Any) -> dict[str, Number]:
        """The batch's logged metrics, with each program's loss under manual optimization; logs the loss itself.

        ``loss`` is what `training_step` returned; under manual optimization, where it returned none, the metric that
        was logged as ``loss``, else the sum of what the step's backward passes were called on.
        """
        logged = _logged(trainer)
        returned = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if isinstance(returned, Tensor):
            # Lightning divides what training_step returned by the number of accumulated batches.
            scale = trainer.accumulate_grad_batches if pl_module.automatic_optimization else 1
            recorder.log_loss(returned if scale == 1 else returned.detach() * scale)
        elif self._backwards and "loss" not in logged:
            recorder.log_loss(losses.total(self._backwards))
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
            with recorder.guarded():
                recorder.abandon_batch()
                logged = _logged(trainer)
                recorder.add_metrics(
                    {
                        name: value
                        for name, value in trainer.callback_metrics.items()
                        if isinstance(value, Tensor) and value.numel() == 1 and name not in logged
                    }
                )

    def _directory(self, trainer: Any) -> Path:
        """The run directory; asked for on all ranks, since the answer is broadcast."""
        logger = next((logger for logger in trainer.loggers if hasattr(logger, "log_dir")), None)
        inferred = trainer.log_dir if logger is not None else _free_directory(trainer)
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


def _free_directory(trainer: Any) -> Path:
    """``<root>/dgm/version_<k>`` with the least free k, as Lightning's loggers count."""
    saved = (logger.save_dir for logger in trainer.loggers if logger.save_dir)
    root = Path(next(saved, trainer.default_root_dir)) / "dgm"
    k = 0
    while (root / f"version_{k}").exists():
        k += 1
    return root / f"version_{k}"


def _last_step(trainer: Any, pl_module: Any) -> int | None:
    """The last step of this fit, where it is known beforehand."""
    if pl_module.automatic_optimization:
        count = trainer.estimated_stepping_batches
    elif trainer.max_steps == -1 and (trainer.max_epochs or -1) > 0:  # max_steps counts the steps of all optimizers
        count = trainer.num_training_batches * trainer.max_epochs
    else:
        count = math.inf
    return int(count) - 1 if 0 < count < math.inf else None


def _logged(trainer: Any) -> dict[str, Number]:
    """What `self.log` was given in this batch, still on its device.

    `Trainer.callback_metrics` would bring progress-bar metrics to the host, a synchronisation on every step.
    """
    results = getattr(trainer, "_results", None)
    if not results:
        return {}
    found: dict[str, Number] = {}
    for result in results.values():
        value = getattr(result, "_forward_cache", None)
        if isinstance(value, Tensor) and value.numel() == 1 and result.meta.on_step:
            found[result.meta.name] = losses.kept(value)
    return found


def _context(trainer: Any, batch_idx: int) -> dict[str, Number]:
    """The numbers beside a snapshot; tensors among them are read later, on another thread."""
    groups = trainer.optimizers[0].param_groups if trainer.optimizers else [{}]
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return {
        "epoch": trainer.current_epoch,
        "batch_index": batch_idx,
        "global_step": trainer.global_step,
        "learning_rate": number(groups[0].get("lr")),
        "amp_scale": number(getattr(scaler, "_scale", None)),
    }
