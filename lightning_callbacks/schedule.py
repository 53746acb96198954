"""Which steps are captured: a pure function of the step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Schedule:
    """Each of ``intervals`` (ascending, in steps) at its multiples, dense at the start, and the last step if known.

    The start is geometric: 0, 1, 2, 4, 8 … up to the interval. ``whole``: everything is due at multiples of so many
    steps too (0: of none), where a deep snapshot is wanted.
    """

    intervals: tuple[int, ...]
    last_step: int | None = None
    whole: int = 0

    def due(self, step: int, stretch: int = 1) -> tuple[int, ...]:
        """The intervals that are due at ``step``; past the start each is ``stretch`` times as long."""
        if step == self.last_step or (self.whole and step % (self.whole * stretch) == 0):
            return self.intervals
        return tuple(n for n in self.intervals if _due(n, step, stretch))


def _due(interval: int, step: int, stretch: int) -> bool:
    # Most failures begin early, hence the powers of two; once they would be wider apart than n they add nothing.
    start = step < interval and step & (step - 1) == 0
    return step % (interval * stretch) == 0 or start
