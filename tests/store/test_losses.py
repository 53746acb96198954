from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dgm_tb.records import NOT_LOGGED, StepTable
from dgm_tb.store.losses import before, combine, losses

COLUMNS = ("loss", "kl", "accuracy")
_cells = st.one_of(st.none(), st.floats(width=32))  # None: not logged
_rows = st.tuples(st.integers(0, 8), st.floats(0, 9), st.dictionaries(st.sampled_from(COLUMNS), st.floats(width=32)))
_tables = st.lists(st.lists(_rows, max_size=4), max_size=4)


def as_table(rows: list[tuple[int, float, dict[str, float]]]) -> StepTable:
    names = tuple(dict.fromkeys(name for _, _, logged in rows for name in logged))
    cells = [[step, time, *(logged.get(name, NOT_LOGGED) for name in names)] for step, time, logged in rows]
    return StepTable(("step", "wall_time", *names), np.array(cells, np.float64).reshape(-1, 2 + len(names)))


@given(_tables)
def test_of_each_column_of_a_step_the_one_logged_last_counts(
    written: list[list[tuple[int, float, dict[str, float]]]],
) -> None:
    expected: dict[int, dict[str, float]] = {}
    for step, time, logged in (row for rows in written for row in rows):
        expected[step] = {**expected.get(step, {}), "wall_time": time, **logged}
    found = losses(combine([as_table(rows) for rows in written]))
    assert found.steps.tolist() == sorted(expected)
    for position, step in enumerate(found.steps.tolist()):
        assert found.wall_times[position] == expected[step].pop("wall_time")
        there = {name for name, logged in zip(found.columns, found.logged[:, position], strict=True) if logged}
        assert there == set(expected[step])
        for index, name in enumerate(found.columns):
            np.testing.assert_equal(found.values[index, position], expected[step].get(name, np.nan))


def test_the_loss_comes_first_and_a_nan_loss_is_logged() -> None:
    table = StepTable(("step", "wall_time", "kl", "loss"), np.array([[0, 1, NOT_LOGGED, np.nan], [1, 2, 3, np.inf]]))
    found = losses(table)
    assert found.columns == ("loss", "kl")
    assert found.logged.tolist() == [[True, True], [False, True]]
    assert np.isnan(found.values[0, 0])
    assert found.values[0, 1] == np.inf


def test_nothing_combines_to_nothing() -> None:
    found = losses(combine([]))
    assert found.columns == ()
    assert found.values.shape == (0, 0)


def test_before_leaves_out_the_step_itself() -> None:
    table = as_table([(step, 0.0, {}) for step in (1, 4, 9)])
    assert before(table, 4).values[:, 0].tolist() == [1]
    assert before(table, float("inf")).values[:, 0].tolist() == [1, 4, 9]
