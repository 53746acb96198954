"""What a request looks at: the focus and its window, or a range of steps, never more than fits in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.analysis.windows import position, window
from dgm_tb.store.levels import Points
from dgm_tb.store.run import Run

# A request holds at most this many float32 values at once (64 MiB); several requests may run at a time.
MOST_VALUES: Final = 2**24
#: Columns of a reply over a range of steps: as many as a chart has pixels.
MOST_COLUMNS: Final = 2048
#: The range of all steps.
EVERYTHING: Final = (-(2**63), 2**63 - 1)


@dataclass(frozen=True, slots=True)
class Span:
    """The snapshots at ``positions``, their ``steps`` ``(w,)``; ``focus`` indexes these, None where w is 0."""

    positions: slice
    steps: NDArray[np.int64]
    focus: int | None

    @property
    def focus_step(self) -> int | None:
        return None if self.focus is None else int(self.steps[self.focus])


def span(steps: NDArray[np.int64], focus: int | None, size: int, values_each: int) -> Span:
    """``size`` snapshots on each side of the newest one at or before step ``focus`` (None: of the newest at all).

    ``values_each`` is how many values a snapshot adds; where they would exceed `MOST_VALUES` the window is
    the largest that does not.
    """
    if not len(steps):
        return Span(slice(0, 0), steps, None)
    step = int(steps[-1]) if focus is None else focus
    fitting = (MOST_VALUES // max(1, values_each) - 1) // 2
    positions = window(steps, step, max(1, min(size, fitting)))
    return Span(positions, steps[positions], position(steps, step) - positions.start)


@dataclass(frozen=True, slots=True)
class Columns:
    """What is drawn: the columns' ``steps`` ``(c,)``, which are snapshots at ``positions`` or ``points``, two a point.

    ``level`` and ``each`` as in `dgm_tb.store.levels.Points`: 0 and 1 where a column is a snapshot.
    """

    steps: NDArray[np.int64]
    positions: slice | NDArray[np.int64]
    points: Points | None

    @property
    def level(self) -> int:
        return 0 if self.points is None else self.points.level

    @property
    def each(self) -> int:
        return 1 if self.points is None else self.points.each


def columns(run: Run, part: Span, first: int | None, last: int | None, values_each: int) -> Columns:
    """The window ``part``, or all of the steps ``first`` to ``last`` where they are given.

    ``values_each`` is how many values a column adds: where they are too many, so of every column, some snapshots of the
    window stand for it.
    """
    if first is not None and last is not None:
        return ranged(run, first, last, values_each)
    most = max(3, MOST_VALUES // max(1, values_each))
    return Columns(part.steps, part.positions, None) if len(part.steps) <= most else _thinned(part, most)


def _thinned(part: Span, most: int) -> Columns:
    """So many of the window's snapshots: the first and the last, the focus and the one before it, others evenly."""
    assert part.focus is not None
    even = np.linspace(0, len(part.steps) - 1, max(2, most - 2)).astype(np.int64)
    near = [part.focus, max(0, part.focus - 1)][: most - 2]
    places = np.union1d(even, near)
    return Columns(part.steps[places], part.positions.start + places, None)


def ranged(run: Run, first: int, last: int, values_each: int) -> Columns:
    """All of the steps ``first`` to ``last``; ``values_each`` is how many values a column adds."""
    points = run.points(first, last, min(MOST_COLUMNS, max(2, MOST_VALUES // max(1, values_each))))
    if points.level == 0:
        begin = int(points.places[0]) if len(points.places) else 0
        return Columns(points.last, slice(begin, begin + len(points.places)), None)
    return Columns(np.stack([points.first, points.last], axis=1).reshape(-1), slice(0, 0), points)


def before_focus(run: Run, part: Span, most: int | None = None) -> Columns:
    """The snapshots of the window up to and with the focus, the last ``most``: what its jump is compared with."""
    begin = part.positions.start
    end = begin if part.focus is None else begin + part.focus + 1
    positions = slice(begin if most is None else max(begin, end - most), end)
    return Columns(run.steps[positions], positions, None)
