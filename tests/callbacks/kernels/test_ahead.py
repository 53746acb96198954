from __future__ import annotations

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from dgm_tb.compiled import compiled
from lightning_callbacks.kernels.ahead import fetch


@compiled
def _fetched(values: NDArray[np.floating]) -> None:
    for row in range(values.shape[0]):
        fetch(values[row, 1:])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("width", [1, 2, 1000])
def test_nothing_is_changed_and_nothing_outside_is_touched(width: int, kind: type) -> None:
    values: NDArray[np.floating] = np.random.default_rng(0).normal(size=(3, width)).astype(kind)
    before = values.copy()
    _fetched(values)
    np.testing.assert_array_equal(values, before)


def test_it_is_a_prefetch() -> None:
    anew = numba.njit(_fetched.py_func)  # type: ignore[attr-defined]  # what comes from the cache shows no code
    anew(np.zeros((2, 40), np.float32))
    code = "".join(anew.inspect_llvm().values())
    assert "call void @llvm.prefetch" in code
