"""The recorded series of a few units over the whole run or a range, every statistic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import UnknownNameError
from dgm_tb.moments import DERIVED, derive
from dgm_tb.queries.rows import find
from dgm_tb.queries.span import EVERYTHING, Columns, ranged
from dgm_tb.records import RowKey
from dgm_tb.store.levels import Points
from dgm_tb.store.run import Indices, Run

_SERIES: Final = (*DERIVED, "argmax_sample")


@dataclass(frozen=True, slots=True)
class Request:
    """``units`` of one row, of all steps or ``first`` to ``last``, at snapshots after step ``since`` (None: all)."""

    run: str
    node: str
    units: tuple[int, ...]
    program: str | None = None
    quantity: str = "activation"
    since: int | None = None
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class View:
    """``values`` float32 ``(units, statistics, s)``; NaN where the node was not called.

    ``level`` and ``each`` as in `dgm_tb.queries.span.Columns`. From level 1 on ``since`` was ignored, and there is no
    ``argmax_sample``.
    """

    node: str
    program: str
    quantity: str
    units: tuple[int, ...]
    statistics: tuple[str, ...]
    generation: int
    level: int
    each: int
    step: NDArray[np.int64]
    values: NDArray[np.float32]


def answer(run: Run, request: Request) -> View:
    """The series; UnknownNameError for a unit the row has not."""
    generation = run.generation
    key = find(run.keys, request.node, request.quantity, request.program)
    _check_units(request.units, run.keys[key], request.node)
    first, last = (request.first, request.last) if request.first is not None else EVERYTHING
    assert last is not None  # given together
    units = np.asarray(request.units, np.int64)
    shown = ranged(run, first, last, len(units) * len(_SERIES))
    if shown.points is None:
        shown = _after(run, shown, request.since)
        values = _snapshots(run, key, shown.positions, units)
    else:
        values = _points(run, key, shown.points, units)
    return View(
        node=request.node,
        program=key.program,
        quantity=request.quantity,
        units=request.units,
        statistics=_SERIES,
        generation=generation,
        level=shown.level,
        each=shown.each,
        step=shown.steps,
        values=values,
    )


def _after(run: Run, shown: Columns, since: int | None) -> Columns:
    """The snapshots after step ``since``."""
    skipped = 0 if since is None else int(np.searchsorted(shown.steps, since, "right"))
    return Columns(shown.steps[skipped:], np.arange(len(run.steps))[shown.positions][skipped:], None)


def _snapshots(run: Run, key: RowKey, positions: Indices, units: NDArray[np.int64]) -> NDArray[np.float32]:
    rows = run.read(key, positions, units=units)
    values = np.stack([derive(rows, statistic) for statistic in _SERIES])  # (statistics, s, units)
    return np.moveaxis(values, 2, 0)


def _points(run: Run, key: RowKey, points: Points, units: NDArray[np.int64]) -> NDArray[np.float32]:
    """Two columns a point: the least over its snapshots, the greatest. NaN for what has neither: a sample's place."""
    values = np.full((len(units), len(_SERIES), len(points.first), 2), np.nan, np.float32)
    for index, statistic in enumerate(DERIVED):
        values[:, index] = run.rolled(key, points, statistic, units, rolls=("min", "max")).transpose(2, 1, 0)
    return values.reshape(len(units), len(_SERIES), -1)


def _check_units(units: tuple[int, ...], there: int, node: str) -> None:
    beyond = [unit for unit in units if unit >= there]
    if beyond:
        has = f"its {there} units are 0 to {there - 1}" if there else "it has none"
        raise UnknownNameError(f"units: node {node!r} has no unit {beyond[0]}; {has}")
