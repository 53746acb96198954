"""The window's layer curves of all nodes in one answer: the charts in the graph's nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.analysis.windows import jump_scores
from dgm_tb.moments import DERIVED, REDUCTIONS
from dgm_tb.queries.span import span
from dgm_tb.store.run import Run

_NONFINITE: Final = DERIVED.index("nonfinite")
_MEAN, _MIN, _MAX, _CHANGE = (REDUCTIONS.index(name) for name in ("mean", "min", "max", "change"))


@dataclass(frozen=True, slots=True)
class Request:
    """One quantity and unit statistic of every node around a focus step."""

    run: str
    quantity: str = "activation"
    statistic: str = "mean"
    focus: int | None = None
    window: int = 25


@dataclass(frozen=True, slots=True)
class View:
    """A row for each recorded (node, program): ``mean``, ``low``, ``high``, ``nonfinite`` are float32 ``(rows, w)``.

    They are the mean, least and greatest of the statistic over the layer's units and how many non-finite values these
    saw; NaN where the node was not called. ``score`` ``(rows,)``: the robust z of the units' change into the focus,
    +inf where it brought the first non-finite values.
    """

    focus: int | None
    nodes: tuple[str, ...]
    programs: tuple[str, ...]
    generation: int
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
    part = span(run.steps, request.focus, request.window, len(keys) * len(DERIVED) * len(REDUCTIONS))
    values = run.aggregates(keys, part.positions)
    of_statistic = values[:, :, DERIVED.index(request.statistic)]
    units = np.fromiter(rows.values(), np.float32, len(rows))
    mean = of_statistic[:, :, _MEAN]
    nonfinite = values[:, :, _NONFINITE, _MEAN] * units[:, None]  # NaN where the node was not called
    return View(
        focus=part.focus_step,
        nodes=tuple(key.node for key in keys),
        programs=tuple(key.program for key in keys),
        generation=generation,
        step=part.steps,
        mean=mean,
        low=of_statistic[:, :, _MIN],
        high=of_statistic[:, :, _MAX],
        nonfinite=nonfinite,
        score=_scores(of_statistic, nonfinite, part.focus),
    )


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
