"""The layer curves of all nodes in the window or range in one answer: the charts in the graph's nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.analysis.windows import jump_scores
from dgm_tb.moments import DERIVED, REDUCTIONS
from dgm_tb.queries.span import Columns, before_focus, columns, span
from dgm_tb.records import RowKey
from dgm_tb.store.run import Run

_NONFINITE: Final = DERIVED.index("nonfinite")
_MEAN, _MIN, _MAX, _CHANGE = (REDUCTIONS.index(name) for name in ("mean", "min", "max", "change"))
# Which of mean, min and max over a point's snapshots is drawn of each of `REDUCTIONS`.
_DRAWN_ROLLS: Final = (0, 1, 2, 2)


@dataclass(frozen=True, slots=True)
class Request:
    """One quantity and unit statistic of every node around a focus step."""

    run: str
    quantity: str = "activation"
    statistic: str = "mean"
    focus: int | None = None
    window: int = 25
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class View:
    """A row for each recorded (node, program): ``mean``, ``low``, ``high``, ``nonfinite`` are float32 ``(rows, w)``.

    They are the mean, least and greatest of the statistic over the layer's units and how many non-finite values these
    saw; NaN where the node was not called. ``score`` ``(rows,)``: the robust z of the units' change into the focus,
    +inf where it brought the first non-finite values. ``level`` and ``each`` as in `dgm_tb.queries.span.Columns`.
    """

    focus: int | None
    nodes: tuple[str, ...]
    programs: tuple[str, ...]
    generation: int
    level: int
    each: int
    step: NDArray[np.int64]
    mean: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    nonfinite: NDArray[np.float32]
    score: NDArray[np.float32]


def answer(run: Run, request: Request) -> View:
    """The stored aggregates in the window, and which layers jumped."""
    generation = run.generation
    rows = {key: units for key, units in run.keys.items() if key.quantity == request.quantity}
    keys = tuple(rows)
    each = len(keys) * len(DERIVED) * len(REDUCTIONS)
    part = span(run.steps, request.focus, request.window, each)
    shown = columns(run, part, request.first, request.last, each)
    units = np.fromiter(rows.values(), np.float32, len(rows))
    values, nonfinite = _values(run, keys, units, shown, request.statistic)
    in_range = request.first is not None
    compared = (
        _values(run, keys, units, before_focus(run, part), request.statistic) if in_range else (values, nonfinite)
    )
    return View(
        focus=part.focus_step,
        nodes=tuple(key.node for key in keys),
        programs=tuple(key.program for key in keys),
        generation=generation,
        level=shown.level,
        each=shown.each,
        step=shown.steps,
        mean=values[:, :, _MEAN],
        low=values[:, :, _MIN],
        high=values[:, :, _MAX],
        nonfinite=nonfinite,
        score=_scores(*compared, part.focus),
    )


def _values(
    run: Run, keys: Sequence[RowKey], units: NDArray[np.float32], shown: Columns, statistic: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The statistic's reductions ``(rows, c, REDUCTIONS)`` and the non-finite values ``(rows, c)``, NaN without a call.

    Of a point both columns have the mean of its means, the least of its least, and the greatest of all others.
    """
    if shown.points is None:
        values = run.aggregates(keys, shown.positions)
        of_statistic, broken = values[:, :, DERIVED.index(statistic)], values[:, :, _NONFINITE, _MEAN]
    else:
        rolled = run.rolled_aggregates(keys, shown.points, (statistic, "nonfinite"))
        chosen = np.stack([rolled[:, :, 0, reduction, roll] for reduction, roll in enumerate(_DRAWN_ROLLS)], axis=2)
        of_statistic, broken = np.repeat(chosen, 2, axis=1), np.repeat(rolled[:, :, 1, _MEAN, 2], 2, axis=1)
    return of_statistic, broken * units[:, None]


def _scores(values: NDArray[np.float32], nonfinite: NDArray[np.float32], focus: int | None) -> NDArray[np.float32]:
    """Of ``values`` ``(rows, w, REDUCTIONS)``: ``(rows,)``."""
    if focus is None or not len(values):
        return np.full(len(values), np.nan, np.float32)
    scores = jump_scores(values[:, :, _CHANGE], _sizes(values[:, : focus + 1]), focus).astype(np.float32)
    called = ~np.isnan(nonfinite)
    earlier = np.where(called[:, :focus], np.arange(focus), -1).max(axis=1, initial=-1)
    was_finite = (earlier >= 0) & (np.take_along_axis(nonfinite, np.maximum(earlier, 0)[:, None], axis=1)[:, 0] == 0)
    # The change is over units that are finite in both snapshots: they may be calm while others broke.
    scores[(nonfinite[:, focus] > 0) & was_finite] = np.inf
    return scores


def _sizes(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """How large a layer usually is up to the focus ``(rows,)``: the median of its greatest |value|; 0 where unknown."""
    greatest = np.fmax(np.abs(values[:, :, _MIN]), np.abs(values[:, :, _MAX]))
    ordered = np.sort(greatest, axis=1)  # NaN last
    count = np.isfinite(greatest).sum(axis=1)
    middle = np.take_along_axis(ordered, np.maximum(count - 1, 0)[:, None] // 2, axis=1)[:, 0]
    return np.where(count > 0, middle, 0).astype(np.float32)
