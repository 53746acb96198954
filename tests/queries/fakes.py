"""A run in memory, for what a recorded one cannot be made to do at will: absent calls, many units, late ranks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from dgm_tb.moments import COUNT, DERIVED, M2, MAX, MEAN, MIN, REDUCTIONS, STATISTICS, absent, aggregate
from dgm_tb.records import Graph, Node, RowKey
from dgm_tb.store.run import Run


@dataclass
class FakeRun:
    """Rows given whole: ``rows[key]`` is float32 ``(STATISTICS, snapshots, units)``."""

    rows: dict[RowKey, NDArray[np.float32]]
    steps: NDArray[np.int64]
    generation: int = 0
    last_wall_time: float = 0.0
    directory: Path = field(default_factory=lambda: Path(f"/nowhere/{uuid4()}"))  # what is remembered goes by it
    graph: Graph | None = None
    graph_id: str | None = None
    nodes: tuple[Node, ...] = ()
    reads: list[int] = field(default_factory=list)

    @property
    def keys(self) -> dict[RowKey, int]:
        return {key: row.shape[2] for key, row in self.rows.items()}

    def read(self, key: RowKey, indices: slice, *, units: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        piece = self.rows[key][:, indices]
        self.reads.append(piece.size)
        return piece if units is None else piece[:, :, units]

    def aggregates(self, keys: tuple[RowKey, ...], indices: slice) -> NDArray[np.float32]:
        places = range(*indices.indices(len(self.steps)))
        parts = [[self._aggregate(self.rows[key], place) for place in places] for key in keys]
        return np.array(parts, np.float32).reshape(len(keys), len(places), len(DERIVED), len(REDUCTIONS))

    @staticmethod
    def _aggregate(rows: NDArray[np.float32], place: int) -> NDArray[np.float32]:
        return aggregate(rows[:, place], rows[:, place - 1] if place else None)

    def as_run(self) -> Run:
        return cast(Run, self)


def called(means: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows whose means are ``(snapshots, units)``, every count 4."""
    rows = np.zeros((len(STATISTICS), *means.shape), np.float32)
    rows[COUNT], rows[MEAN], rows[MIN], rows[MAX], rows[M2] = 4, means, means - 1, means + 1, 4.0
    return rows


def not_called(snapshots: int, units: int) -> NDArray[np.float32]:
    return np.repeat(absent(units)[:, None], snapshots, axis=1)
