"""The density image of all lines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgm_tb.analysis.density import dense_lines
from dgm_tb.analysis.scales import Scale
from tests import oracles

WIDTH, HEIGHT = 9, 12
CHART = Scale("linear", 0.0, HEIGHT - 1.0)  # a value is its pixel


@settings(deadline=None)  # compiles
@given(st.integers(0, 10**9), st.integers(1, 4), st.integers(1, 25), st.sampled_from([0.0, 0.3]))
def test_the_image_is_that_of_the_slow_twin(seed: int, lines: int, points: int, gaps: float) -> None:
    rng = np.random.default_rng(seed)  # drawn, not shrunk: at exact halves of a pixel either side is right
    values = rng.uniform(0, HEIGHT - 1, (lines, points)).astype(np.float32)
    values[rng.random((lines, points)) < gaps] = np.nan
    x = np.sort(rng.uniform(0, 100, points))
    columns = (x - x[0]) / (x[-1] - x[0] or 1.0) * (WIDTH - 1)
    image = dense_lines(values, x, width=WIDTH, height=HEIGHT, scale=CHART)
    assert image.shape == (HEIGHT, WIDTH)
    np.testing.assert_allclose(image, oracles.dense_lines(values, columns, WIDTH, HEIGHT), atol=1e-5)


def test_every_line_adds_one_to_every_column() -> None:
    values = np.random.default_rng(0).uniform(0, HEIGHT - 1, (50, 30)).astype(np.float32)
    image = dense_lines(values, np.arange(30), width=WIDTH, height=HEIGHT, scale=CHART)
    np.testing.assert_allclose(image.sum(axis=0), 50, rtol=1e-5)


def test_the_top_row_is_the_high_end_and_time_runs_by_step() -> None:
    values = np.array([[0.0, 0.0, 11.0]], np.float32)
    image = dense_lines(values, np.array([0, 900, 1000]), width=11, height=HEIGHT, scale=CHART)
    assert image[-1, :9].tolist() == [1.0] * 9  # flat along the bottom until step 850
    assert image[0, -1] > 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gap_is_left_open(bad: float) -> None:
    values = np.array([[5.0, 5.0, bad, bad, 5.0, 5.0], [bad] * 6], np.float32)
    image = dense_lines(values, np.arange(6), width=6, height=HEIGHT, scale=CHART)
    assert image.sum(axis=0).tolist() == [1, 1, 0, 0, 1, 1]


def test_nothing_and_a_single_point() -> None:
    nothing = dense_lines(np.empty((0, 0), np.float32), np.empty(0), width=4, height=3, scale=CHART)
    assert nothing.tolist() == np.zeros((3, 4)).tolist()
    point = dense_lines(np.array([[0.0]], np.float32), np.array([7]), width=4, height=HEIGHT, scale=CHART)
    assert point.sum() == point[-1, 0] == 1
