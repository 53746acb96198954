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
from dgm_tb.records import CONTEXT, Layout, Row, RowKey, Snapshot

Float32 = NDArray[np.float32]
Rows = Sequence[tuple[RowKey, Tensor]]


def to_host(tensors: Sequence[Tensor]) -> Callable[[], list[Float32]]:
    """Starts bringing detached tensors to the host; the returned function, for another thread, waits and gives arrays.

    A device's tensors become one flat buffer and travel in one copy; nothing waits here.
    """
    here: dict[int, Tensor] = {i: t for i, t in enumerate(tensors) if t.device.type == "cpu"}
    there: dict[torch.device, list[int]] = {}
    for index, tensor in enumerate(tensors):
        if index not in here:
            there.setdefault(tensor.device, []).append(index)
    with torch.no_grad():
        flat = {
            device: torch.cat([tensors[i].reshape(-1).float() for i in indices]) for device, indices in there.items()
        }
    shapes = [tuple(tensor.shape) for tensor in tensors]
    ready = [_mark(device) for device in flat]

    def wait() -> list[Float32]:
        for event in ready:
            if event is not None:
                event.synchronize()
        arrays = {index: tensor.float().numpy() for index, tensor in here.items()}
        for device, indices in there.items():
            sizes = np.cumsum([math.prod(shapes[i]) for i in indices])[:-1]
            parts = np.split(flat[device].cpu().numpy(), sizes)
            arrays.update({i: part.reshape(shapes[i]) for i, part in zip(indices, parts, strict=True)})
        return [arrays[index] for index in range(len(shapes))]

    return wait


def _mark(device: torch.device) -> torch.cuda.Event | None:
    if device.type != "cuda":
        return None
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(device))
    return event


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
    values = np.empty(int(layout.starts[-1]), np.float32)
    for index, row in enumerate(layout.rows):
        found = parts.get(row.key)
        layout.row_of(values, index)[:] = reduce(moments.merge, found) if found else moments.absent(row.units)
    numbers = np.array([context.get(name, math.nan) for name in CONTEXT], np.float64)
    return Snapshot(step, numbers, values, moments.aggregate_rows(values, layout.starts, before))


def latest(layout: Layout, values: Float32, before: Float32 | None) -> Float32:
    """The last recorded value of every row: ``values``, with the rows that are absent in them from ``before``."""
    kept: Float32 = values.copy()
    for index in range(len(layout.rows)):
        start, stop = layout.starts[index], layout.starts[index + 1]
        if before is not None and stop <= len(before) and not layout.row_of(values, index)[moments.COUNT].any():
            kept[start:stop] = before[start:stop]
    return kept


def gradient_norm(keys: Iterable[RowKey], arrays: Iterable[Float32], others: Iterable[float]) -> float:
    """The L2 norm over all gradients: of weights from their moments, ``others`` are the other parameters' norms."""
    square = sum(float(norm) ** 2 for norm in others)
    for key, array in zip(keys, arrays, strict=True):
        if key.quantity == "weight_gradient":
            row = array.astype(np.float64)
            if row[moments.NONFINITE].any():
                return math.nan
            square += float((row[moments.M2] + row[moments.COUNT] * row[moments.MEAN] ** 2).sum())
    return math.sqrt(square) if square >= 0 else math.nan
