"""Windows and the scores of jumps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from dgm_tb.analysis.windows import STILLNESS, jump_scores, position, unit_scores, window
from tests import oracles

STEPS = np.array([0, 1, 2, 4, 8, 16, 50, 100], np.int64)


@pytest.mark.parametrize(("focus", "expected"), [(-3, 0), (0, 0), (3, 2), (4, 3), (99, 6), (100, 7), (10**9, 7)])
def test_the_focus_is_the_nearest_snapshot_at_or_before(focus: int, expected: int) -> None:
    assert position(STEPS, focus) == expected


def test_a_window_is_cut_at_the_ends() -> None:
    assert window(STEPS, 8, 2) == slice(2, 7)
    assert window(STEPS, 1, 3) == slice(0, 5)
    assert window(STEPS, 100, 3) == slice(4, 8)
    assert window(np.empty(0, np.int64), 5, 3) == slice(0, 0)


ROW = hnp.arrays(
    np.float32, 9, elements=st.one_of(st.floats(-1e6, 1e6, width=32), st.sampled_from([np.nan, np.inf, 0.0]))
)


@given(ROW, st.integers(0, 8))
def test_scores_are_those_of_the_slow_twin(row: NDArray[np.float32], focus: int) -> None:
    np.testing.assert_allclose(
        jump_scores(row[None], focus), [oracles.jump_score(row.tolist(), focus, STILLNESS)], rtol=1e-9
    )


def test_what_comes_after_the_focus_changes_nothing() -> None:
    rows = np.random.default_rng(0).normal(size=(5, 20))
    altered = rows.copy()
    altered[:, 11:] = 1e9
    assert jump_scores(rows, 10).tolist() == jump_scores(altered, 10).tolist()


@given(st.floats(1e-3, 1e3))
def test_the_score_has_no_unit(factor: float) -> None:
    rows = np.random.default_rng(1).normal(size=(4, 12))
    np.testing.assert_allclose(jump_scores(rows * factor, 11), jump_scores(rows, 11), rtol=1e-9)


def test_a_failing_layer_outranks_larger_layers_that_shake_with_it() -> None:
    rng = np.random.default_rng(2)
    sizes = np.array([1.0, 1e3, 1e-2, 1e5])  # downstream layers are larger, and noisier in proportion
    rows = sizes[:, None] * (1 + 0.05 * rng.normal(size=(4, 40)))
    rows[0, 25:] += 20.0  # the head: 400 times its noise
    rows[1, 25:] += 5e3  # an explosion in absolute terms: 100 times its noise
    rows[3, 25:] += 2e5
    assert np.argsort(-jump_scores(rows, 25))[:2].tolist() == [0, 1]


def test_a_row_at_rest_scores_zero_and_a_stirred_one_a_finite_number() -> None:
    rest, rounding, woken = np.zeros(10), np.ones(10), np.zeros(10)
    rounding[9], woken[9] = 1 + 1e-7, 1e-3
    scores = jump_scores(np.stack([rest, rounding, woken]), 9)
    assert scores[0] == 0
    assert scores[1] < 1
    assert scores[2] == pytest.approx(1 / STILLNESS)


def test_turning_non_finite_is_the_worst_jump_once() -> None:
    rows = np.random.default_rng(3).normal(size=(3, 12))
    rows[0, 8:], rows[1, 8:] = np.nan, np.inf
    assert jump_scores(rows, 8)[:2].tolist() == [np.inf, np.inf]
    assert np.isnan(jump_scores(rows, 9)[:2]).all()
    assert np.isfinite(jump_scores(rows, 9)[2])


def test_a_snapshot_without_a_recording_is_passed_over() -> None:
    rows = np.random.default_rng(4).normal(size=(2, 12))
    gaps = rows.copy()
    gaps[1, [3, 7]] = np.nan
    recorded = ~np.isnan(gaps)
    packed = np.delete(rows[1:], [3, 7], axis=1)
    np.testing.assert_allclose(jump_scores(gaps, 11, recorded)[1:], jump_scores(packed, 9))
    assert np.isnan(jump_scores(gaps, 7, recorded)[1])
    gaps[1, 8] = np.inf  # after a gap it is still the jump from the last recorded value
    assert jump_scores(gaps, 8, recorded)[1] == np.inf


def test_too_short_a_past_says_nothing() -> None:
    rows = np.array([[0.0, 1.0, 0.0, 1.0, 9.0]])
    assert np.isnan(jump_scores(rows, 3))
    assert jump_scores(rows, 4) > 10
    assert np.isnan(jump_scores(rows, 0))
    assert jump_scores(np.empty((0, 5)), 4).shape == (0,)


def test_a_unit_is_compared_with_its_layer() -> None:
    rng = np.random.default_rng(5)
    units = rng.normal(size=(200, 30))
    units[:, 15:] += 50.0  # all of them jump
    units[7, 15:] += 10.0  # one jumps farther
    scores = unit_scores(units, 15)
    assert np.argmax(scores) == 7
    assert scores[7] > 5
    assert np.median(np.abs(scores)) < 1.5
    units[9, 15] = np.nan
    assert unit_scores(units, 15)[9] == np.inf
    assert np.isnan(unit_scores(units[:, :1], 0)).all()
    assert unit_scores(np.zeros((4, 6)), 5).tolist() == [0.0] * 4
    assert unit_scores(np.empty((0, 5)), 4).shape == (0,)
