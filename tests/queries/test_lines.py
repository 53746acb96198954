from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dgm_tb.errors import UsageError
from dgm_tb.moments import MEAN, NONFINITE
from dgm_tb.queries import lines
from dgm_tb.queries.lines import MOST_UNITS
from dgm_tb.queries.span import MOST_VALUES, Columns, columns, span
from dgm_tb.records import RowKey
from dgm_tb.store.run import Run
from tests.queries.fakes import FakeRun, called, not_called
from tests.queries.recorded import SHAPE, Recorded
from tests.synthetic import EVERY, SPIKE_NODE

KEY = RowKey("a", "backward#0", "activation")


def shown(run: Run, key: RowKey, focus: int | None, window: int) -> tuple[Columns, int | None]:
    part = span(run.steps, focus, window, 1)
    return columns(run, part, None, None, run.keys[key]), part.focus_step


def read(run: Run, statistic: str = "mean", focus: int | None = None, window: int = 25) -> lines.Lines:
    return lines.read(run, lines.key_of(run, "a", "activation", None), statistic, *shown(run, KEY, focus, window))


@pytest.mark.parametrize("statistic", ["mean", "std", "zero_fraction", "nonfinite"])
def test_each_line_is_a_units_statistic_in_the_window(run: Run, recorded: Recorded, statistic: str) -> None:
    key = RowKey(SPIKE_NODE, "backward#0", "activation")
    found = lines.read(run, key, statistic, *shown(run, key, SHAPE.spike * EVERY, 7))
    expected = recorded.series(key, statistic)
    np.testing.assert_array_equal(found.values, expected[:, SHAPE.spike - 7 : SHAPE.spike + 8])
    assert found.called.all()
    assert not found.nonfinite.any()


def test_a_window_read_in_pieces_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = called(np.random.default_rng(0).normal(size=(11, 3)))
    whole = read(FakeRun({KEY: rows}, np.arange(11)).as_run(), focus=6, window=4)
    monkeypatch.setattr(lines, "_PIECE", 3 * 9 * 2)  # count, mean, nonfinite
    fake = FakeRun({KEY: rows}, np.arange(11))
    pieces = read(fake.as_run(), focus=6, window=4)
    np.testing.assert_array_equal(pieces.values, whole.values)
    np.testing.assert_array_equal(whole.values, rows[MEAN, 2:11].T)
    assert fake.reads == [54, 27]  # two units, then the third


def test_a_range_read_in_pieces_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = called(np.random.default_rng(0).normal(size=(600, 3)))
    found = ranged(rows)
    monkeypatch.setattr(lines, "_PIECE", 3 * 3 * 5)
    np.testing.assert_array_equal(ranged(rows).values, found.values)
    assert found.columns.level == 1
    means = rows[MEAN, :592].reshape(37, 16, 3)
    np.testing.assert_array_equal(found.values[:, 0:74:2], means.min(axis=1).T)
    np.testing.assert_array_equal(found.values[:, 1:74:2], means.max(axis=1).T)
    np.testing.assert_array_equal(found.values[:, 74::2], rows[MEAN, 592:].T)
    np.testing.assert_array_equal(found.values[:, 75::2], rows[MEAN, 592:].T)
    assert found.columns.steps.tolist() == [*np.stack([np.arange(0, 592, 16), np.arange(15, 592, 16)], 1).reshape(-1),
                                            *np.repeat(np.arange(592, 600), 2)]  # fmt: skip


def ranged(rows: NDArray[np.float32]) -> lines.Lines:
    run = FakeRun({KEY: rows}, np.arange(rows.shape[1])).as_run()
    part = span(run.steps, None, 25, 3)
    return lines.read(run, KEY, "mean", columns(run, part, 0, 10_000, MOST_VALUES // 100), part.focus_step)


def test_in_a_range_what_was_not_called_and_what_broke_anywhere_are_told_too() -> None:
    rows = called(np.random.default_rng(0).normal(size=(600, 3)))
    rows[:, 160:240] = not_called(80, 3)
    rows[NONFINITE, 7, 2] = 1
    found = ranged(rows)
    assert found.nonfinite.tolist() == [False, False, True]
    np.testing.assert_array_equal(np.flatnonzero(~found.called), np.arange(20, 30))


def test_what_was_not_called_and_what_was_not_finite_are_told_apart() -> None:
    rows = np.concatenate([called(np.ones((2, 3))), not_called(1, 3)], axis=1)
    rows[NONFINITE, 1, 2], rows[MEAN, 1, 2] = 4, np.nan
    found = read(FakeRun({KEY: rows}, np.arange(3)).as_run())
    assert found.called.tolist() == [True, True, False]
    assert found.nonfinite.tolist() == [False, False, True]
    assert np.isnan(found.values).tolist() == [[False, False, True], [False, False, True], [False, True, True]]


def test_lines_are_kept_until_something_is_written() -> None:
    fake = FakeRun({KEY: called(np.ones((3, 2)))}, np.arange(3))
    first = read(fake.as_run())
    assert read(fake.as_run()) is first
    assert read(fake.as_run(), statistic="std") is not first
    fake.rows[KEY][MEAN] = 5  # another rank's share of the newest snapshot
    fake.last_wall_time += 1
    assert (read(fake.as_run()).values == 5).all()


def test_a_claim_of_more_units_than_memory_is_refused() -> None:
    fake = FakeRun({KEY: np.empty((8, 0, MOST_UNITS + 1), np.float32)}, np.arange(3))
    with pytest.raises(UsageError, match=r"node 'a' has \d+ units, more than the \d+ that fit in memory"):
        read(fake.as_run())
    assert fake.reads == []


@pytest.mark.parametrize("focus", [0, 20, 49])
@pytest.mark.parametrize("most", [1, 3, 4, 10, 41, 51])
def test_a_wide_layer_is_read_at_some_snapshots_of_its_window(
    focus: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dgm_tb.queries.span.MOST_VALUES", 100 * most)
    rows = called(np.random.default_rng(0).normal(size=(50, 100)))
    found = read(FakeRun({KEY: rows}, np.arange(50)).as_run(), focus=focus)
    steps = found.columns.steps.tolist()
    window = list(range(max(0, focus - 25), min(50, focus + 26)))
    assert sorted(set(steps)) == steps
    assert set(steps) <= set(window)
    assert {window[0], focus, window[-1]} <= set(steps)
    assert min(len(window), max(3, most)) - 2 <= len(steps) <= max(3, most)
    assert most < 4 or max(0, focus - 1) in steps
    np.testing.assert_array_equal(found.values, rows[MEAN, steps].T)


@pytest.mark.parametrize("most", [8, 2048])
def test_a_few_units_are_read_as_all_are(most: int) -> None:
    rows = called(np.random.default_rng(0).normal(size=(600, 9)))
    rows[NONFINITE, 7, 2] = 1
    run = FakeRun({KEY: rows}, np.arange(600)).as_run()
    part = span(run.steps, None, 25, 1)
    shown, units = columns(run, part, 0, 10_000, MOST_VALUES // most), np.array([2, 5])
    whole = lines.read(run, KEY, "mean", shown, None)
    values, nonfinite = lines.some(run, KEY, "mean", shown, units)
    assert (shown.level > 0) == (most < 600)
    np.testing.assert_array_equal(values, whole.values[units])
    assert nonfinite.tolist() == whole.nonfinite[units].tolist() == [True, False]
