"""Which steps are captured: a pure function of the step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Schedule:
    """Every ``every_n_steps`` steps, dense at the start (0, 1, 2, 4, 8 …), and the last one where it is known."""

    every_n_steps: int
    last_step: int | None = None

    def captures(self, step: int) -> bool:
        # Most failures begin early, hence the powers of two; once they would be wider apart than n they add nothing.
        start = step < self.every_n_steps and step & (step - 1) == 0
        return step % self.every_n_steps == 0 or start or step == self.last_step
