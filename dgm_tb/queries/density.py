"""The density of all lines of a layer in the window or range: what lies beneath the sampled ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.analysis.density import dense_lines
from dgm_tb.analysis.scales import fit
from dgm_tb.queries.lines import key_of, read
from dgm_tb.queries.span import columns, span
from dgm_tb.store.run import Run

#: Pixel columns of all lines together that one image may take. A million lines have an image of 134 columns in 1.3 s,
#: one of 640 would take 3 s; they were read at 16 places.
_MOST_COLUMNS: Final = 2**27
_FEWEST_COLUMNS: Final = 64


@dataclass(frozen=True, slots=True)
class Request:
    """The same lines as ``layer``, as an image of ``width`` × ``height`` pixels; of a very wide layer less wide."""

    run: str
    node: str
    program: str | None = None
    quantity: str = "activation"
    statistic: str = "mean"
    focus: int | None = None
    window: int = 25
    first: int | None = None
    last: int | None = None
    scale: str = "symlog"
    width: int = 640
    height: int = 256


@dataclass(frozen=True, slots=True)
class View:
    """``density`` float32 ``(height, width)``, row 0 at the top; ``low`` and ``high`` are the values at its edges.

    Columns are linear in step, from the first to the last of ``step``: of a very wide layer there are fewer of these
    than of the lines of ``layer``, but the first and the last are the same. ``linear_threshold`` is symlog's, else NaN.
    ``level`` and ``each`` as in `dgm_tb.queries.span.Columns`.
    """

    focus: int | None
    node: str
    program: str
    units: int
    generation: int
    level: int
    each: int
    scale: str
    low: float
    high: float
    linear_threshold: float
    step: NDArray[np.int64]
    density: NDArray[np.float32]


def answer(run: Run, request: Request) -> View:
    """The image; UnknownNameError where the row was not recorded."""
    generation = run.generation
    key = key_of(run, request.node, request.quantity, request.program)
    part = span(run.steps, request.focus, request.window, 1)
    shown = columns(run, part, request.first, request.last, run.keys[key])
    lines = read(run, key, request.statistic, shown, part.focus_step)
    scale = fit(lines.values, request.scale)
    steps = shown.steps
    width = min(request.width, max(_FEWEST_COLUMNS, _MOST_COLUMNS // max(1, run.keys[key])))
    return View(
        focus=part.focus_step,
        node=request.node,
        program=key.program,
        units=len(lines.values),
        generation=generation,
        level=shown.level,
        each=shown.each,
        scale=scale.name,
        low=scale.low,
        high=scale.high,
        linear_threshold=scale.linear_threshold,
        step=steps,
        density=dense_lines(lines.values, steps.astype(float), width=width, height=request.height, scale=scale),
    )
