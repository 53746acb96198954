from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dgm_tb.moments import NONFINITE, STATISTICS
from lightning_callbacks.kernels.runs import CHUNK, reduce_runs
from lightning_callbacks.kernels.weight import change_of, keep


def _plain(rows: np.ndarray) -> np.ndarray:
    out = np.empty((len(STATISTICS), len(rows)), np.float32)
    reduce_runs(rows[None], 0, out)
    return out


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("inner", [1, 50, CHUNK + 1])
def test_both_passes_agree_with_the_plain_one(inner: int, kind: type) -> None:
    rng = np.random.default_rng(0)
    before: NDArray[np.floating] = rng.normal(size=(5, inner)).astype(kind)
    after: NDArray[np.floating] = rng.normal(size=(5, inner)).astype(kind)
    kept, out = np.empty_like(before), np.empty((len(STATISTICS), 5), np.float32)
    keep(before, kept, out)
    np.testing.assert_array_equal(kept, before)
    np.testing.assert_allclose(out, _plain(before), rtol=2e-5, atol=1e-6)
    change_of(after, kept, out)
    np.testing.assert_allclose(out, _plain(after - before), rtol=2e-5, atol=1e-6)


def test_what_is_not_finite_is_set_aside_in_its_own_unit() -> None:
    before, after = np.zeros((3, 40), np.float32), np.ones((3, 40), np.float32)
    after[1, 7] = np.inf
    out = np.empty((len(STATISTICS), 3), np.float32)
    change_of(after, before, out)
    assert out[NONFINITE].tolist() == [0, 1, 0]
    np.testing.assert_array_equal(out, _plain(after - before))
