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
_MEAN, _MIN, _MAX = (REDUCTIONS.index(name) for name in ("mean", "min", "max"))


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
    saw; NaN where the node was not called. ``score`` ``(rows,)``: the robust z of the jump into the focus.
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
        score=_scores(mean, nonfinite, part.focus),
    )


def _scores(mean: NDArray[np.float32], nonfinite: NDArray[np.float32], focus: int | None) -> NDArray[np.float32]:
    if focus is None or not len(mean):
        return np.full(len(mean), np.nan, np.float32)
    scores = jump_scores(mean, focus, recorded=~np.isnan(nonfinite)).astype(np.float32)
    if focus:
        # The mean is over finite values: a layer of which only some values broke would look calm.
        scores[(nonfinite[:, focus] > 0) & (nonfinite[:, focus - 1] == 0)] = np.inf
    return scores
