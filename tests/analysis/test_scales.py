"""The maps from values to pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from dgm_tb.analysis.scales import SCALES, TINY, Scale, fit, to_pixels
from dgm_tb.errors import UsageError

VALUES = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 9)),
    elements=st.one_of(st.floats(-(2.0**127), 2.0**127, width=32), st.floats(-2, 2, width=32)),
)


@settings(deadline=None)  # compiles
@given(VALUES, st.sampled_from(sorted(SCALES)))
def test_every_scale_is_monotone_and_fills_the_chart(values: NDArray[np.float32], name: str) -> None:
    scale = fit(values, name)
    pixels = to_pixels(scale, np.sort(values, axis=None), 256)
    assert pixels.dtype == np.float32
    assert (np.diff(pixels) >= 0).all()
    assert pixels.min() >= 0
    assert pixels.max() <= 255
    if scale.high - scale.low > TINY and name != "robust":
        assert pixels[0] == pytest.approx(0, abs=1e-2)
        assert pixels[-1] == pytest.approx(255, abs=1e-1)


def test_pixels_are_those_of_the_formula() -> None:
    values = np.array([[-100.0, -1.0, 0.0, 0.5, 3.0, 1000.0]], np.float32)
    scale = Scale("symlog", -100.0, 1000.0, 2.0)
    symlog = np.sign(values) * np.log1p(np.abs(values) / 2)
    expected = (symlog - symlog.min()) / np.ptp(symlog) * 255
    np.testing.assert_allclose(to_pixels(scale, values, 256), expected, atol=1e-3)
    linear = to_pixels(Scale("linear", -100.0, 1000.0), values, 101)
    np.testing.assert_allclose(linear, (values + 100) / 11, atol=1e-4)


@pytest.mark.parametrize("sign", [1, -1])
def test_symlog_resolves_values_far_from_zero(sign: int) -> None:
    values = sign * np.linspace(1e6, 1e6 + 64, 65, dtype=np.float32)[None]
    pixels = to_pixels(fit(values, "symlog"), values, 256)
    np.testing.assert_allclose(np.abs(np.diff(pixels[0])), 255 / 64, rtol=0.05)


def test_values_beyond_a_scale_are_clipped_to_its_ends() -> None:
    values = np.array([[-9.0, 1.0, 5.0, 9.0, np.inf, -np.inf]], np.float32)
    for scale in (Scale("linear", 2.0, 5.0), Scale("symlog", 2.0, 5.0, 1.0)):
        assert to_pixels(scale, values, 256)[0].tolist() == [0, 0, 255, 255, 255, 0]


def test_symlog_draws_the_crowd_nearly_linearly_and_an_explosion_logarithmically() -> None:
    values = np.random.default_rng(0).normal(size=(100, 20)).astype(np.float32)
    values[0, 10] = 1e6
    scale = fit(values, "symlog")
    assert scale.linear_threshold == pytest.approx(2, rel=0.2)  # two standard deviations
    assert np.ptp(to_pixels(scale, values[1:], 256)) > 30  # linearly it would be one pixel


def test_robust_clips_what_lies_beyond_the_percentiles() -> None:
    values = np.random.default_rng(0).normal(size=(100, 100)).astype(np.float32)
    values[0, 0] = 1e9
    scale = fit(values, "robust")
    assert 3 < scale.high < 10
    assert to_pixels(scale, values, 256)[0, 0] == 255


@pytest.mark.parametrize("name", sorted(SCALES))
def test_what_is_not_finite_does_not_bend_a_scale(name: str) -> None:
    values = np.random.default_rng(0).normal(size=(10, 100)).astype(np.float32)
    broken = np.concatenate([values, np.full((1, 100), np.nan, np.float32), np.full((1, 100), -np.inf, np.float32)])
    assert (fit(broken, name).low, fit(broken, name).high) == pytest.approx(
        (fit(values, name).low, fit(values, name).high)
    )
    pixels = to_pixels(fit(values, name), broken, 256)
    assert np.isnan(pixels[10]).all()
    assert (pixels[11] == 0).all()


@pytest.mark.parametrize("values", [np.full((3, 4), 7.0), np.zeros((3, 4)), np.full((3, 4), np.nan), np.empty((0, 4))])
@pytest.mark.parametrize("name", sorted(SCALES))
def test_without_extent_everything_lies_in_the_middle(values: NDArray[np.float64], name: str) -> None:
    pixels = to_pixels(fit(values.astype(np.float32), name), values.astype(np.float32), 256)
    assert np.isin(pixels, 127.5).all() or np.isnan(pixels).all()


def test_an_unknown_scale_is_named() -> None:
    with pytest.raises(UsageError, match=r"log10.*linear.*symlog"):
        fit(np.zeros((1, 1), np.float32), "log10")
