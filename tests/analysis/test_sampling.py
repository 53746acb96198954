"""Which lines are drawn, in which order, and which of them are marked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dgm_tb.analysis.sampling import Sample, priority_order, sample_lines
from dgm_tb.errors import UsageError

# Few columns and a few far values: small crowds with structure at every level.


def noise(lines: int, points: int = 40, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(lines, 1)) + 0.2 * rng.normal(size=(lines, points))).astype(np.float32)


def drawn(sample: Sample) -> list[int]:
    return [int(line) for line in sample.lines]


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(4, 80), st.integers(0, 99), st.floats(0, 1))
def test_a_sample_accounts_for_every_line(lines: int, m: int, seed: int, broken: float) -> None:
    values = noise(lines, seed=seed)
    bad = np.random.default_rng(seed).random(lines) < broken
    values[bad, 20:] = np.nan
    sample = sample_lines(values, m, seed=seed)
    assert len(sample.lines) == min(m, lines)
    assert len(set(drawn(sample))) == len(sample.lines)
    assert sample.weights.sum() == lines
    assert (sample.weights >= 1).all()
    assert (sample.nonfinite == bad[sample.lines]).all()
    assert sample.nonfinite.sum() <= max(m // 4, m - (~bad).sum())
    assert (sample.radius == 0) == (lines <= m)


def test_the_radius_holds_for_every_line_on_the_screen() -> None:
    values = noise(500, points=16)  # a segment a point: the features are the line
    sample = sample_lines(values, 60, scale="linear")
    pixels = (values - values.min()) / np.ptp(values) * 255
    nearest = np.abs(pixels[:, None] - pixels[sample.lines][None]).max(axis=2).min(axis=1)
    assert nearest.max() == pytest.approx(sample.radius, abs=1)


def test_isolated_lines_are_drawn_and_marked_and_the_crowd_is_not() -> None:
    values = noise(5000)
    spikes = np.arange(0, 5000, 500)
    values[spikes, np.arange(10) * 4 + 2] += np.array([20, -20] * 5, np.float32)
    sample = sample_lines(values, 200)
    assert set(spikes) <= set(drawn(sample))
    assert sample.outliers[np.isin(sample.lines, spikes)].all()
    assert sample.outliers.sum() < 20
    assert sample_lines(noise(5000), 200).outliers.sum() < 10


def test_outliers_are_marked_where_every_line_is_drawn() -> None:
    values = noise(200)
    values[17, 20] = 30.0
    sample = sample_lines(values, 300)
    assert len(sample.lines) == 200
    assert drawn(sample).index(17) < 4
    assert sample.outliers[drawn(sample).index(17)]


def test_a_short_prefix_holds_crowd_outliers_and_broken_lines() -> None:
    values = noise(5000)
    spikes = np.random.default_rng(1).choice(5000, 150, replace=False)
    values[spikes, np.arange(150) % 40] += np.linspace(10, 1000, 150, dtype=np.float32)
    values[:300, 30:] = np.inf
    sample = sample_lines(values, 300)
    first = slice(0, 40)
    assert 8 <= (sample.outliers & ~sample.nonfinite)[first].sum() <= 20
    assert 4 <= sample.nonfinite[first].sum() <= 10
    assert sample.weights[first].sum() > 2000


def test_the_same_seed_draws_the_same_and_another_one_another_crowd() -> None:
    values = noise(2000)
    first, again, other = (sample_lines(values, 100, seed=seed) for seed in (1, 1, 2))
    assert drawn(first) == drawn(again)
    assert drawn(first) != drawn(other)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 999))
def test_the_order_of_the_lines_does_not_matter_once_priority_is_given(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = noise(300, seed=seed)
    values[rng.random(300) < 0.1, 7] = np.nan
    priority, shuffle = rng.permutation(300), rng.permutation(300)
    place = np.argsort(shuffle)  # where a line went
    straight = sample_lines(values, 50, priority=priority)
    shuffled = sample_lines(values[shuffle], 50, priority=place[priority], seed=seed)
    assert place[straight.lines].tolist() == drawn(shuffled)
    assert straight.weights.tolist() == shuffled.weights.tolist()
    assert straight.outliers.tolist() == shuffled.outliers.tolist()


def test_an_earlier_sample_as_priority_keeps_the_picture() -> None:
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(4000, 1)) + np.cumsum(0.1 * rng.normal(size=(4000, 52)), axis=1)).astype(np.float32)
    before = sample_lines(values[:, :51], 300)
    kept = sample_lines(values[:, 1:], 300, priority=before.lines)
    fresh = sample_lines(values[:, 1:], 300, seed=1)
    assert len(set(drawn(kept)) & set(drawn(before))) > 200
    assert len(set(drawn(fresh)) & set(drawn(before))) < 100


def test_priority_comes_first_once_and_without_strangers() -> None:
    order = priority_order(6, 0, np.array([4, 9, 2, 4, -1]))
    assert order[:2].tolist() == [4, 2]
    assert sorted(order.tolist()) == list(range(6))
    assert priority_order(6, 0, None).tolist() == np.random.default_rng(0).permutation(6).tolist()


def test_equal_lines_are_drawn_once() -> None:
    values = np.zeros((1000, 20), np.float32)
    values[3:5] = 1.0
    sample = sample_lines(values, 10)
    assert sorted(sample.weights.tolist()) == [2, 998]
    assert sample.radius == 0


def test_a_layer_that_broke_as_a_whole_is_still_drawn() -> None:
    values = noise(1000)
    values[:, 30:] = np.nan
    sample = sample_lines(values, 100)
    assert len(sample.lines) == 100
    assert sample.nonfinite.all()
    assert sample_lines(np.full((9, 5), np.nan, np.float32), 4).weights.tolist() == [9]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"m": 3}, "m=3"), ({"m": 9, "height": 300}, "height=300"), ({"m": 9, "scale": "cube"}, "cube")],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        sample_lines(noise(5), **arguments)  # type: ignore[arg-type]


def test_threads_may_sample_at_once() -> None:
    crowds = [noise(3000, seed=seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(lambda values: drawn(sample_lines(values, 100)), 4 * crowds))
    assert at_once == 4 * [drawn(sample_lines(values, 100)) for values in crowds]
