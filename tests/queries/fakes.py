"""A run in memory, for what a recorded one cannot be made to do at will: absent calls, many units, late ranks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from dgm_tb.moments import COUNT, DERIVED, M2, MAX, MEAN, MIN, REDUCTIONS, STATISTICS, absent, aggregate, derive
from dgm_tb.records import Graph, Node, RowKey
from dgm_tb.store import levels
from dgm_tb.store.levels import Level, Points
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

    def read(
        self,
        key: RowKey,
        indices: slice | NDArray[np.int64],
        *,
        units: NDArray[np.int64] | None = None,
        statistics: Sequence[str] = STATISTICS,
    ) -> NDArray[np.float32]:
        piece = self.rows[key][[STATISTICS.index(statistic) for statistic in statistics]][:, indices]
        piece = piece if units is None else piece[:, :, units]
        self.reads.append(piece.size)
        return piece

    def pieces(
        self, key: RowKey, indices: slice | NDArray[np.int64], statistics: Sequence[str], most: int
    ) -> Iterator[tuple[NDArray[np.int64], slice, NDArray[np.float32]]]:
        """A few units, then the next ones."""
        width, places = self.keys[key], np.arange(len(self.steps[indices]))
        size = max(1, most // (len(statistics) * max(1, len(places))))
        for start in range(0, width, size):
            units = slice(start, min(start + size, width))
            yield places, units, self.read(key, indices, units=np.arange(width)[units], statistics=statistics)

    def points(self, first: int, last: int, most: int) -> Points:
        return levels.plan([self._level(number) for number in range(4)], first, last, most, ())

    def rolled(
        self,
        key: RowKey,
        points: Points,
        statistic: str,
        units: NDArray[np.int64] | None = None,
        *,
        rolls: Sequence[str] = ("mean", "min", "max"),
    ) -> NDArray[np.float32]:
        values = derive(self.rows[key] if units is None else self.rows[key][:, :, units], statistic)
        self.reads.append(len(rolls) * len(points.first) * values.shape[1])
        return np.moveaxis(np.stack([self._rolled(values, pair, rolls) for pair in self._pairs(points)]), 0, 1)

    def rolled_aggregates(
        self, keys: Sequence[RowKey], points: Points, statistics: Sequence[str] = DERIVED
    ) -> NDArray[np.float32]:
        everything = self.aggregates(tuple(keys), slice(None))[:, :, [DERIVED.index(name) for name in statistics]]
        rolls = "mean", "min", "max"
        parts = [self._rolled(everything.swapaxes(0, 1), pair, rolls) for pair in self._pairs(points)]
        return np.moveaxis(np.stack(parts), [0, 1], [1, -1])

    def _level(self, number: int) -> Level:
        each = 16**number
        count = len(self.steps) // each
        ends = np.arange(1, count + 1) * each
        return Level(self.steps[ends - each], self.steps[ends - 1], np.full(count, each), ())

    @staticmethod
    def _pairs(points: Points) -> list[tuple[int, int]]:
        return list(zip(points.first.tolist(), points.last.tolist(), strict=True))

    def _rolled(self, values: NDArray[np.float32], pair: tuple[int, int], rolls: Sequence[str]) -> NDArray[np.float32]:
        """Of ``values`` ``(snapshots, …)``, those of the steps of ``pair``: ``(rolls, …)``."""
        part = values[(self.steps >= pair[0]) & (self.steps <= pair[1])].astype(np.float64)
        finite = np.isfinite(part)
        seen = finite.sum(axis=0)
        least, greatest = np.where(finite, part, np.inf).min(axis=0), np.where(finite, part, -np.inf).max(axis=0)
        found = {"min": least, "max": greatest, "mean": np.where(finite, part, 0).sum(axis=0) / np.maximum(seen, 1)}
        return np.stack([np.where(seen > 0, found[roll], np.nan) for roll in rolls]).astype(np.float32)

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
