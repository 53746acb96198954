"""Every step's loss and logged metrics, and which steps were captured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.queries.deep import snapshots
from dgm_tb.store.run import Run

# One reply carries at most this many values (64 MiB of float64); the rest follows on the next `since`.
_MOST_VALUES: Final = 2**23


@dataclass(frozen=True, slots=True)
class Request:
    """Steps after ``since``; all without it."""

    run: str
    since: int | None = None


@dataclass(frozen=True, slots=True)
class View:
    """``values`` and ``logged`` are ``(columns, n)``, the loss first where there is one.

    ``more`` says that steps after the last of these are left to a further request. ``snapshots`` holds the captured
    steps after ``since``, ``deep`` those that are deep.
    """

    columns: tuple[str, ...]
    generation: int
    more: bool
    step: NDArray[np.int64]
    wall_time: NDArray[np.float64]
    values: NDArray[np.float64]
    logged: NDArray[np.bool_]
    snapshots: NDArray[np.int64]
    deep: NDArray[np.int64]


def answer(run: Run, request: Request) -> View:
    """The table after ``request.since``, a bounded piece of it."""
    generation, losses, steps = run.generation, run.losses, run.steps
    start = 0 if request.since is None else int(np.searchsorted(losses.steps, request.since, "right"))
    stop = min(len(losses.steps), start + _MOST_VALUES // max(1, len(losses.columns)))
    # Captured steps are sent whole: the disk bounds their number.
    first = 0 if request.since is None else int(np.searchsorted(steps, request.since, "right"))
    piece = slice(start, stop)
    return View(
        columns=losses.columns,
        generation=generation,
        more=stop < len(losses.steps),
        step=losses.steps[piece],
        wall_time=losses.wall_times[piece],
        values=losses.values[:, piece],
        logged=losses.logged[:, piece],
        snapshots=steps[first:],
        deep=_deep(run, request.since),
    )


def _deep(run: Run, since: int | None) -> NDArray[np.int64]:
    return np.array([step for step in snapshots(run) if since is None or step > since], np.int64)
