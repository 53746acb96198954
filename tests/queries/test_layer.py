from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from dgm_tb.analysis.windows import extreme, unit_scores
from dgm_tb.moments import MEAN, NONFINITE
from dgm_tb.queries import layer
from dgm_tb.records import RowKey
from dgm_tb.store.run import Run
from tests.queries.fakes import FakeRun, called, not_called
from tests.queries.recorded import SHAPE, Recorded
from tests.synthetic import EVERY, JUMPERS, SPIKE_NODE

KEY = RowKey("a", "backward#0", "activation")


def crowd(units: int, snapshots: int = 20, seed: int = 0) -> FakeRun:
    """Walks that stay near zero; unit 7 leaves them for two snapshots in the middle."""
    rng = np.random.default_rng(seed)
    means = 0.02 * rng.normal(size=(snapshots, units)).cumsum(axis=0)
    means[snapshots // 2 : snapshots // 2 + 2, 7] += 5
    return FakeRun({KEY: called(means)}, np.arange(snapshots, dtype=np.int64))


def test_each_drawn_line_is_its_units_series(run: Run, recorded: Recorded) -> None:
    view = layer.answer(run, layer.Request(".", SPIKE_NODE, focus=SHAPE.spike * EVERY, window=5, m=20))
    around = slice(SHAPE.spike - 5, SHAPE.spike + 6)
    series = recorded.series(RowKey(SPIKE_NODE, "backward#0", "activation"), "mean")[:, around]
    np.testing.assert_array_equal(view.values, series[view.unit])
    np.testing.assert_array_equal(view.step, recorded.steps[around])
    np.testing.assert_array_equal(view.score, unit_scores(series, 5)[view.unit].astype(np.float32))
    assert view.drawn == len(view.unit) == 20
    assert view.units == view.weight.sum() == SHAPE.width
    assert set(JUMPERS) <= set(view.unit.tolist())


def test_among_many_lines_the_one_that_leaves_is_drawn_as_an_outlier() -> None:
    view = layer.answer(crowd(5000).as_run(), layer.Request(".", "a", focus=10, m=100))
    (place,) = np.flatnonzero(view.unit == 7)
    assert view.outlier[place]
    assert place < 20
    assert view.score[place] == view.score.max()


def test_of_lines_that_are_alike_the_one_that_jumps_most_into_the_focus_is_drawn() -> None:
    means = 0.001 * np.random.default_rng(0).normal(size=(20, 400))
    means[10:, :40] += 1 + 0.001 * np.arange(40)
    view = layer.answer(FakeRun({KEY: called(means)}, np.arange(20)).as_run(), layer.Request(".", "a", focus=10, m=20))
    scores = unit_scores(means.T.astype(np.float32), 10)
    assert len(units(view) & set(range(40))) < 20
    assert np.argmax(scores) in view.unit


def test_lines_are_distinct_and_stand_for_all() -> None:
    view = layer.answer(crowd(500).as_run(), layer.Request(".", "a", m=50))
    assert len(set(view.unit.tolist())) == view.drawn <= 50
    assert view.weight.sum() == view.units == 500
    assert (view.weight >= 1).all()
    assert view.unit.dtype == view.weight.dtype == np.uint32


def test_a_few_units_are_all_drawn() -> None:
    view = layer.answer(crowd(12).as_run(), layer.Request(".", "a"))
    assert sorted(view.unit.tolist()) == list(range(12))


def test_snapshots_without_a_call_make_no_line_a_broken_one() -> None:
    fake = crowd(200)
    fake.rows[KEY][:, 3:6] = not_called(3, 200)
    view = layer.answer(fake.as_run(), layer.Request(".", "a", m=100))
    assert view.drawn == 100
    assert not view.nonfinite.any()
    np.testing.assert_array_equal(np.isnan(view.values).all(axis=0), np.isin(np.arange(20), [3, 4, 5]))


def test_units_that_saw_no_finite_value_are_marked_and_drawn() -> None:
    fake = crowd(200)
    fake.rows[KEY][NONFINITE, 15:, [3, 11]] = 4
    fake.rows[KEY][MEAN, 15:, [3, 11]] = np.nan
    view = layer.answer(fake.as_run(), layer.Request(".", "a", m=100, focus=15))
    assert set(view.unit[view.nonfinite].tolist()) == {3, 11}
    assert np.isposinf(view.score[view.nonfinite]).all()


def test_a_unit_with_some_non_finite_values_is_marked_although_its_mean_is_finite() -> None:
    fake = crowd(50)
    fake.rows[KEY][NONFINITE, 4, 9] = 1
    view = layer.answer(fake.as_run(), layer.Request(".", "a"))
    assert view.unit[view.nonfinite].tolist() == [9]


@pytest.mark.parametrize("rows", [not_called(4, 6), called(np.empty((0, 6))), np.zeros((8, 4, 0), np.float32)])
def test_nothing_to_draw_is_an_empty_sample(rows: NDArray[np.float32]) -> None:
    fake = FakeRun({KEY: rows}, np.arange(rows.shape[1], dtype=np.int64))
    view = layer.answer(fake.as_run(), layer.Request(".", "a"))
    assert view.drawn == 0
    assert view.values.shape == (0, rows.shape[1])
    assert view.units == rows.shape[2]


def test_nan_everywhere_is_drawn_as_such() -> None:
    rows = called(np.full((5, 30), np.nan))
    rows[NONFINITE] = 4
    view = layer.answer(FakeRun({KEY: rows}, np.arange(5)).as_run(), layer.Request(".", "a"))
    assert view.nonfinite.all()
    assert view.weight.sum() == 30


def test_a_question_asked_again_samples_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = crowd(300)
    first = layer.answer(fake.as_run(), layer.Request(".", "a", m=40))
    monkeypatch.setattr(layer, "sample_lines", None)
    again = layer.answer(fake.as_run(), layer.Request(".", "a", m=40))
    np.testing.assert_array_equal(again.unit, first.unit)
    assert len(fake.reads) == 1


def test_fewer_lines_are_part_of_more_and_read_nothing_again() -> None:
    fake = crowd(3000, 40)
    drawn = {m: units(layer.answer(fake.as_run(), layer.Request(".", "a", m=m))) for m in (100, 60, 200)}
    assert drawn[60] < drawn[100] < drawn[200]
    assert len(fake.reads) == 1


def test_a_new_snapshot_keeps_more_of_the_picture_than_a_fresh_sample() -> None:
    before, after = crowd(3000, 40), crowd(3000, 40)
    before.rows[KEY] = after.rows[KEY][:, :39]
    before.steps = after.steps[:39]
    request = layer.Request(".", "a", m=100)
    first, fresh = (units(layer.answer(fake.as_run(), request)) for fake in (before, after))
    before.rows[KEY], before.steps, before.last_wall_time = after.rows[KEY], after.steps, 1.0
    grown = units(layer.answer(before.as_run(), request))
    assert len(first & grown) > len(first & fresh)


def units(view: layer.View) -> set[int]:
    return set(view.unit.tolist())


def test_a_wide_layer_is_answered_in_bounded_memory_and_time() -> None:
    run = crowd(100_000, 60).as_run()
    layer.answer(crowd(100).as_run(), layer.Request(".", "a"))  # compiles
    begun = time.perf_counter()
    view = layer.answer(run, layer.Request(".", "a", focus=30))
    assert view.units == 100_000
    assert 7 in view.unit
    assert time.perf_counter() - begun < 20


def test_over_a_long_range_a_spike_of_one_snapshot_is_in_the_line() -> None:
    fake = crowd(200, 4000)  # unit 7 leaves for two snapshots in the middle
    view = layer.answer(fake.as_run(), layer.Request(".", "a", m=100, first=0, last=3999))
    assert (view.level, view.each) == (1, 16)
    assert view.values.shape[1] == len(view.step) <= 2048
    (place,) = np.flatnonzero(view.unit == 7)
    means = fake.rows[KEY][MEAN, :, 7].reshape(250, 16)
    np.testing.assert_array_equal(view.values[place, 0::2], means.min(axis=1))
    np.testing.assert_array_equal(view.values[place, 1::2], means.max(axis=1))


def test_a_range_leaves_the_units_scores_as_they_are_in_the_window() -> None:
    fake = crowd(50, 4000)
    window = layer.answer(fake.as_run(), layer.Request(".", "a", m=50, focus=2000))
    ranged = layer.answer(fake.as_run(), layer.Request(".", "a", m=50, focus=2000, first=100, last=3900))
    order, other = np.argsort(window.unit), np.argsort(ranged.unit)
    np.testing.assert_array_equal(window.score[order], ranged.score[other])
    assert window.unit[np.argmax(window.score)] == 7
    assert ranged.focus == window.focus == 2000


def test_of_a_wide_layer_the_drawn_lines_are_read_at_every_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = crowd(2000, 1000)
    fake.rows[KEY][NONFINITE, 333, 7] = 1
    means = fake.rows[KEY][MEAN]
    whole = layer.Request(".", "a", m=100, focus=500, first=0, last=999)
    window = layer.Request(".", "a", m=100, focus=500, window=200)
    usual = {request: layer.answer(fake.as_run(), request) for request in (whole, window)}
    monkeypatch.setattr("dgm_tb.queries.span.MOST_VALUES", 100 * 1001)  # 50 columns of all units
    for request, steps in ((whole, np.arange(1000)), (window, np.arange(300, 701))):
        fake.last_wall_time += 1  # nothing is remembered
        view = layer.answer(fake.as_run(), request)
        np.testing.assert_array_equal(view.step, steps)
        np.testing.assert_array_equal(view.values, means[steps][:, view.unit].T)
        assert view.level == 0
        assert view.weight.sum() == view.units == 2000
        (place,) = np.flatnonzero(view.unit == 7)  # it leaves where few columns look, and jumps into the focus
        assert view.outlier[place] or view.score[place] >= view.extreme
        assert view.nonfinite[place]
        np.testing.assert_array_equal(view.score[place], usual[request].score[usual[request].unit == 7][0])


def test_the_movers_are_the_first_of_all_in_order() -> None:
    rng = np.random.default_rng(0)
    for spread in (1, 3):
        scores = np.where(rng.random(3000) < 0.1, np.nan, np.rint(10 * spread * rng.normal(size=3000)) / 10)
        scores[5] = np.inf
        order = np.argsort(-scores, kind="stable")
        expected = order[: max(layer.MOVERS, np.count_nonzero(scores >= extreme(3000)))]
        np.testing.assert_array_equal(layer._movers(scores.astype(np.float32)), expected)
    assert not len(layer._movers(np.full(4, np.nan, np.float32)))
    assert layer._movers(np.array([1, np.nan, 2], np.float32)).tolist() == [2, 0]
