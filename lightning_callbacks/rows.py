"""A captured step's rows: from the devices to the host, into a layout, to one flat record."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dgm_tb import moments
from dgm_tb.compiled import compiled
from dgm_tb.records import CONTEXT, Layout, Row, RowKey, Snapshot

Float32 = NDArray[np.float32]
Rows = Sequence[tuple[RowKey, Tensor]]


def to_host(tensors: Sequence[Tensor]) -> Callable[[], list[Float32]]:
    """Starts bringing detached tensors to the host; the returned function, for another thread, waits and gives arrays.

    A device's tensors become one flat buffer and travel in one copy; nothing waits here.
    """
    here: dict[int, Tensor] = {i: tensor for i, tensor in enumerate(tensors) if _on_host(tensor)}
    there: dict[torch.device, list[int]] = {}
    for index, tensor in enumerate(tensors):
        if index not in here:
            there.setdefault(tensor.device, []).append(index)
    with torch.no_grad():
        flat = [torch.cat([tensors[i].reshape(-1).float() for i in indices]) for indices in there.values()]
    shapes = [tuple(tensor.shape) for tensor in tensors]
    sent = [_sent(buffer) for buffer in flat]

    def wait() -> list[Float32]:
        arrays = {i: (t if t.dtype is torch.float32 else t.float()).numpy() for i, t in here.items()}
        for indices, (buffer, event) in zip(there.values(), sent, strict=True):
            if event is not None:
                event.synchronize()
            sizes = np.cumsum([math.prod(shapes[i]) for i in indices])[:-1]
            parts = np.split(buffer.cpu().numpy(), sizes)
            arrays.update({i: part.reshape(shapes[i]) for i, part in zip(indices, parts, strict=True)})
        return [arrays[index] for index in range(len(shapes))]

    return wait


def _on_host(tensor: Tensor) -> bool:
    return tensor.is_cpu


def _sent(buffer: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """A buffer on its way to the host, and what to wait for before it is read.

    From CUDA it is copied on the stream that the training computes on, behind what makes it: the writer's thread then
    depends on no stream of its own, and the device's memory is free again as soon as the copy has run. Other devices
    know no such copy; the writer's thread fetches it.
    """
    if buffer.device.type != "cuda":
        return buffer, None
    pinned = torch.empty(buffer.shape, dtype=buffer.dtype, pin_memory=True)
    pinned.copy_(buffer, non_blocking=True)
    event = torch.cuda.Event()
    event.record(torch.cuda.current_stream(buffer.device))
    return pinned, event


def extended(layout: Layout, rows: Rows) -> Layout:
    """``layout`` with the rows that are new appended; itself where none is. Rows are never taken away."""
    units: dict[RowKey, int] = {}
    for key, row in rows:
        if key not in layout.index:
            units.setdefault(key, row.shape[1])
    return Layout(layout.rows + tuple(Row(key, n) for key, n in units.items())) if units else layout


def misfits(layout: Layout, rows: Rows) -> set[RowKey]:
    """The keys whose rows have another number of units than the layout says: they cannot be stored."""
    return {key for key, row in rows if key in layout.index and layout.rows[layout.index[key]].units != row.shape[1]}


def snapshot(
    layout: Layout,
    step: int,
    context: Mapping[str, float],
    keys: Iterable[RowKey],
    arrays: Iterable[Float32],
    before: Float32 | None = None,
) -> Snapshot:
    """The record of one step: each row of the layout, merged over its calls and micro-batches, or absent.

    ``before`` are the latest values of an earlier layout that this one continues (`latest`).
    """
    parts: dict[RowKey, list[Float32]] = {}
    for key, array in zip(keys, arrays, strict=True):
        parts.setdefault(key, []).append(array)
    # As few steps of Python as can be: while it runs here, on the writer's thread, the training waits at its next hook.
    found = ((parts.get(row.key), row.units) for row in layout.rows)
    values = np.concatenate([_merged(several, units).reshape(-1) for several, units in found], dtype=np.float32)
    numbers = np.array([context.get(name, math.nan) for name in CONTEXT], np.float64)
    return Snapshot(step, numbers, values, moments.aggregate_rows(values, layout.starts, before))


def _merged(parts: list[Float32] | None, units: int) -> Float32:
    if parts is None:
        return moments.absent(units)
    return parts[0] if len(parts) == 1 else reduce(moments.merge, parts)


def latest(layout: Layout, values: Float32, before: Float32 | None) -> Float32:
    """The last recorded value of every row: ``values``, with the rows that are absent in them from ``before``."""
    if before is None:
        return values
    starts = layout.starts
    # A row begins with how much was seen of its first unit: only where that is nothing can all of it be absent.
    missing = [
        index
        for index in map(int, np.flatnonzero(values[np.minimum(starts[:-1], len(values) - 1)] == 0))
        if starts[index + 1] <= len(before) and not layout.row_of(values, index)[moments.COUNT].any()
    ]
    kept = values.copy() if missing else values
    for index in missing:
        kept[starts[index] : starts[index + 1]] = before[starts[index] : starts[index + 1]]
    return kept


def gradient_norm(keys: Iterable[RowKey], arrays: Iterable[Float32], others: Iterable[float]) -> float:
    """The L2 norm over all gradients: of weights from their moments, ``others`` are the other parameters' norms."""
    square = sum(float(norm) ** 2 for norm in others)
    for key, array in zip(keys, arrays, strict=True):
        if key.quantity == "weight_gradient":
            square += _square_of(array)
    return math.sqrt(square) if square >= 0 else math.nan


@compiled
def _square_of(row: Float32) -> float:
    """The sum of the squares of all values that a row is of; NaN where not all are finite."""
    square = 0.0
    for unit in range(row.shape[1]):
        mean = np.float64(row[moments.MEAN, unit])
        if row[moments.NONFINITE, unit] != 0:
            return np.nan
        square += row[moments.M2, unit] + row[moments.COUNT, unit] * mean * mean
    return square
