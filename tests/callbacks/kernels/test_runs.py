from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dgm_tb.moments import ARGMAX_SAMPLE, COUNT, M2, MAX, MEAN, MIN, NONFINITE, STATISTICS, ZEROS
from lightning_callbacks.kernels.runs import CHUNK, FIRST, mean_of, reduce_runs


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("inner", [1, FIRST - 1, FIRST + 5, CHUNK + 3])
def test_statistics_of_runs_of_any_length(inner: int, kind: type) -> None:
    cube: NDArray[np.floating] = np.random.default_rng(inner).normal(2, 3, (3, 4, inner)).astype(kind)
    cube[1, 2, 0] = 0
    out = np.empty((len(STATISTICS), 4), np.float32)
    reduce_runs(cube, 1, out)
    flat = cube.astype(np.float64).transpose(1, 0, 2).reshape(4, -1)
    assert out[COUNT].tolist() == [3 * inner] * 4
    np.testing.assert_allclose(out[MEAN], flat.mean(1), rtol=1e-5)
    np.testing.assert_allclose(out[M2], ((flat - flat.mean(1, keepdims=True)) ** 2).sum(1), rtol=1e-4)
    np.testing.assert_array_equal(out[MIN], flat.min(1).astype(np.float32))
    np.testing.assert_array_equal(out[MAX], flat.max(1).astype(np.float32))
    np.testing.assert_array_equal(out[ARGMAX_SAMPLE], np.abs(flat).argmax(1) // inner)
    assert out[ZEROS].tolist() == [0, 0, 1, 0]
    assert not out[NONFINITE].any()


def test_the_mean_of_a_run_has_its_precision() -> None:
    run = np.full(FIRST, 0.1, np.float32)
    assert mean_of(run) == np.float32(0.1)
