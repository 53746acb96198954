"""Which steps are captured, and what of them: the schedule, and every step while the losses warn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from torch import Tensor

from lightning_callbacks.arrivals import Arrivals, value_of
from lightning_callbacks.losses import Number
from lightning_callbacks.model import Model
from lightning_callbacks.schedule import Schedule
from lightning_callbacks.watch import NON_FINITE, SPIKE, Alarm, Watch

_log = logging.getLogger("lightning_callbacks")

#: How an alarm is said: level and message.
_SAID: Final = {
    NON_FINITE: (logging.WARNING, "DGM: the loss is %g at step %d; the steps up to %d are captured"),
    SPIKE: (logging.INFO, "DGM: the loss leapt by %.0f deviations at step %d; the steps up to %d are captured"),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What of a step is captured: ``due`` quantities by path; ``whole`` where that is all that is ever recorded."""

    due: Mapping[str, frozenset[str]]
    whole: bool


class Pace:
    """Decides once for each step, before its forward pass; ``alarmed`` is called with each warning that begins.

    Each process of a distributed training watches its own losses: agreeing would take a message at every step. A step
    that only some of them captured counts what these saw.
    """

    def __init__(self, model: Model, last_step: int | None, alarmed: Callable[[Alarm], None]) -> None:
        deep = model.options.deep_every_n_steps
        self.schedule = Schedule(model.intervals, last_step, deep if isinstance(deep, int) else 0)
        self.arrivals = Arrivals()
        self._model, self._alarmed = model, alarmed
        self._watch = Watch()
        self._warned = False
        self._plans: dict[tuple[int, ...], Plan] = {}  # by the intervals that are due

    def follow(self, model: Model) -> None:
        """Plans by another survey of the model."""
        self._model = model
        self.schedule = replace(self.schedule, intervals=model.intervals)
        self._plans.clear()

    def expect_last(self, step: int | None) -> None:
        """Says which step will be the last."""
        self.schedule = replace(self.schedule, last_step=step)

    @property
    def warning(self) -> int | None:
        """The step at which the warning began under which the step that was planned last is captured."""
        return self._watch.began if self._warned else None

    def plan(self, step: int, stretch: int) -> Plan | None:
        """What is captured of ``step``, None for nothing; equal plans are one object."""
        for seen, loss in self.arrivals.take():
            if (alarm := self._watch.see(seen, loss, step)) is not None:
                level, message = _SAID[alarm.kind]
                _log.log(level, message, alarm.value, alarm.step, self._watch.until)
                self._alarmed(alarm)
        intervals = self.schedule.intervals
        due = self.schedule.due(step, stretch)
        self._warned = self._watch.dense(step, scheduled=due == intervals)
        if self._warned:
            due = intervals
        if not due:
            return None
        if due not in self._plans:
            self._plans[due] = Plan(self._model.due(due), due == intervals)
        return self._plans[due]

    def late_plan(self, loss: Tensor) -> Plan | None:
        """What is captured of a step after all, since its ``loss``, before its backward, is the first not finite.

        The forward pass is over and its activations are gone; what happens to the weights can still be seen. Only a
        loss on the CPU is read: another device would have to be waited for.
        """
        if not loss.is_cpu or loss.numel() != 1 or not self._watch.sudden(value_of(loss)):
            return None
        return Plan(self._model.of_weights(), whole=False)

    def ended(self, step: int, values: Mapping[str, Number]) -> None:
        """Takes what a step logged; its ``loss`` is watched."""
        if (loss := values.get("loss")) is not None:
            self.arrivals.send(step, loss)
