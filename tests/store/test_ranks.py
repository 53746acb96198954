from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dgm_tb.moments import absent, merge
from dgm_tb.store import ranks
from tests.store import made, oracles

ROLLS = ("mean", "min", "max", "seen")


def rolled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(ROLLS, units)`` of ``(snapshots, units)``."""
    least, greatest, mean, seen = oracles.rolled(values)
    return np.stack([mean, least, greatest, seen]).astype(np.float32)


def broken(seed: int, snapshots: int, units: int = 4) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).normal(size=(snapshots, units)).astype(np.float32)
    values[np.random.default_rng(seed + 1).random(values.shape) < 0.4] = np.nan
    return values


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_ranks_rolled_up_are_what_all_their_snapshots_roll_up_to(lengths: list[int]) -> None:
    series = [broken(seed, length) for seed, length in enumerate(lengths)]
    found = ranks.merged_rolls([rolled(of)[:, None] for of in series], ROLLS)[:, 0]
    expected = rolled(np.concatenate(series))
    np.testing.assert_array_equal(found[1:], expected[1:])
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, atol=1e-6)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.data())
def test_neighbours_rolled_up_are_what_their_snapshots_roll_up_to(lengths: list[int], data: st.DataObject) -> None:
    series = [broken(seed, length) for seed, length in enumerate(lengths)]
    starts = sorted({0, *data.draw(st.lists(st.integers(0, len(lengths) - 1)))})
    found = ranks.together(np.stack([rolled(of) for of in series], axis=1), ROLLS, np.array(starts))
    for index, (begin, end) in enumerate(zip(starts, [*starts[1:], len(series)], strict=True)):
        expected = rolled(np.concatenate(series[begin:end]))
        np.testing.assert_array_equal(found[1:, index], expected[1:])
        np.testing.assert_allclose(found[0, index], expected[0], rtol=1e-5, atol=1e-6)


def test_a_single_snapshot_rolls_up_to_itself() -> None:
    values = np.array([[1, np.nan, np.inf]], np.float32)
    found = ranks.single(values, ("min", "seen"))
    np.testing.assert_array_equal(found, [[[1, np.nan, np.nan]], [[1, 0, 0]]])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_whole_rows_are_merged_exactly(count: int) -> None:
    parts = [made.LAYOUT.row_of(made.plausible(5, seed=rank).values, 0)[:, None] for rank in range(count)]
    expected = parts[0]
    for part in parts[1:]:
        expected = merge(expected, part)
    np.testing.assert_array_equal(ranks.merged(parts), expected)


def test_a_rank_that_has_no_row_changes_nothing() -> None:
    row = made.LAYOUT.row_of(made.plausible(5).values, 0)[:, None]
    np.testing.assert_array_equal(ranks.merged([row, absent(3)[:, None]]), row)
