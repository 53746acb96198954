from __future__ import annotations

import numpy as np
import pytest

from dgm_tb.analysis.windows import jump_scores
from dgm_tb.moments import DERIVED, MAX, NONFINITE
from dgm_tb.queries import aggregates
from dgm_tb.records import RowKey
from dgm_tb.store.run import Run
from tests.queries.fakes import FakeRun, called, not_called
from tests.queries.recorded import SHAPE, Recorded
from tests.synthetic import EVERY, SPIKE_NODE


@pytest.mark.parametrize("statistic", DERIVED)
@pytest.mark.parametrize("quantity", ["activation", "update"])
def test_each_curve_is_the_reduction_over_the_layers_units(
    run: Run, recorded: Recorded, quantity: str, statistic: str
) -> None:
    request = aggregates.Request(".", quantity, statistic, focus=SHAPE.spike * EVERY, window=5)
    view = aggregates.answer(run, request)
    around = slice(SHAPE.spike - 5, SHAPE.spike + 6)
    np.testing.assert_array_equal(view.step, recorded.steps[around])
    assert set(zip(view.nodes, view.programs, strict=True)) == {
        (row.key.node, row.key.program) for row in recorded.layout.rows if row.key.quantity == quantity
    }
    for index, (node, program) in enumerate(zip(view.nodes, view.programs, strict=True)):
        series = recorded.series(RowKey(node, program, quantity), statistic)[:, around]
        np.testing.assert_allclose(view.mean[index], series.mean(axis=0, dtype=np.float64), rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(view.low[index], series.min(axis=0))
        np.testing.assert_array_equal(view.high[index], series.max(axis=0))


def test_the_node_whose_units_change_most_scores_highest(run: Run, recorded: Recorded) -> None:
    view = aggregates.answer(run, aggregates.Request(".", "activation", "max", SHAPE.spike * EVERY))
    assert view.nodes[int(np.nanargmax(view.score))] == SPIKE_NODE
    assert view.focus == SHAPE.spike * EVERY
    focus = int(np.searchsorted(view.step, view.focus))
    around = slice(SHAPE.spike - focus - 1, SHAPE.spike + 1)
    for index, key in enumerate(zip(view.nodes, view.programs, strict=True)):
        series = recorded.series(RowKey(*key, "activation"), "max")[:, around].astype(np.float64)
        changes = np.sqrt((np.diff(series, axis=1) ** 2).mean(axis=0))[None]
        size = np.median(np.abs(series[:, 1:]).max(axis=0), keepdims=True)
        np.testing.assert_allclose(view.score[index], jump_scores(changes, size, focus), rtol=1e-2)


def test_nonfinite_counts_what_the_layers_units_saw(run: Run, recorded: Recorded) -> None:
    view = aggregates.answer(run, aggregates.Request("."))
    for index, (node, program) in enumerate(zip(view.nodes, view.programs, strict=True)):
        counts = recorded.series(RowKey(node, program, "activation"), "nonfinite")[:, -len(view.step) :]
        np.testing.assert_allclose(view.nonfinite[index], counts.sum(axis=0), rtol=1e-6)
    assert view.nonfinite.max() > 0
    assert np.isnan(view.mean[np.unravel_index(view.nonfinite.argmax(), view.mean.shape)])


def test_without_a_focus_the_newest_snapshot_is_taken(run: Run, recorded: Recorded) -> None:
    view = aggregates.answer(run, aggregates.Request(".", window=3))
    assert view.focus == recorded.steps[-1]
    assert len(view.step) == 4


def test_a_node_that_was_not_called_is_nan_and_never_zero() -> None:
    key = RowKey("a", "backward#0", "activation")
    rows = np.concatenate([called(np.ones((3, 2))), not_called(2, 2)], axis=1)
    view = aggregates.answer(FakeRun({key: rows}, np.arange(5)).as_run(), aggregates.Request("."))
    for values in (view.mean, view.low, view.high, view.nonfinite):
        np.testing.assert_array_equal(np.isnan(values[0]), [False, False, False, True, True])


def test_before_the_first_snapshot_and_without_rows_the_answer_is_empty() -> None:
    key = RowKey("a", "backward#0", "activation")
    none = np.empty(0, np.int64)
    early = aggregates.answer(FakeRun({key: called(np.empty((0, 2)))}, none).as_run(), aggregates.Request("."))
    assert early.focus is None
    assert early.mean.shape == (1, 0)
    assert np.isnan(early.score).all()
    other = aggregates.answer(
        FakeRun({key: called(np.ones((4, 2)))}, np.arange(4)).as_run(), aggregates.Request(".", "weight")
    )
    assert other.nodes == ()
    assert other.mean.shape == (0, 4)
    assert other.score.shape == (0,)
    assert other.focus == 3


def test_a_node_not_called_at_the_focus_has_no_score_and_one_that_broke_there_an_infinite_one() -> None:
    means = np.random.default_rng(0).normal(size=(8, 2))
    silent = np.concatenate([called(means), not_called(1, 2)], axis=1)
    broken = called(np.concatenate([means, np.full((1, 2), np.nan)]))
    broken[NONFINITE, -1] = 4
    rows = {RowKey(name, "backward#0", "activation"): row for name, row in (("a", silent), ("b", broken))}
    view = aggregates.answer(FakeRun(rows, np.arange(9)).as_run(), aggregates.Request("."))
    np.testing.assert_array_equal(view.score, [np.nan, np.inf])


def test_a_layer_of_which_only_some_values_broke_at_the_focus_has_an_infinite_score() -> None:
    rows = called(np.random.default_rng(0).normal(size=(9, 2)))
    rows[NONFINITE, -1, 1] = 1  # its mean, over the finite values, is as calm as before
    key = RowKey("a", "backward#0", "activation")
    view = aggregates.answer(FakeRun({key: rows}, np.arange(9)).as_run(), aggregates.Request("."))
    np.testing.assert_array_equal(view.score, [np.inf])


def walk(snapshots: int) -> FakeRun:
    """Two layers of which the second broke once, early in the run."""
    rng = np.random.default_rng(1)
    rows = {RowKey(name, "backward#0", "activation"): called(rng.normal(size=(snapshots, 3))) for name in "ab"}
    rows[RowKey("b", "backward#0", "activation")][NONFINITE, 37, 1] = 4
    return FakeRun(rows, 10 * np.arange(snapshots))


def test_of_a_long_range_each_point_is_two_columns_of_the_mean_the_least_and_the_greatest() -> None:
    fake = walk(3000)
    view = aggregates.answer(fake.as_run(), aggregates.Request(".", "activation", "max", first=0, last=10**6))
    assert (view.level, view.each) == (1, 16)
    assert view.step.tolist()[:4] == [0, 150, 160, 310]
    assert len(view.step) == 2 * (3000 // 16 + 3000 % 16)
    for index, rows in enumerate(fake.rows.values()):
        tops = rows[MAX, :2992].reshape(187, 16, 3)
        for column in (0, 1):
            np.testing.assert_allclose(view.mean[index, column:374:2], tops.mean(axis=(1, 2)), rtol=1e-4, atol=1e-6)
            np.testing.assert_array_equal(view.low[index, column:374:2], tops.min(axis=(1, 2)))
            np.testing.assert_array_equal(view.high[index, column:374:2], tops.max(axis=(1, 2)))
    np.testing.assert_array_equal(np.flatnonzero(view.nonfinite[1]), [4, 5])  # snapshot 37 is in the third point
    assert view.nonfinite[1, 4] == 4


def test_a_range_leaves_the_score_as_it_is_in_the_window() -> None:
    fake = walk(3000)
    window = aggregates.answer(fake.as_run(), aggregates.Request(".", focus=5000))
    ranged = aggregates.answer(fake.as_run(), aggregates.Request(".", focus=5000, first=20_000, last=29_990))
    np.testing.assert_array_equal(ranged.score, window.score)
    assert ranged.focus == 5000
    assert ranged.level == 0
    assert ranged.step.tolist() == [*range(20_000, 30_000, 10)]
    assert np.isfinite(window.score).all()


def test_an_empty_range_is_an_empty_reply() -> None:
    view = aggregates.answer(walk(100).as_run(), aggregates.Request(".", first=10**6, last=10**7))
    assert view.mean.shape == (2, 0)
    assert (view.level, view.focus) == (0, 990)
