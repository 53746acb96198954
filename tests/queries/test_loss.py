from __future__ import annotations

import numpy as np
import pytest

from dgm_tb.queries import loss
from dgm_tb.records import is_logged
from dgm_tb.store.run import Run
from tests.queries.recorded import Recorded


def bits(values: object) -> bytes:
    return np.asarray(values, np.float64).tobytes()


def test_every_step_is_there_as_it_was_logged(run: Run, recorded: Recorded) -> None:
    view = loss.answer(run, loss.Request("."))
    table = np.concatenate([table.values for table in recorded.tables])
    columns = recorded.tables[0].columns
    assert view.columns[0] == "loss"
    assert set(view.columns) == set(columns[2:])
    np.testing.assert_array_equal(view.step, table[:, 0])
    np.testing.assert_array_equal(view.wall_time, table[:, 1])
    for name, values, logged in zip(view.columns, view.values, view.logged, strict=True):
        column = table[:, columns.index(name)]
        np.testing.assert_array_equal(values, column)
        np.testing.assert_array_equal(logged, is_logged(column.copy()))


def test_a_nan_loss_is_logged_and_a_loss_not_logged_is_not(run: Run) -> None:
    view = loss.answer(run, loss.Request("."))
    values, logged = view.values[0], view.logged[0]
    assert np.isnan(values[-1])
    assert logged[-1]
    validation = view.columns.index("val_loss")
    assert np.isnan(view.values[validation][1])
    assert not view.logged[validation][1]


def test_captured_steps_are_listed(run: Run, recorded: Recorded) -> None:
    view = loss.answer(run, loss.Request("."))
    np.testing.assert_array_equal(view.snapshots, recorded.steps)
    assert view.deep.size == 0


@pytest.mark.parametrize("since", [-1, 0, 9, 10, 299, 300, 10_000])
def test_since_sends_only_what_is_later(run: Run, since: int) -> None:
    everything, view = loss.answer(run, loss.Request(".")), loss.answer(run, loss.Request(".", since))
    later = everything.step > since
    np.testing.assert_array_equal(view.step, everything.step[later])
    np.testing.assert_array_equal(view.values, everything.values[:, later])
    np.testing.assert_array_equal(view.snapshots, everything.snapshots[everything.snapshots > since])
    assert view.columns == everything.columns
    assert not view.more


def test_a_long_table_comes_in_pieces(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = loss.answer(run, loss.Request("."))
    monkeypatch.setattr(loss, "_MOST_VALUES", 100 * len(everything.columns))
    since, pieces = -1, []
    while True:
        pieces.append(loss.answer(run, loss.Request(".", since)))
        if not pieces[-1].more:
            break
        assert len(pieces[-1].step) == 100
        since = int(pieces[-1].step[-1])
    assert len(pieces) == -(-len(everything.step) // 100)
    assert bits(np.concatenate([piece.values for piece in pieces], axis=1)) == bits(everything.values)
