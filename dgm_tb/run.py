"""``dgm_tb.open_run``: a recorded run for notebooks and scripts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import UnknownNameError, UsageError
from dgm_tb.moments import DERIVED, STATISTICS, derive
from dgm_tb.queries.rows import find
from dgm_tb.records import Graph, Node
from dgm_tb.store.losses import Losses
from dgm_tb.store.run import Run


def open_run(path: str | os.PathLike[str]) -> RunView:
    """Opens a run directory or its ``plugins/dgm``.

    Raises `dgm_tb.errors.UnknownNameError` where nothing was recorded and `dgm_tb.errors.FormatError` where what is
    there cannot be read; both say what to do.
    """
    return RunView(Run(Path(path)))


class RunView:
    """A run to be asked; a context manager. ``refresh()`` takes in what a running training has recorded since."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @property
    def steps(self) -> NDArray[np.int64]:
        """The captured steps ``(snapshots,)``, ascending."""
        return self._run.steps

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes of the data-flow graph, in order of their first call."""
        return self._run.nodes

    @property
    def graph(self) -> Graph | None:
        """The traced data flow; None before a step was traced."""
        return self._run.graph

    @property
    def losses(self) -> Losses:
        """The loss and the logged metrics of every step."""
        return self._run.losses

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be read, in sentences."""
        return self._run.problems

    def series(
        self,
        node: str,
        quantity: str,
        statistic: str = "mean",
        *,
        program: str | None = None,
        units: Sequence[int] | NDArray[np.integer] | None = None,
        steps: slice | Sequence[int] | NDArray[np.integer] | None = None,
    ) -> NDArray[np.float32]:
        """A statistic over snapshots ``(snapshots, units)``; NaN where the node was not called.

        ``program`` defaults to the node's first; ``units`` to all. ``steps`` are captured steps, or a slice of steps
        (``slice(100, 200)``: those from 100 up to, not with, 200). Raises `UnknownNameError` for what is not there.
        """
        if statistic not in STATISTICS and statistic not in DERIVED:
            names = ", ".join(dict.fromkeys((*DERIVED, *STATISTICS)))
            raise UsageError(f"statistic={statistic!r} is none of {names}")
        run = self._run.pinned()
        key = find(run.keys, node, quantity, program)
        chosen = None if units is None else np.asarray(units, np.int64)
        return derive(run.read(key, _positions(run.steps, steps), units=chosen), statistic)

    def refresh(self) -> bool:
        """Looks for growth; True if anything changed."""
        return self._run.refresh()

    def close(self) -> None:
        """Forgets what was read."""
        self._run.close()

    def __enter__(self) -> RunView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        steps = self.steps
        span = f", steps {steps[0]} to {steps[-1]}" if len(steps) else ""
        return f"<DGM run {self._run.directory}: {len(steps)} snapshots{span}, {len(self.nodes)} nodes>"


def _positions(
    there: NDArray[np.int64], steps: slice | Sequence[int] | NDArray[np.integer] | None
) -> slice | NDArray[np.int64]:
    if steps is None:
        return slice(None)
    if isinstance(steps, slice):
        start = 0 if steps.start is None else int(np.searchsorted(there, steps.start))
        stop = len(there) if steps.stop is None else int(np.searchsorted(there, steps.stop))
        return slice(start, stop, steps.step)
    wanted = np.asarray(steps, np.int64)
    missing = wanted[~np.isin(wanted, there)]
    if len(missing):
        raise UnknownNameError(f"step {missing[0]} was not captured; .steps lists the {len(there)} that were")
    return np.searchsorted(there, wanted)
