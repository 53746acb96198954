"""Per-unit statistics of a tensor: one fused pass on the CPU, torch reductions elsewhere, equal results."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dgm_tb.moments import ARGMAX_SAMPLE, COUNT, M2, MAX, MEAN, MIN, NONFINITE, STATISTICS, ZEROS
from lightning_callbacks import kernels

#: The precisions that are read as they are; others as float32.
READ: Final = (torch.float32, torch.float64)
#: Of so few units a pass takes less time than the two or three that it saves take to be called.
FEW: Final = 256


def reduce(tensor: Tensor, axis: int, sampled: bool) -> Tensor:
    """The moments ``(statistics, units)`` of ``tensor`` along ``axis``, float32, on its device, without synchronising.

    ``sampled``: dimension 0 is the batch, and ``argmax_sample`` says where in it the largest finite |value| is
    (the first of equals). ``tensor`` is a detached strided real floating tensor; half precisions are read as float32.
    """
    if tensor.dtype not in READ:
        tensor = tensor.float()
    tensor, shape, per_sample = _in_order(tensor, axis, sampled)
    if 0 in shape:
        return _nothing(shape[1], tensor.device)
    if not tensor.is_cpu:  # unlike `device`, it makes no object
        return _reduce_torch(tensor.view(shape), per_sample)
    # Arrays from here on: numpy's views and small allocations cost a quarter of torch's.
    out = np.empty((len(STATISTICS), shape[1]), np.float32)
    kernels.reduce(tensor.numpy().reshape(shape), per_sample, out)
    return torch.from_numpy(out)


def reduce_keeping(cube: Tensor, kept: Tensor) -> Tensor:
    """`reduce` of a weight as ``(outer, units, inner)``, copied to ``kept`` in the same pass where it can be."""
    if not one_run_a_unit(cube):
        kept.copy_(cube)
        return reduce(cube, 1, sampled=False)
    return keep(cube.numpy()[0], kept.numpy()[0])


def keep(rows: NDArray[np.floating], kept: NDArray[np.floating]) -> Tensor:
    """The moments of ``rows`` ``(units, inner)``, copied to ``kept`` in the same pass."""
    out = np.empty((len(STATISTICS), rows.shape[0]), np.float32)
    kernels.keep(rows, kept, out)
    return torch.from_numpy(out)


def reduce_change(cube: Tensor, before: Tensor) -> Tensor:
    """`reduce` of ``cube - before``, without making the difference where it can be."""
    if not one_run_a_unit(cube):
        return reduce(torch.sub(cube, before), 1, sampled=False)
    return change(cube.numpy()[0], before.numpy()[0])


def change(after: NDArray[np.floating], before: NDArray[np.floating]) -> Tensor:
    """The moments of ``after - before``, both ``(units, inner)``."""
    out = np.empty((len(STATISTICS), after.shape[0]), np.float32)
    kernels.change_of(after, before, out)
    return torch.from_numpy(out)


def one_run_a_unit(cube: Tensor) -> bool:
    """Whether the passes over runs can read ``(outer, units, inner)``, and are quickest or next to nothing."""
    outer, units, inner = cube.shape
    return (
        outer == 1
        and units > 0
        and inner > 0
        and (units <= FEW or not kernels.in_columns(1, inner))
        and cube.is_cpu
        and cube.is_contiguous()
        and cube.dtype in READ
    )


def _in_order(tensor: Tensor, axis: int, sampled: bool) -> tuple[Tensor, tuple[int, int, int], int]:
    """``tensor`` made contiguous, its shape as ``(outer, units, inner)`` and how many ``outer`` are one sample.

    0 of them: there are no samples.
    """
    shape = tuple(tensor.shape)  # slicing a torch.Size takes microseconds
    axis %= max(len(shape), 1)
    sampled = sampled and len(shape) > 1 and axis != 0
    if not tensor.is_contiguous():
        # channels_last and transposed tensors are contiguous in another order of dimensions: no copy is needed.
        strides = tensor.stride()
        order = sorted(range(tensor.ndim), key=lambda d: (-strides[d], d))
        if not sampled or order[0] == 0:
            tensor, axis = tensor.permute(order), order.index(axis)
        tensor = tensor.contiguous()
        shape = tuple(tensor.shape)
    units = shape[axis] if shape else 1
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    return tensor, (outer, units, inner), max(outer // shape[0], 1) if sampled and shape[0] else 0


def _nothing(units: int, device: torch.device) -> Tensor:
    out = torch.zeros((len(STATISTICS), units), device=device, dtype=torch.float32)
    out[[MEAN, M2, MIN, MAX]] = math.nan
    out[ARGMAX_SAMPLE] = -1
    return out


def _reduce_torch(cube: Tensor, per_sample: int) -> Tensor:
    """The same statistics by torch reductions: no data-dependent branch, so nothing waits for the device."""
    axes = (0, 2)
    finite = torch.isfinite(cube)
    clean = torch.where(finite, cube, 0.0)
    seen = finite.sum(axes)
    shift = clean.sum(axes) / seen
    delta = torch.where(finite, cube - shift[:, None], 0.0)
    drift = delta.sum(axes)
    some = seen > 0
    out = torch.empty((len(STATISTICS), cube.shape[1]), device=cube.device, dtype=cube.dtype)
    out[COUNT] = float(cube.shape[0] * cube.shape[2])
    out[MEAN] = shift + drift / seen
    out[M2] = torch.where(some, (delta.square().sum(axes) - drift.square() / seen).clamp(min=0.0), math.nan)
    out[MIN] = torch.where(some, torch.where(finite, cube, math.inf).amin(axes), math.nan)
    out[MAX] = torch.where(some, torch.where(finite, cube, -math.inf).amax(axes), math.nan)
    out[ZEROS] = (cube == 0).sum(axes).to(cube.dtype)
    out[NONFINITE] = (~finite).sum(axes).to(cube.dtype)
    if per_sample:
        extreme = torch.where(finite, cube.abs(), -1.0).amax(2)
        where = (extreme.argmax(0) // per_sample).to(cube.dtype)
        out[ARGMAX_SAMPLE] = torch.where(some, where, -1.0)
    else:
        out[ARGMAX_SAMPLE] = -1.0
    return out.float()


def warm_up(dtypes: set[torch.dtype]) -> None:
    """Compiles (or loads from numba's cache) the kernels for ``dtypes``, so that no training step waits for it."""
    for dtype in dtypes.intersection(READ):
        some = torch.zeros((1, 2, 8), dtype=dtype)
        reduce(some[0], 0, sampled=False)
        reduce(some[0], 1, sampled=True)
        reduce_keeping(some, kept := torch.empty_like(some))
        reduce_change(some, kept)
