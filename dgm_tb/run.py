"""``dgm_tb.open_run``: a recorded run for notebooks and scripts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import UnknownNameError, UsageError
from dgm_tb.moments import DERIVED, STATISTICS, derive, sources
from dgm_tb.queries import credit, deep, origin, replay
from dgm_tb.queries.rows import find
from dgm_tb.records import Graph, Node, Thinned
from dgm_tb.replay.ask import Change
from dgm_tb.replay.client import Client
from dgm_tb.replay.parts import Credit, unpacked
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
        self._worker: Client | None = None

    @property
    def steps(self) -> NDArray[np.int64]:
        """The captured steps ``(snapshots,)``, ascending, without those that were `thinned`."""
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

    @property
    def thinned(self) -> tuple[Thinned, ...]:
        """What was given up to keep the disk budget, ascending: stretches of ``first_step`` to ``last_step``.

        Of ``level`` 0 the single snapshots are gone, so `steps` and `series` lack them; the tab still draws those
        stretches from the rolled-up points of 16 snapshots, of level 1 from those of 256, and so on.
        """
        return self._run.thinned

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
        """A statistic over snapshots ``(snapshots, units)``; NaN where the node was not called, or it was not recorded.

        ``program`` defaults to the node's first; ``units`` to all. ``steps`` are captured steps, or a slice of steps
        (``slice(100, 200)``: those from 100 up to, not with, 200). Raises `UnknownNameError` for what is not there.
        """
        if statistic not in STATISTICS and statistic not in DERIVED:
            names = ", ".join(dict.fromkeys((*DERIVED, *STATISTICS)))
            raise UsageError(f"statistic={statistic!r} is none of {names}")
        run = self._run.pinned()
        key = find(run.keys, node, quantity, program)
        chosen = None if units is None else np.asarray(units, np.int64)
        needed = sources(statistic)
        rows = run.read(key, _positions(run.steps, steps), units=chosen, statistics=needed)
        return derive(rows, statistic, needed)

    @property
    def deep_steps(self) -> tuple[int, ...]:
        """The steps of which weights, batch and tape were kept: credit and replay start from them."""
        return tuple(deep.snapshots(self._run))

    def credit(
        self,
        *,
        node: str,
        step: int,
        units: Sequence[int] = (),
        previous: int | None = None,
        quantity: str = "activation",
        program: str | None = None,
        method: str = "change",
        batch: str = "own",
    ) -> Credit:
        """How much each unit, weight, input and sample accounts for the mean of ``units`` (none: all) of a node.

        Of its change since deep step ``previous`` (by default the one before), or with ``method="value"`` of its value,
        at deep step ``step``; of ``quantity`` ``activation``, ``gradient`` or the program's ``loss``. ``batch="same"``
        looks at the weights alone. Computed in a process of its own, which imports PyTorch. Raises `UnknownNameError`
        for a step, node or unit that is not there and `UsageError` with the reason where there is no answer.
        """
        if method not in ("change", "value"):
            raise UsageError(f"method={method!r} is none of change, value")
        request = credit.Request(self._run.name, step, node, tuple(units), program, previous, quantity, method, batch)
        asked, files = credit.resolve(self._run, request)
        answer = self._client().wait(asked, files)
        return unpacked(asked.target, answer.fields, answer.arrays)

    def replay(
        self,
        step: int,
        changes: Sequence[Change],
        *,
        node: str,
        units: Sequence[int] = (),
        previous: int | None = None,
        quantity: str = "activation",
        program: str | None = None,
    ) -> Mapping[str, float]:
        """What the target and the loss of deep ``step`` become with ``changes`` (`dgm_tb.replay.ask.Change`).

        ``target_before``, ``target_after``, ``loss_before``, ``loss_after``; in the recorded precision, so that an
        overflow is one. What is restored is taken from deep step ``previous``. Raises as `credit` does.
        """
        asked, files = replay.resolve(self._run, step, node, tuple(units), tuple(changes), previous, quantity, program)
        answer = self._client().wait(asked, files)
        return {name: float(value) for name, value in answer.arrays.items()}

    def origin(self, step: int, program: str | None = None) -> Mapping[str, Any] | None:
        """Where the loss of deep ``step`` first became non-finite; None where it is finite.

        ``op``, ``module`` and ``site`` (line of code) of the operation, its ``inputs`` and ``output`` with their
        ranges, the ``driver``: the node and units that drove it there. ``program`` defaults to the step's first.
        Raises as `credit` does.
        """
        asked, files = origin.resolve(self._run, step, program)
        found: Mapping[str, Any] | None = self._client().wait(asked, files).fields["origin"]
        return found

    def refresh(self) -> bool:
        """Looks for growth; True if anything changed."""
        return self._run.refresh()

    def close(self) -> None:
        """Forgets what was read, and ends the process that computed credit."""
        self._run.close()
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def __enter__(self) -> RunView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _client(self) -> Client:
        if self._worker is None:
            self._worker = Client()
        return self._worker

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
