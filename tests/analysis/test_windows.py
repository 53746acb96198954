"""Windows and the scores of jumps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from dgm_tb.analysis.windows import EXTREME, STILLNESS, extreme, jump_scores, position, unit_scores, window
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


CHANGES = hnp.arrays(np.float32, 9, elements=st.one_of(st.floats(0, 1e6, width=32), st.sampled_from([np.nan, 0.0])))


@given(CHANGES, st.floats(1e-3, 1e3), st.integers(0, 8))
def test_scores_are_those_of_the_slow_twin(row: NDArray[np.float32], size: float, focus: int) -> None:
    np.testing.assert_allclose(
        jump_scores(row[None], np.array([size]), focus),
        [oracles.jump_score(row.tolist(), size, focus, STILLNESS)],
        rtol=1e-9,
    )


def test_what_comes_after_the_focus_changes_nothing() -> None:
    changes = np.random.default_rng(0).exponential(size=(5, 20))
    altered = changes.copy()
    altered[:, 11:] = 1e9
    assert jump_scores(changes, np.ones(5), 10).tolist() == jump_scores(altered, np.ones(5), 10).tolist()


@given(st.floats(1e-3, 1e3))
def test_the_score_has_no_unit(factor: float) -> None:
    changes, sizes = np.random.default_rng(1).exponential(size=(4, 12)), np.arange(1.0, 5.0)
    scaled = jump_scores(changes * factor, sizes * factor, 11)
    np.testing.assert_allclose(scaled, jump_scores(changes, sizes, 11), rtol=1e-9)


def test_a_failing_layer_outranks_larger_layers_that_shake_with_it() -> None:
    rng = np.random.default_rng(2)
    sizes = np.array([1.0, 1e3, 1e-2, 1e5])  # downstream layers are larger, and noisier in proportion
    changes = 0.05 * sizes[:, None] * rng.exponential(size=(4, 40))
    changes[0, 25] = 20.0  # the head: 400 times its noise
    changes[1, 25] = 5e3  # an explosion in absolute terms: 100 times its noise
    changes[3, 25] = 2e5
    assert np.argsort(-jump_scores(changes, sizes, 25))[:2].tolist() == [0, 1]


def test_a_row_at_rest_scores_zero_and_a_stirred_one_a_finite_number() -> None:
    changes, sizes = np.zeros((3, 10)), np.array([0.0, 1.0, 1e-3])
    changes[1, 9], changes[2, 9] = 1e-7, 1e-3
    scores = jump_scores(changes, sizes, 9)
    assert scores[0] == 0
    assert scores[1] < 1
    assert scores[2] == pytest.approx(1 / STILLNESS)


def test_snapshots_without_a_change_are_passed_over() -> None:
    changes = np.random.default_rng(4).exponential(size=(1, 12))
    gaps = changes.copy()
    gaps[0, [3, 7]] = np.nan
    packed = np.delete(changes, [3, 7], axis=1)
    np.testing.assert_allclose(jump_scores(gaps, np.ones(1), 11), jump_scores(packed, np.ones(1), 9))
    assert np.isnan(jump_scores(gaps, np.ones(1), 7))


def test_too_short_a_past_says_nothing() -> None:
    changes = np.array([[np.nan, 1.0, 1.0, 2.0, 90.0]])
    assert np.isnan(jump_scores(changes, np.ones(1), 3))
    assert jump_scores(changes, np.ones(1), 4) > 10
    assert np.isnan(jump_scores(changes, np.ones(1), 0))
    assert jump_scores(np.empty((0, 5)), np.empty(0), 4).shape == (0,)


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


def test_a_units_snapshot_without_a_recording_is_passed_over() -> None:
    units = np.random.default_rng(6).normal(size=(20, 12))
    gaps = units.copy()
    gaps[:, [3, 7]] = np.nan
    recorded = ~np.isnan(gaps)
    packed = np.delete(units, [3, 7], axis=1)
    np.testing.assert_allclose(unit_scores(gaps, 11, recorded), unit_scores(packed, 9))
    assert np.isnan(unit_scores(gaps, 7, recorded)).all()
    gaps[1, 8] = np.inf  # after a gap it is still the jump from the last recorded value
    assert unit_scores(gaps, 8, recorded)[1] == np.inf


def test_units_scored_in_pieces_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    units = np.random.default_rng(7).normal(size=(50, 9))
    units[[3, 20, 41], [2, 8, 7]] = np.inf, np.nan, np.nan
    recorded = np.ones(units.shape, bool)
    recorded[:, 5] = recorded[8:11, 8] = False
    whole = unit_scores(units, 8, recorded)
    monkeypatch.setattr("dgm_tb.analysis.windows._PIECE", 9 * 7)
    np.testing.assert_array_equal(unit_scores(units, 8, recorded), whole)
    assert np.isposinf(whole).tolist() == [unit == 20 for unit in range(50)]
    assert np.flatnonzero(np.isnan(whole)).tolist() == [8, 9, 10]


@pytest.mark.parametrize("units", [3, 60, 3000, 300_000])
def test_chance_makes_hardly_a_unit_extreme(units: int) -> None:
    rng = np.random.default_rng(units)
    found = [np.count_nonzero(unit_scores(rng.standard_normal((units, 2)), 1) >= extreme(units)) for _ in range(9)]
    assert np.median(found) <= (3 if units > 60 else 1)
    assert extreme(units) >= EXTREME
    assert extreme(10 * units) >= extreme(units)


def test_of_a_million_units_thousands_lie_beyond_the_usual_threshold() -> None:
    scores = unit_scores(np.random.default_rng(0).standard_normal((10**6, 2)), 1)
    assert np.count_nonzero(scores >= EXTREME) > 1000
    assert np.count_nonzero(scores >= extreme(10**6)) < 10
