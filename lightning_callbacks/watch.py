"""When every step is captured for a while: after the loss became non-finite or leapt out of its last values (pure)."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Final

NON_FINITE: Final = "non-finite"
SPIKE: Final = "loss-spike"

#: A spike is judged by so many losses before it, and lies so many of their robust standard deviations above them.
WINDOW: Final = 50
DEVIATIONS: Final = 6.0
#: 1.48 MAD is the standard deviation of a normal distribution.
SIGMA: Final = 1.48
#: The standard deviation counts as at least 1 % of the median: a loss that has settled differs by roundings alone, and
#: its MAD is nothing to measure by.
STILL: Final = 0.01
#: A spike lies so many times further above the median than the highest loss of the window: heavy-tailed losses (one
#: hard batch in thirty) have a small MAD beside a large maximum, and would warn all the time.
BEYOND: Final = 2.0
#: A warning makes so many steps dense: the turmoil after a spike of the demo lasts 5 to 20 steps.
DENSE: Final = 32
#: One warning, prolonged while it lasts, ends after so many steps: a training that stays NaN tells nothing new then.
LONGEST: Final = 128
#: So many steps may be captured beside the scheduled ones, and one more with each scheduled one: whatever the losses
#: do, a long run is captured at most twice as often as was asked for.
ALLOWANCE: Final = 256


@dataclass(frozen=True, slots=True)
class Alarm:
    """The loss of ``step`` is not finite, or a spike; ``value`` is it itself, or by how many deviations it leapt."""

    kind: str
    step: int
    value: float


class Watch:
    """The last losses and what they warn of; a step's loss comes once, in the order of the steps, perhaps late."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque()
        self._ordered: list[float] = []  # the same, ascending
        self._finite = True
        self._level = math.inf  # what a loss must exceed to be part of the latest spike
        self._began, self._until = 0, -1  # the first and last step of the latest dense stretch
        self._left = ALLOWANCE

    @property
    def began(self) -> int:
        """The first step of the latest dense stretch."""
        return self._began

    @property
    def until(self) -> int:
        """The last step that is captured whatever the schedule says."""
        return self._until

    def see(self, step: int, loss: float, now: int) -> Alarm | None:
        """Takes in the loss of ``step``, before step ``now`` begins; an alarm where a warning begins.

        The dense stretch is prolonged while the loss is not finite, or as high as a spike must be. A loss that stays
        non-finite is one warning.
        """
        before, self._finite = self._finite, math.isfinite(loss)
        lasts = now <= self._until
        if self._finite:
            alarm = None if lasts else self._spike(step, loss)
            goes_on = loss > self._level
            self._remember(loss)
        else:
            alarm, goes_on = (Alarm(NON_FINITE, step, loss) if before else None), True
            self._level = self._level if lasts else math.inf
        if alarm is not None:
            self._began = now
        elif not (lasts and goes_on):
            return None
        self._until = min(now + DENSE, self._began + LONGEST) - 1
        return alarm

    def sudden(self, loss: float) -> bool:
        """Whether a step that is not captured should be after all: its loss, known before its backward, is the first
        that is not finite."""
        if math.isfinite(loss) or not self._finite or self._left < 1:
            return False
        self._left -= 1
        return True

    def dense(self, step: int, scheduled: bool) -> bool:
        """Whether ``step`` is captured because a warning lasts; asked once a step."""
        lasts = step <= self._until
        if scheduled:
            self._left = min(self._left + 1, ALLOWANCE)
        elif lasts:
            lasts = self._left > 0
            self._left -= lasts
        return lasts

    def _spike(self, step: int, loss: float) -> Alarm | None:
        """The alarm of a loss that lies more than `DEVIATIONS` × 1.48 MAD above the window's median, and `BEYOND`."""
        values = self._ordered
        if len(values) < WINDOW:
            return None
        middle = values[WINDOW // 2 - 1] / 2 + values[WINDOW // 2] / 2
        above = loss - middle
        if above <= max(DEVIATIONS * STILL * abs(middle), BEYOND * (values[-1] - middle)):
            return None  # nearly always: no more than two comparisons a step
        scale = max(SIGMA * median(abs(value - middle) for value in values), STILL * abs(middle))
        if above <= DEVIATIONS * scale or not scale:  # more than half are zeros: there is nothing to measure by
            return None
        self._level = middle + max(DEVIATIONS * scale, BEYOND * (values[-1] - middle))
        return Alarm(SPIKE, step, above / scale)

    def _remember(self, loss: float) -> None:
        self._recent.append(loss)
        insort(self._ordered, loss)
        if len(self._recent) > WINDOW:
            del self._ordered[bisect_left(self._ordered, self._recent.popleft())]
