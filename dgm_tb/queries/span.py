"""Which snapshots a request looks at: the focus and its window, never more than fits in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.analysis.windows import position, window

# A request holds at most this many float32 values at once (128 MiB); several requests may run at a time.
MOST_VALUES: Final = 2**25


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

    ``values_each`` is how many values a snapshot adds; where they would exceed `MOST_VALUES` the window is the
    largest that does not.
    """
    if not len(steps):
        return Span(slice(0, 0), steps, None)
    step = int(steps[-1]) if focus is None else focus
    fitting = (MOST_VALUES // max(1, values_each) - 1) // 2
    positions = window(steps, step, max(1, min(size, fitting)))
    return Span(positions, steps[positions], position(steps, step) - positions.start)
