"""Losses and logged metrics of every step: the tables of a run's flushes as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.records import NOT_LOGGED, StepTable, is_logged

_FIRST: Final = ("step", "wall_time")


@dataclass(frozen=True, slots=True)
class Losses:
    """One row a step, ascending; ``loss`` is the first of ``columns`` where there is one.

    A NaN in ``values`` is a value where ``logged``, and says nothing elsewhere.
    """

    columns: tuple[str, ...]
    steps: NDArray[np.int64]  # (steps,)
    wall_times: NDArray[np.float64]  # (steps,), seconds since the epoch
    values: NDArray[np.float64]  # (columns, steps)
    logged: NDArray[np.bool_]  # (columns, steps)


def losses(table: StepTable) -> Losses:
    """A table of `combine` by columns."""
    order = sorted(range(2, len(table.columns)), key=lambda index: table.columns[index] != "loss")
    values = np.ascontiguousarray(table.values[:, order].T)
    logged = is_logged(values)
    values[~logged] = np.nan
    return Losses(
        columns=tuple(table.columns[index] for index in order),
        steps=table.values[:, 0].astype(np.int64),
        wall_times=table.values[:, 1].copy(),
        values=values,
        logged=logged,
    )


def combine(tables: Sequence[StepTable]) -> StepTable:
    """The tables as one, ascending; of several rows of a step each column takes what was logged last."""
    columns = tuple(dict.fromkeys((*_FIRST, *(name for table in tables for name in table.columns))))
    place = {name: index for index, name in enumerate(columns)}
    values = np.full((sum(len(table.values) for table in tables), len(columns)), NOT_LOGGED)
    start = 0
    for table in tables:
        stop = start + len(table.values)
        values[start:stop, [place[name] for name in table.columns]] = table.values
        start = stop
    return StepTable(columns, _one_row_a_step(values[np.argsort(values[:, 0], kind="stable")]))


def before(table: StepTable, step: float) -> StepTable:
    """The rows of an ascending table with steps before ``step``."""
    return StepTable(table.columns, table.values[: np.searchsorted(table.values[:, 0], step)])


def _one_row_a_step(values: NDArray[np.float64]) -> NDArray[np.float64]:
    first = np.flatnonzero(np.diff(values[:, 0], prepend=np.nan) != 0)  # of each step; NaN differs from everything
    if len(first) == len(values):
        return values
    rows = np.where(is_logged(values), np.arange(len(values))[:, None], -1)
    last = np.maximum.reduceat(rows, first)  # per step and column the last row that logged it
    last = np.where(last < 0, first[:, None], last)
    return np.take_along_axis(values, last, axis=0)
