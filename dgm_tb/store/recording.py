"""What is readable of one session of one rank, as data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dgm_tb.records import Graph, Manifest, SessionEnd, StepTable, Thinned
from dgm_tb.store.partfiles import PartFile


@dataclass(frozen=True, slots=True)
class Written:
    """One level of a session, in the order of writing: ``(points,)`` each; level 0 are the snapshots.

    A point covers the snapshots ``begin`` to ``end`` (without), counted through the session's segments, whose steps
    were ``first`` to ``last``; ``part`` counts in `Recording.files`.
    """

    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    context: NDArray[np.float64]  # (points, CONTEXT)
    part: NDArray[np.int64]
    frame: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recording:
    """A session of a rank; ``levels`` from 0 up, at least that one."""

    session: str
    rank: int
    created: float
    sequence: int  # grows from session to session of a run
    manifests: tuple[Manifest, ...]  # a segment each
    graph: Graph | None
    graph_id: str | None  # changes with the graph, the same in every process
    files: tuple[PartFile, ...]
    levels: tuple[Written, ...]
    table: StepTable  # ascending
    thinned: tuple[Thinned, ...]
    end: SessionEnd | None
    last_wall_time: float

    @property
    def steps(self) -> NDArray[np.int64]:
        """The snapshots' ``(snapshots,)``."""
        return self.levels[0].last
