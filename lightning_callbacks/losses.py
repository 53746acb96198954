"""Losses and metrics of every step, kept on the device until they are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from dgm_tb.records import NOT_LOGGED, StepTable
from lightning_callbacks.rows import to_host

#: Seconds after which what waits is written although no step was captured: the tab is live.
INTERVAL: Final = 2.0

Number = Tensor | float


@dataclass(frozen=True, slots=True)
class _StepRow:
    step: int
    wall_time: float
    values: Mapping[str, Number]


def kept(value: Number) -> Number:
    """A copy that later in-place changes and the end of the graph do not touch; no synchronisation."""
    return value.detach().clone() if isinstance(value, Tensor) else float(value)


def mean(values: Sequence[Number]) -> Number:
    """The mean over micro-batches, without synchronisation."""
    if len(values) == 1:
        return values[0]
    with torch.no_grad():
        return torch.stack([torch.as_tensor(value, dtype=torch.float32).reshape(()) for value in values]).mean()


def total(values: Sequence[Number]) -> Number:
    """The sum over the programs of a step, without synchronisation."""
    return values[0] if len(values) == 1 else mean(values) * len(values)


class Losses:
    """The rows that wait, and when they are due; ``submit`` takes what makes the table, on the writer's thread.

    ``arrived`` is called there with each step's loss.
    """

    def __init__(
        self,
        submit: Callable[[Callable[[], StepTable]], object],
        clock: Callable[[], float],
        arrived: Callable[[int, float], None],
    ) -> None:
        self._submit, self._clock, self._arrived = submit, clock, arrived
        self._rows: list[_StepRow] = []
        self._flushed = clock()

    def add(self, step: int, values: Mapping[str, Number]) -> None:
        """Takes the values of a step, which the caller has copied (`kept`)."""
        self._rows.append(_StepRow(step, self._clock(), values))

    def due(self) -> bool:
        return self._clock() - self._flushed >= INTERVAL

    def flush(self) -> None:
        self._flushed = self._clock()
        rows, self._rows = self._rows, []
        if not rows:
            return
        places = [(i, name) for i, row in enumerate(rows) for name, v in row.values.items() if isinstance(v, Tensor)]
        host = to_host([torch.as_tensor(rows[i].values[name]) for i, name in places])
        numbers = [{name: v for name, v in row.values.items() if not isinstance(v, Tensor)} for row in rows]
        heads = [(row.step, row.wall_time) for row in rows]
        names = tuple(dict.fromkeys(name for row in rows for name in row.values))

        def table() -> StepTable:
            column = {name: index + 2 for index, name in enumerate(names)}
            values = np.full((len(heads), len(names) + 2), NOT_LOGGED)
            values[:, :2] = heads
            for i, logged in enumerate(numbers):
                for name, number in logged.items():
                    values[i, column[name]] = number
            for (i, name), array in zip(places, host(), strict=True):
                values[i, column[name]] = array.reshape(-1)[0]
                if name == "loss":
                    self._arrived(heads[i][0], float(values[i, column[name]]))
            return StepTable(("step", "wall_time", *names), values)

        self._submit(table)
