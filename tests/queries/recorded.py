"""A made-up run on disk beside the very records it was written from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dgm_tb.moments import derive
from dgm_tb.records import Layout, RowKey, Snapshot, StepTable
from tests.synthetic import Dynamics, Shape, layout, write_run

SHAPE = Shape(width=32, snapshots=60)


def clock() -> float:
    return 1.7e9


@dataclass(frozen=True)
class Recorded:
    """``directory`` holds what ``snapshots`` and ``tables`` say."""

    directory: Path
    layout: Layout
    snapshots: tuple[Snapshot, ...]
    tables: tuple[StepTable, ...]

    @property
    def steps(self) -> NDArray[np.int64]:
        return np.array([snapshot.step for snapshot in self.snapshots], np.int64)

    def series(self, key: RowKey, statistic: str) -> NDArray[np.float32]:
        """``(units, snapshots)``, read from the records one by one."""
        row = self.layout.index[key]
        return np.stack([derive(self.layout.row_of(s.values, row), statistic) for s in self.snapshots], axis=1)


def record(directory: Path, shape: Shape = SHAPE, session: str | None = None) -> Recorded:
    """Writes the run and makes the same numbers once more."""
    write_run(directory, shape, clock=clock, session=session)
    dynamics = Dynamics(shape, clock)
    # In the writer's order, since both draw from one random stream.
    pairs = [(dynamics.table(index), dynamics.snapshot(index)) for index in range(shape.snapshots)]
    return Recorded(directory, layout(shape.width), tuple(s for _, s in pairs), tuple(t for t, _ in pairs))
