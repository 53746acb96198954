"""The whole recorded series of a few units, every statistic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import UnknownNameError, UsageError
from dgm_tb.moments import DERIVED, STATISTICS, derive
from dgm_tb.queries.rows import find
from dgm_tb.queries.span import MOST_VALUES
from dgm_tb.store.run import Run

_SERIES: Final = (*DERIVED, "argmax_sample")


@dataclass(frozen=True, slots=True)
class Request:
    """``units`` of one row, at snapshots after step ``since`` (None: all)."""

    run: str
    node: str
    units: tuple[int, ...]
    program: str | None = None
    quantity: str = "activation"
    since: int | None = None


@dataclass(frozen=True, slots=True)
class View:
    """``values`` float32 ``(units, statistics, s)``; NaN where the node was not called."""

    node: str
    program: str
    quantity: str
    units: tuple[int, ...]
    statistics: tuple[str, ...]
    generation: int
    step: NDArray[np.int64]
    values: NDArray[np.float32]


def answer(run: Run, request: Request) -> View:
    """The series; UnknownNameError for a unit the row has not, UsageError where the answer would be too large."""
    generation, steps = run.generation, run.steps
    key = find(run.keys, request.node, request.quantity, request.program)
    _check_units(request.units, run.keys[key], request.node)
    first = 0 if request.since is None else int(np.searchsorted(steps, request.since, "right"))
    _check_size(len(request.units), len(steps) - first)
    rows = run.read(key, slice(first, len(steps)), units=np.asarray(request.units, np.int64))
    values = np.stack([derive(rows, statistic) for statistic in _SERIES])  # (statistics, s, units)
    return View(
        node=request.node,
        program=key.program,
        quantity=request.quantity,
        units=request.units,
        statistics=_SERIES,
        generation=generation,
        step=steps[first:],
        values=values.transpose(2, 0, 1),
    )


def _check_units(units: tuple[int, ...], there: int, node: str) -> None:
    beyond = [unit for unit in units if unit >= there]
    if beyond:
        has = f"its {there} units are 0 to {there - 1}" if there else "it has none"
        raise UnknownNameError(f"units: node {node!r} has no unit {beyond[0]}; {has}")


def _check_size(units: int, snapshots: int) -> None:
    fitting = MOST_VALUES // (len(STATISTICS) * max(1, snapshots))
    if units > max(1, fitting):
        raise UsageError(f"units: {units} are too many over {snapshots} snapshots; ask for at most {fitting}")
