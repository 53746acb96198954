"""From a captured step to its records: the manifest where rows are new, and the snapshot, made by the writer."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dgm_tb.moments import STATISTICS
from dgm_tb.records import Layout, Manifest, Snapshot
from lightning_callbacks import rows
from lightning_callbacks.inventory import Inventory
from lightning_callbacks.losses import Number
from lightning_callbacks.rows import Rows

_PACKAGES: Final = ("dgm-tb", "torch", "lightning", "pytorch-lightning")


class Assembly:
    """Makes a recording's manifests and snapshots, in the order of the steps."""

    def __init__(self, inventory: Inventory, clock: Callable[[], float]) -> None:
        self._inventory, self._clock = inventory, clock
        self._latest: NDArray[np.float32] | None = None  # the last recorded value of every row; the writer's thread's

    def manifest(self, schedule: Mapping[str, int | str]) -> Manifest:
        """What the snapshots from now on hold."""
        nodes = tuple(self._inventory.nodes.values())
        return Manifest(self._inventory.stored, nodes, self._clock(), versions(), schedule)

    def snapshot(
        self, step: int, found: Rows, norms: Sequence[Tensor], context: Mapping[str, Number]
    ) -> Callable[[], Snapshot]:
        """Starts bringing a step's numbers to the host; the returned function, for the writer's thread, waits for them.

        ``norms`` are the L2 norms of the gradients that ``found`` has no rows of.
        """
        layout, stored = self._inventory.layout, self._inventory.stored
        keys = [key for key, _ in found]
        tensors = {name: value for name, value in context.items() if isinstance(value, Tensor)}
        host = rows.to_host([*(row for _, row in found), *norms, *tensors.values()])
        numbers = {name: float(value) for name, value in context.items() if not isinstance(value, Tensor)}
        numbers["wall_time"] = self._clock()

        def produce() -> Snapshot:
            arrays = host()
            body, rest = arrays[: len(keys)], [float(array.reshape(-1)[0]) for array in arrays[len(keys) :]]
            norm = rows.gradient_norm(keys, body, rest[: len(norms)])
            numbers.update(zip(tensors, rest[len(norms) :], strict=True), gradient_norm=norm)
            made = rows.snapshot(layout, step, numbers, keys, body, self._latest)
            self._latest = rows.latest(layout, made.values, self._latest)
            return cut(made, layout, stored)

        return produce


def cut(snapshot: Snapshot, layout: Layout, stored: Layout) -> Snapshot:
    """A snapshot of ``layout`` with only what ``stored``, the same rows with fewer channels, keeps of each.

    Its aggregates were made from all statistics and stay.
    """
    if layout is stored:
        return snapshot
    values = np.empty(int(stored.starts[-1]), np.float32)
    for index, row in enumerate(stored.rows):
        whole = layout.row_of(snapshot.values, index)
        kept = [STATISTICS.index(channel) for channel in row.channels]
        np.take(whole, kept, axis=0, out=stored.row_of(values, index))
    return Snapshot(snapshot.step, snapshot.context, values, snapshot.aggregates)


def versions() -> dict[str, str]:
    """Of Python and of the packages that took part: package -> version."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found
