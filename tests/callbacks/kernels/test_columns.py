from __future__ import annotations

import numpy as np
import pytest

from dgm_tb.moments import ARGMAX_SAMPLE, STATISTICS, ZEROS
from lightning_callbacks.kernels.columns import BLOCK, TILE, reduce_columns
from lightning_callbacks.kernels.runs import reduce_runs


def _by(reduce: object, cube: np.ndarray, per_sample: int) -> np.ndarray:
    out = np.full((len(STATISTICS), cube.shape[1]), np.float32(-7))
    reduce(cube, per_sample, out)  # type: ignore[operator]
    return out


@pytest.mark.parametrize("outer", [1, 2, 3, 4, 5, 8, BLOCK - 1, BLOCK + 2])
@pytest.mark.parametrize(("units", "inner"), [(3, 1), (2, 7), (TILE + 3, 1), (5, TILE // 2)])
def test_columns_and_runs_agree(outer: int, units: int, inner: int) -> None:
    cube = np.random.default_rng(outer).normal(size=(outer, units, inner)).astype(np.float32)
    cube[cube < -1] = 0
    np.testing.assert_allclose(_by(reduce_columns, cube, 1), _by(reduce_runs, cube, 1), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("first", range(7))
def test_the_first_of_equal_extremes_counts(first: int) -> None:
    cube = np.zeros((9, 2, 1), np.float32)
    cube[first:, 0, 0] = 3 * np.float32(-1) ** np.arange(9 - first)
    out = _by(reduce_columns, cube, 1)
    assert out[ARGMAX_SAMPLE].tolist() == [first, 0]
    assert out[ZEROS].tolist() == [first, 9]


def test_rows_of_one_sample_are_counted_together() -> None:
    cube = np.zeros((12, 1, 1), np.float32)
    cube[7] = 1
    assert _by(reduce_columns, cube, 3)[ARGMAX_SAMPLE].tolist() == [2]
