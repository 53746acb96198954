from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dgm_tb.moments import MEAN
from dgm_tb.queries import density
from dgm_tb.store.run import Run
from tests.queries.fakes import FakeRun, called, not_called
from tests.queries.recorded import SHAPE
from tests.queries.test_layer import KEY, crowd
from tests.synthetic import SPIKE_NODE


def test_every_line_contributes_one_to_each_column(run: Run) -> None:
    view = density.answer(run, density.Request(".", SPIKE_NODE, scale="linear", width=80, height=60))
    assert view.density.shape == (60, 80)
    np.testing.assert_allclose(view.density.sum(axis=0), SHAPE.width, rtol=1e-4)


def test_the_top_row_is_the_highest_value() -> None:
    fake = FakeRun({KEY: called(np.tile([-3.0, 0.0, 7.0], (4, 1)))}, np.arange(4))
    view = density.answer(fake.as_run(), density.Request(".", "a", scale="linear", width=16, height=101))
    assert (view.low, view.high) == (-3, 7)
    np.testing.assert_array_equal(np.flatnonzero(view.density[:, 5]), [0, 70, 100])
    assert np.isnan(view.linear_threshold)


@pytest.mark.parametrize("scale", ["linear", "symlog", "robust"])
def test_the_scale_used_is_told(scale: str) -> None:
    view = density.answer(crowd(100).as_run(), density.Request(".", "a", scale=scale))
    assert view.scale == scale
    assert np.isfinite([view.low, view.high]).all()
    assert (view.linear_threshold > 0) == (scale == "symlog")


@pytest.mark.parametrize("rows", [not_called(4, 6), called(np.empty((0, 6))), called(np.full((4, 6), np.nan))])
def test_nothing_finite_is_an_empty_image(rows: NDArray[np.float32]) -> None:
    fake = FakeRun({KEY: rows}, np.arange(rows.shape[1], dtype=np.int64))
    assert not density.answer(fake.as_run(), density.Request(".", "a")).density.any()


def test_a_long_range_is_an_image_of_all_its_points() -> None:
    fake = crowd(100, 4000)
    view = density.answer(fake.as_run(), density.Request(".", "a", scale="linear", width=64, first=0, last=3999))
    assert (view.level, view.each, len(view.step)) == (1, 16, 500)
    np.testing.assert_allclose(view.density.sum(axis=0), 100, rtol=1e-4)
    assert view.high >= fake.rows[KEY][MEAN, :, 7].max()  # the spike of two snapshots
