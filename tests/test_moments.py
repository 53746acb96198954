"""Moments: deriving, merging and summarising them, against plain arithmetic on the values themselves."""

from __future__ import annotations

from itertools import zip_longest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dgm_tb import moments
from dgm_tb.moments import DERIVED, REDUCTIONS, STATISTICS, absent, aggregate, aggregate_rows, derive, merge

VALUES = st.one_of(st.floats(-1e3, 1e3), st.sampled_from([0.0, -0.0, np.nan, np.inf, -np.inf]))
SAMPLES = st.lists(VALUES, max_size=12)


def of(values: list[float], first: int = 0) -> NDArray[np.float64]:
    """The moments ``(statistics, 1)`` of one unit's values, the obvious way; ``first`` is its first sample."""
    if not values:
        return absent(1).astype(np.float64)
    array = np.array(values)
    finite = array[np.isfinite(array)]
    row = np.full((len(STATISTICS), 1), np.nan)
    row[moments.COUNT], row[moments.ZEROS] = len(array), (array == 0).sum()
    row[moments.NONFINITE], row[moments.ARGMAX_SAMPLE] = len(array) - len(finite), -1
    if finite.size:
        row[moments.MEAN], row[moments.M2] = finite.mean(), ((finite - finite.mean()) ** 2).sum()
        row[moments.MIN], row[moments.MAX] = finite.min(), finite.max()
        row[moments.ARGMAX_SAMPLE] = first + int(np.argmax(np.where(np.isfinite(array), np.abs(array), -1)))
    return row


def same(a: NDArray[np.floating], b: NDArray[np.floating], rows: slice = slice(None)) -> None:
    # 1e3 ** 2 * 1e-12 a value: the cancellation in M2 of float64.
    np.testing.assert_allclose(a[rows], b[rows], rtol=1e-9, atol=1e-5)


@given(SAMPLES, SAMPLES)
def test_merged_are_those_of_all_values(a: list[float], b: list[float]) -> None:
    merged, together = merge(of(a), of(b, len(a))), of(a + b)
    same(merged, together, slice(0, moments.ARGMAX_SAMPLE))
    finite = np.abs([x for x in a + b if np.isfinite(x)])
    if finite.size:  # of several equally large samples any is right
        assert abs((a + b)[int(merged[moments.ARGMAX_SAMPLE, 0])]) == finite.max()


@given(SAMPLES, SAMPLES, SAMPLES)
def test_merge_is_associative_and_commutative(a: list[float], b: list[float], c: list[float]) -> None:
    x, y, z = of(a), of(b), of(c)
    but_argmax = slice(0, moments.ARGMAX_SAMPLE)
    same(merge(merge(x, y), z), merge(x, merge(y, z)), but_argmax)
    same(merge(x, y), merge(y, x), but_argmax)


@given(SAMPLES)
def test_absent_is_the_identity_of_merge(a: list[float]) -> None:
    row, none = of(a), absent(1).astype(np.float64)
    same(merge(row, none), row)
    same(merge(none, row), row)


def test_merge_keeps_the_precision_of_the_first() -> None:
    assert merge(absent(3), of([1.0])).dtype == np.float32


@given(SAMPLES.filter(bool))
def test_derived_are_what_numpy_says(values: list[float]) -> None:
    array = np.array(values)
    finite, row = array[np.isfinite(array)], of(values)
    expected = {
        "zero_fraction": (array == 0).mean(),
        "nonfinite": len(array) - len(finite),
        "count": len(array),
        "mean": finite.mean() if finite.size else np.nan,
        "std": finite.std() if finite.size else np.nan,
        "min": finite.min(initial=np.inf) if finite.size else np.nan,
        "max": finite.max(initial=-np.inf) if finite.size else np.nan,
    }
    for statistic, value in expected.items():
        np.testing.assert_allclose(derive(row, statistic), [value], rtol=1e-6, atol=1e-9, err_msg=statistic)


@pytest.mark.parametrize("statistic", [*STATISTICS, *DERIVED])
def test_everything_of_an_absent_node_is_nan(statistic: str) -> None:
    assert np.isnan(derive(absent(4), statistic)).all()


def test_derive_of_rows_over_snapshots_keeps_their_shape() -> None:
    rows = np.stack([of([1.0, 3.0]), of([2.0])], axis=1)  # (statistics, snapshots, units)
    assert derive(rows, "mean").tolist() == [[2.0], [2.0]]


def test_an_aggregate_leaves_out_units_without_a_finite_value() -> None:
    row = np.concatenate([of([1.0, 3.0]), of([np.nan]), of([5.0]), of([])], axis=1).astype(np.float32)
    summary = dict(zip(DERIVED, aggregate(row).tolist(), strict=True))
    assert summary["mean"][:3] == pytest.approx([3.5, 2.0, 5.0])
    assert summary["nonfinite"][:3] == pytest.approx([1 / 3, 0.0, 1.0])
    assert np.isnan(aggregate(absent(3))).all()


def test_a_change_is_that_of_the_units_and_not_of_their_mean() -> None:
    before = np.concatenate([of([1.0]), of([1.0]), of([2.0]), of([7.0]), of([])], axis=1)
    after = np.concatenate([of([5.0]), of([-2.0]), of([2.0]), of([np.nan]), of([9.0])], axis=1)
    change = dict(zip(DERIVED, aggregate(after, before)[:, REDUCTIONS.index("change")].tolist(), strict=True))
    assert change["mean"] == pytest.approx(np.sqrt((4**2 + 3**2) / 3))  # of the three that are finite in both
    assert change["nonfinite"] == pytest.approx(np.sqrt(1 / 4))
    assert np.isnan(aggregate(after, absent(5))[:, REDUCTIONS.index("change")]).all()


@settings(deadline=None)  # compiles
@given(st.lists(st.lists(st.tuples(SAMPLES, SAMPLES), min_size=1, max_size=4), max_size=4), st.integers(0, 4))
def test_aggregating_all_rows_at_once_equals_row_by_row(
    layers: list[list[tuple[list[float], list[float]]]], known: int
) -> None:
    rows, before = (
        [np.concatenate([of(unit[side]) for unit in layer], axis=1).astype(np.float32) for layer in layers]
        for side in (0, 1)
    )
    before = before[:known]  # of an earlier layout, with fewer rows
    starts = np.concatenate([[0], np.cumsum([row.size for row in rows])]).astype(np.int64)
    flat, earlier = (
        np.concatenate([np.empty(0, np.float32), *(row.ravel() for row in part)]) for part in (rows, before)
    )
    slow = np.array([aggregate(*pair) for pair in zip_longest(rows, before)], np.float32)
    fast = aggregate_rows(flat, starts, earlier)
    np.testing.assert_allclose(fast, slow.reshape(fast.shape), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(fast[..., :3], aggregate_rows(flat, starts)[..., :3])


def test_rows_restricted_to_some_statistics_aggregate_what_follows_from_them() -> None:
    row = np.concatenate([of([1.0, 3.0, 0.0]), of([5.0]), of([])], axis=1).astype(np.float32)
    places = np.full((2, len(STATISTICS)), -1)
    places[0, [moments.COUNT, moments.MEAN]] = 1, 0  # in an order of its own
    places[1, [moments.COUNT, moments.ZEROS, moments.MIN]] = 0, 1, 2
    parts = row[[moments.MEAN, moments.COUNT]], row[[moments.COUNT, moments.ZEROS, moments.MIN]]
    flat = np.concatenate([part.ravel() for part in parts])
    made = aggregate_rows(flat, np.array([0, 6, 15]), flat, places)
    whole = aggregate_rows(row.ravel(), np.array([0, row.size]), row.ravel())[0]
    for index, known in enumerate([{"mean"}, {"zero_fraction", "min"}]):
        expected = np.where([[statistic in known] for statistic in DERIVED], whole, np.nan)
        np.testing.assert_array_equal(made[index], expected)
