"""What is read from a Lightning `Trainer`, some of it from attributes that are Lightning's own affair."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from torch import Tensor

from lightning_callbacks import losses
from lightning_callbacks.losses import Number


def free_directory(trainer: Any) -> Path:
    """``<root>/dgm/version_<k>`` with the least free k, as Lightning's loggers count."""
    saved = (logger.save_dir for logger in trainer.loggers if logger.save_dir)
    root = Path(next(saved, trainer.default_root_dir)) / "dgm"
    k = 0
    while (root / f"version_{k}").exists():
        k += 1
    return root / f"version_{k}"


def last_step(trainer: Any, pl_module: Any) -> int | None:
    """The last step of this fit, where it is known beforehand."""
    if pl_module.automatic_optimization:
        count = trainer.estimated_stepping_batches
    elif trainer.max_steps == -1 and (trainer.max_epochs or -1) > 0:  # max_steps counts the steps of all optimizers
        count = trainer.num_training_batches * trainer.max_epochs
    else:
        count = math.inf
    return int(count) - 1 if 0 < count < math.inf else None


def stepped(trainer: Any) -> int:
    """The batches in which an optimizer stepped: the axis of Lightning's logging."""
    return int(trainer.fit_loop.epoch_loop._batches_that_stepped)


def logged(trainer: Any) -> dict[str, Number]:
    """What `self.log` was given in this batch, still on its device.

    `Trainer.callback_metrics` would bring progress-bar metrics to the host, a synchronisation on every step.
    """
    results = trainer._results
    if not results:
        return {}
    found: dict[str, Number] = {}
    for result in results.values():
        value = result._forward_cache
        if isinstance(value, Tensor) and value.numel() == 1 and result.meta.on_step:
            found[result.meta.name] = losses.kept(value)
    return found


def between(trainer: Any) -> dict[str, Number]:
    """What was logged of an epoch or a validation that has just ended."""
    of_the_batch = logged(trainer)
    return {
        name: value
        for name, value in trainer.callback_metrics.items()
        if isinstance(value, Tensor) and value.numel() == 1 and name not in of_the_batch
    }


def unscaled(trainer: Any, loss: Tensor) -> Tensor:
    """A loss on its way to `backward` without the scale of mixed precision, which Lightning has put on it by then."""
    scale = getattr(getattr(trainer.precision_plugin, "scaler", None), "_scale", None)
    return loss if scale is None else loss.detach() / scale


def context(trainer: Any, batch_idx: int) -> dict[str, Number]:
    """The numbers beside a snapshot; tensors among them are read later, on another thread."""
    groups = trainer.optimizers[0].param_groups if trainer.optimizers else [{}]
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return {
        "epoch": trainer.current_epoch,
        "batch_index": batch_idx,
        "global_step": trainer.global_step,
        "learning_rate": _number(groups[0].get("lr")),
        "amp_scale": _number(getattr(scaler, "_scale", None)),
    }


def _number(value: object) -> Number:
    """A context number: tensors stay on their device, what is no number is NaN."""
    if isinstance(value, Tensor):
        return value.detach().clone()  # a scale or a learning rate on the device is changed in place
    return float(value) if isinstance(value, int | float) else math.nan
