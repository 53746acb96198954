"""Gradient scalers of mixed precision, watched for one batch: by what a backward was scaled, when it is undone."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.optim import Optimizer

from dgm_tb.moments import STATISTICS
from dgm_tb.records import RowKey
from lightning_callbacks import units
from lightning_callbacks.hooks import program_name

#: Stored statistic -> the power of the values that it is.
POWERS: Final = {"mean": 1, "m2": 2, "min": 1, "max": 1}


class Scaling:
    """Watches every `torch.amp.GradScaler` during one batch; a context manager that leaves the classes as they were.

    ``program`` gives the number of the backward pass that runs. ``unscaled`` is called with an optimizer as soon as its
    gradients are complete and divided by the scale, before they are clipped, also where the scaler then skips the step.
    The scaler cannot be asked instead: nobody names it to us, and after its `update` it only knows the next scale.
    """

    def __init__(
        self,
        *,
        program: Callable[[], int],
        unscaled: Callable[[Optimizer], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self.scales: dict[int, Tensor] = {}  # program -> what its loss was multiplied with, 0-d, on its device
        self._program, self._unscaled, self._failed = program, unscaled, failed
        self._originals: list[tuple[type[GradScaler], str, Any]] = []

    @property
    def latest(self) -> Tensor | None:
        """The scale of the latest backward pass."""
        return next(reversed(self.scales.values()), None)

    def unscaled(self, rows: Iterable[tuple[RowKey, Tensor]]) -> Iterator[tuple[RowKey, Tensor]]:
        """The rows, those of gradients as they were without the scale of their program."""
        of_program = {program_name(program): scale for program, scale in self.scales.items()}
        for key, row in rows:
            scale = of_program.get(key.program) if key.quantity == "gradient" else None
            yield key, row if scale is None else _divided(row, scale)

    def __enter__(self) -> Scaling:
        for kind in _kinds(GradScaler):
            self._wrap(kind, "scale", self._after_scale)
            self._wrap(kind, "unscale_", self._after_unscale)
        return self

    def __exit__(self, *_: object) -> None:
        for kind, name, original in reversed(self._originals):
            setattr(kind, name, original)
        self._originals.clear()

    def _wrap(self, kind: type[GradScaler], name: str, after: Callable[[GradScaler, Any, Any], None]) -> None:
        original = vars(kind).get(name)
        if original is None:  # inherited: the base's is wrapped
            return

        @functools.wraps(original)
        def wrapper(scaler: GradScaler, *args: Any, **kwargs: Any) -> Any:
            result = original(scaler, *args, **kwargs)
            try:
                if scaler.is_enabled():
                    after(scaler, next(iter((*args, *kwargs.values()))), result)
            except Exception as error:  # a hook runs inside the user's training
                self._failed(error)
            return result

        self._originals.append((kind, name, original))
        setattr(kind, name, wrapper)

    def _after_scale(self, scaler: GradScaler, given: Any, result: Any) -> None:
        # `update` changes the scale in place: a copy, which unlike `get_scale` does not wait for the device.
        scale = scaler._scale.detach().clone()  # type: ignore[union-attr]
        me = weakref.ref(self)  # autograd keeps the hook as long as the user keeps the graph

        def hook(gradient: Tensor) -> None:
            if (watching := me()) is not None and watching._originals:
                watching.scales[watching._program()] = scale

        for _, tensor in units.tensors(result):
            if tensor.requires_grad:
                tensor.register_hook(hook)

    def _after_unscale(self, scaler: GradScaler, given: Any, result: Any) -> None:
        self._unscaled(given)


def _divided(row: Tensor, scale: Tensor) -> Tensor:
    """The moments ``(statistics, units)`` of the values divided by ``scale``, from those of the values.

    Exact, since a scale is a power of two unless someone chose another; no synchronisation.
    """
    inverse = scale.to(row.device, torch.float32, non_blocking=True).reciprocal()
    factors = [inverse ** POWERS[name] if name in POWERS else torch.ones_like(inverse) for name in STATISTICS]
    return row * torch.stack(factors)[:, None]


def pending(optimizer: Optimizer) -> Tensor | None:
    """The scale that the gradients still carry when ``optimizer`` steps: fused ones undo it inside their step."""
    scale = getattr(optimizer, "grad_scale", None)
    return scale if isinstance(scale, Tensor) else None


def undoes(optimizer: Optimizer) -> bool:
    """Whether ``optimizer`` undoes the scale inside its own step."""
    return bool(getattr(optimizer, "_step_supports_amp_scaling", False))


def _kinds(kind: type[GradScaler]) -> Iterator[type[GradScaler]]:
    yield kind
    for derived in kind.__subclasses__():
        yield from _kinds(derived)
