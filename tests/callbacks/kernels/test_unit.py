from __future__ import annotations

import numpy as np
import pytest

from dgm_tb.moments import COUNT, M2, MAX, MEAN, MIN, STATISTICS
from lightning_callbacks.kernels.unit import read_carefully, store


def _stored(shift: float, drift: float, square: float) -> tuple[bool, np.ndarray]:
    out = np.zeros((len(STATISTICS), 2), np.float32)
    return store(out, 1, 4, shift, drift, square, -1.0, 1.0, 0.0, 2), out


def test_sums_become_statistics_of_the_one_unit() -> None:
    trusted, out = _stored(10.0, 4.0, 6.0)
    assert trusted
    assert out[[COUNT, MEAN, M2, MIN, MAX], 1].tolist() == [4, 11, 2, -1, 1]
    assert not out[:, 0].any()


@pytest.mark.parametrize(
    ("drift", "square", "trusted"),
    [(0.0, 0.0, True), (1.0, np.nan, False), (np.nan, 1.0, False), (np.inf, np.inf, False), (4000.0, 4e6, False)],
)
def test_sums_that_met_no_number_or_lost_their_digits_are_not_trusted(
    drift: float, square: float, trusted: bool
) -> None:
    assert _stored(0.0, drift, square)[0] is trusted


def test_a_unit_is_read_carefully_into_any_column() -> None:
    cube = np.array([[[1.0, np.nan]], [[3.0, np.inf]]], np.float32)
    out = np.full((len(STATISTICS), 3), np.float32(-7))
    read_carefully(cube, 0, 1, out, 2)
    assert out[:, 2].tolist() == [4, 2, 2, 1, 3, 0, 2, 1]
    assert (out[:, :2] == -7).all()
