from __future__ import annotations

import numpy as np
import pytest

from dgm_tb.moments import STATISTICS
from lightning_callbacks.kernels import columns, runs, tensor


@pytest.mark.parametrize(
    ("outer", "inner", "columns"), [(128, 1, True), (64, 49, True), (64, 196, False), (1, 9, False)]
)
def test_few_neighbours_are_columns_and_many_are_runs(outer: int, inner: int, columns: bool) -> None:
    assert tensor.in_columns(outer, inner) is columns


@pytest.mark.parametrize("shape", [(128, 3, 1), (1, 3, 900)])
def test_either_way_gives_what_it_gives_alone(shape: tuple[int, int, int]) -> None:
    cube = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    alone = columns.reduce_columns if tensor.in_columns(shape[0], shape[2]) else runs.reduce_runs
    found, expected = (np.empty((len(STATISTICS), 3), np.float32) for _ in range(2))
    tensor.reduce(cube, 1, found)
    alone(cube, 1, expected)
    np.testing.assert_array_equal(found, expected)
