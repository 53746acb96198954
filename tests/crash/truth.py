"""What a reader may say of a run: the numbers that were written, or that they were not recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dgm_tb.moments import DERIVED, absent, derive
from dgm_tb.records import Layout, RowKey, Snapshot
from dgm_tb.store.run import Run
from tests.store import made


@dataclass(frozen=True)
class Truth:
    """The snapshots of a run as a function of their step; the losses are those of `tests.store.made.table`."""

    layout: Layout = made.LAYOUT
    written: Callable[[int], Snapshot] = made.plausible

    def never_wrong(self, run: Run) -> set[int]:
        """Compares everything that ``run`` says with what was written; the steps of which it says all."""
        snapshots = [_again(self.written, step) for step in run.steps.tolist()]
        if snapshots:
            truth = np.stack([snapshot.context for snapshot in snapshots])
            assert (made.bits(run.context) == made.bits(truth)).all()
        whole = np.ones(len(snapshots), bool)
        keys = [row.key for row in self.layout.rows if row.key in run.keys]
        for key in keys:
            whole &= self._rows(run.read(key, slice(None)), snapshots, key)
        whole &= self._aggregates(run.aggregates(keys, slice(None)), snapshots, keys)
        if len(run.losses.steps):
            assert (run.losses.values[0] == 1 + run.losses.steps).all()
        return set(run.steps[whole].tolist()) if len(keys) == len(self.layout.rows) else set()

    def _rows(self, told: NDArray[np.float32], snapshots: list[Snapshot], key: RowKey) -> NDArray[np.bool_]:
        """Which snapshots are told to the bit. A channel of the others is told so too, or as not recorded."""
        if not snapshots:
            return np.ones(0, bool)
        row = self.layout.index[key]
        truth = np.stack([self.layout.row_of(snapshot.values, row) for snapshot in snapshots], axis=1)
        same = (made.bits(told) == made.bits(truth)).all(axis=2)
        none = ((made.bits(told) == made.bits(absent(truth.shape[2]))[:, None]) | np.isnan(told)).all(axis=2)
        wrong = np.argwhere(~(same | none))
        assert not len(wrong), f"wrong numbers of {key} at (statistic, position) {wrong.tolist()[:5]}"
        return np.asarray(same.all(axis=0))

    def _aggregates(
        self, told: NDArray[np.float32], snapshots: list[Snapshot], keys: list[RowKey]
    ) -> NDArray[np.bool_]:
        if not (snapshots and keys):
            return np.ones(len(snapshots), bool)
        rows = [self.layout.index[key] for key in keys]
        truth = np.stack([snapshot.aggregates[rows] for snapshot in snapshots], axis=1)
        none = np.isnan(told).all(axis=(2, 3))
        assert ((made.bits(told) == made.bits(truth)).all(axis=(2, 3)) | none).all()
        return np.asarray(~none.any(axis=0))

    def rollups_never_wrong(self, run: Run, most: int = 50, statistics: Sequence[str] = DERIVED) -> set[int]:
        """Compares every point of the run drawn with ``most`` points; the levels that were used.

        The steps of the snapshots must follow each other at equal distances.
        """
        if not len(run.steps):
            return set()
        points = run.points(int(run.steps[0]), int(run.steps[-1]), most)
        spans = [*zip(points.first.tolist(), points.last.tolist(), points.snapshots.tolist(), strict=True)]
        assert all(before[1] < after[0] for before, after in pairwise(spans))
        for row in self.layout.rows:
            for statistic in statistics if row.key in run.keys else ():
                mean, low, high = run.rolled(row.key, points, statistic)
                for place, span in enumerate(spans):
                    if np.isnan(low[place]).all():  # not recorded, or damaged
                        continue
                    values = self._between(*span, row.key, statistic)
                    np.testing.assert_array_equal(low[place], values.min(axis=0))
                    np.testing.assert_array_equal(high[place], values.max(axis=0))
                    truth = values.mean(axis=0, dtype=np.float64)
                    np.testing.assert_allclose(mean[place], truth, rtol=1e-5, atol=1e-6)
        return set(points.levels.tolist())

    def _between(self, first: int, last: int, count: int, key: RowKey, statistic: str) -> NDArray[np.float32]:
        """A statistic ``(snapshots, units)`` of a point's snapshots."""
        steps = np.linspace(first, last, count).round().astype(int).tolist()
        row = self.layout.index[key]
        snapshots = [_again(self.written, step) for step in steps]
        rows = np.stack([self.layout.row_of(snapshot.values, row) for snapshot in snapshots], axis=1)
        return derive(rows, statistic)


@lru_cache(maxsize=1 << 14)
def _again(written: Callable[[int], Snapshot], step: int) -> Snapshot:
    return written(step)
