"""The sampled polylines of a layer's units in the window or range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.analysis.features import SEGMENTS
from dgm_tb.analysis.sampling import Sample, sample_lines
from dgm_tb.analysis.windows import extreme, unit_scores
from dgm_tb.queries.lines import Lines, key_of, read, some
from dgm_tb.queries.span import Span, before_focus, columns, span
from dgm_tb.records import RowKey
from dgm_tb.store.recent import Recent
from dgm_tb.store.run import Run

#: The height of the chart in whose pixels lines are compared.
HEIGHT: Final = 256

#: The units that jump most are considered for drawing before others: all extreme ones, and at least so many. Where a
#: whole layer jumps none stands out of it, and still one asks which moved most. Half of the fewest lines drawn.
MOVERS: Final = 10

# Values that are scored: the sort for their medians is what a wide layer waits for.
_SCORED: Final = 2**22


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What was drawn of the lines ``identity``, and which lines had been considered first."""

    identity: tuple[object, ...]
    first: NDArray[np.int64] | None
    lines: NDArray[np.int64]

    def first_for(self, identity: tuple[object, ...]) -> NDArray[np.int64] | None:
        """What to consider first next: for other numbers (a new snapshot) what was drawn, so that the picture changes
        little; for the same ones what was first before, so that a sample of fewer lines is part of one of more.
        """
        return self.first if identity == self.identity else self.lines


# The m slider and a refresh come back to what was just drawn. An entry is at most 2,000 lines, some 50 kB.
_SAMPLES: Final[Recent[tuple[object, ...], Sample]] = Recent(64)
# The m slider asks for the same scores again. 16 MiB.
_SCORES: Final[Recent[tuple[object, ...], NDArray[np.float32]]] = Recent(2**22)
# What was last drawn of a row on a scale.
_DRAWN: Final[Recent[tuple[object, ...], _Drawn]] = Recent(64)

_NOTHING: Final = Sample(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, bool), np.empty(0, bool), radius=0.0)


@dataclass(frozen=True, slots=True)
class Request:
    """At most ``m`` lines of one row around a focus step; ``scale`` decides which lines are alike."""

    run: str
    node: str
    program: str | None = None
    quantity: str = "activation"
    statistic: str = "mean"
    focus: int | None = None
    window: int = 25
    first: int | None = None
    last: int | None = None
    m: int = 300
    scale: str = "symlog"


@dataclass(frozen=True, slots=True)
class View:
    """Lines in drawing priority: ``unit``, ``weight``, ``outlier``, ``nonfinite``, ``score`` ``(drawn,)``.

    ``values`` float32 ``(drawn, w)``, NaN where there is none; ``weight`` says how many units a line stands for, and
    every unit is within ``radius`` pixels of a drawn one. ``score`` is the robust z of the unit's jump into the focus,
    from ``extreme`` on more than chance makes of one of so many.
    ``level`` and ``each`` as in `dgm_tb.queries.span.Columns`.

    Of a layer that is too wide to be read at all of ``step``, lines are chosen, weighed and compared by some snapshots
    of the window, or over a range by coarser points; those that are drawn are then read at every one of ``step``.
    """

    focus: int | None
    node: str
    program: str
    units: int
    drawn: int
    radius: float
    extreme: float
    generation: int
    level: int
    each: int
    step: NDArray[np.int64]
    unit: NDArray[np.uint32]
    weight: NDArray[np.uint32]
    outlier: NDArray[np.bool_]
    nonfinite: NDArray[np.bool_]
    score: NDArray[np.float32]
    values: NDArray[np.float32]


def answer(run: Run, request: Request) -> View:
    """The sample; UnknownNameError where the row was not recorded."""
    generation = run.generation
    key = key_of(run, request.node, request.quantity, request.program)
    part = span(run.steps, request.focus, request.window, 1)
    shown = columns(run, part, request.first, request.last, request.m)
    compared = columns(run, part, request.first, request.last, run.keys[key])
    lines = read(run, key, request.statistic, compared, part.focus_step)
    whole = np.array_equal(shown.steps, compared.steps)
    in_window = whole and request.first is None
    scores = _scores(lines, part.focus) if in_window else _scores_at(run, key, request.statistic, part)
    sample = _sample(lines, request.m, request.scale, _movers(scores))
    values, nonfinite = lines.values[sample.lines], lines.nonfinite[sample.lines]
    if not whole:
        values, broken = some(run, key, request.statistic, shown, sample.lines)
        nonfinite = nonfinite | broken
    return View(
        focus=part.focus_step,
        node=request.node,
        program=key.program,
        units=len(lines.values),
        drawn=len(sample.lines),
        radius=sample.radius,
        extreme=extreme(run.keys[key]),
        generation=generation,
        level=shown.level,
        each=shown.each,
        step=shown.steps,
        unit=sample.lines.astype(np.uint32),
        weight=sample.weights.astype(np.uint32),
        outlier=sample.outliers,
        nonfinite=nonfinite,
        score=scores[sample.lines],
        values=values,
    )


def _scores_at(run: Run, key: RowKey, statistic: str, part: Span) -> NDArray[np.float32]:
    """As `_scores`, of the snapshots up to the focus of ``part`` and no more."""
    shown = before_focus(run, part, _scored(run.keys[key]))
    lines = read(run, key, statistic, shown, part.focus_step)
    return _scores(lines, len(shown.steps) - 1 if len(shown.steps) else None)


def _scores(lines: Lines, focus: int | None) -> NDArray[np.float32]:
    """How unusual each unit's jump into snapshot ``focus`` of ``lines`` is among its layer's ``(units,)``."""
    units = len(lines.values)
    if not units or focus is None:
        return np.full(units, np.nan, np.float32)
    scores = _SCORES.get(lines.identity)  # the focus is part of it
    if scores is None:
        first = max(0, focus + 1 - _scored(units))
        values = lines.values[:, first : focus + 1]
        recorded = np.broadcast_to(lines.called[first : focus + 1], values.shape)
        scores = unit_scores(values, focus - first, recorded).astype(np.float32)
        _SCORES.put(lines.identity, scores, weight=units)
    return scores


def _scored(units: int) -> int:
    """How many snapshots are scored: a unit's size before the jump follows from a few."""
    return max(2, _SCORED // max(1, units))


def _movers(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """The units that jump most into the focus, the greatest jump first; none without a jump."""
    known = np.flatnonzero(~np.isnan(scores))
    count = min(len(known), max(MOVERS, int(np.count_nonzero(scores >= extreme(len(scores))))))
    if count < len(known):  # a million need not be sorted for the first hundred
        known = known[scores[known] >= np.partition(scores[known], len(known) - count)[len(known) - count]]
    return known[np.argsort(-scores[known], kind="stable")][:count]


def _sample(lines: Lines, m: int, scale: str, movers: NDArray[np.int64]) -> Sample:
    # Where the node was not called no line has a value; such snapshots would make every line a non-finite one.
    values = lines.values if lines.called.all() else lines.values[:, lines.called]
    if not values.size:
        return _NOTHING
    exact, row = (lines.identity, m, scale), (lines.row, scale)
    sample, drawn = _SAMPLES.get(exact), _DRAWN.get(row)
    if sample is None:
        first = None if drawn is None else drawn.first_for(lines.identity)
        priority = movers if first is None else np.concatenate([movers, first])
        # Of two columns or a point's pair least, greatest and mean are compared: of single ones they would be the same
        # number three times, at thrice the time where a layer is so wide that there are only a few columns.
        segments = max(1, min(SEGMENTS, values.shape[1] // 2))
        sample = sample_lines(values, m, scale=scale, height=HEIGHT, segments=segments, priority=priority)
        _SAMPLES.put(exact, sample)
        _DRAWN.put(row, _Drawn(lines.identity, first, sample.lines))
    return sample
