"""The kinds of record a run is made of, as frozen data; ``docs/format.md`` says how each is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dgm_tb.moments import DERIVED, REDUCTIONS, STATISTICS

FORMAT_VERSION: Final = 1
PLUGIN_NAME: Final = "dgm"

QUANTITIES: Final = ("activation", "gradient", "weight", "weight_gradient", "update")


@dataclass(frozen=True, slots=True, order=True)
class RowKey:
    """What a row is about: ``node`` (module path, ``#k`` for the k-th further call), ``program``, ``quantity``."""

    node: str
    program: str
    quantity: str

    @property
    def tag(self) -> str:
        return f"dgm/{self.node}/{self.program}/{self.quantity}"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a layout: its key and how many units it has."""

    key: RowKey
    units: int


@dataclass(frozen=True)
class Layout:
    """The rows of every snapshot of a segment, in their stored order."""

    rows: tuple[Row, ...]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where each row begins in a snapshot's flat values ``(rows + 1,)``; the last is their length."""
        sizes = [len(STATISTICS) * row.units for row in self.rows]
        return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)

    @cached_property
    def index(self) -> Mapping[RowKey, int]:
        return {row.key: i for i, row in enumerate(self.rows)}

    def row_of(self, values: NDArray[np.float32], index: int) -> NDArray[np.float32]:
        """The view ``(statistics, units)`` of one row in a snapshot's flat values."""
        start, stop = self.starts[index], self.starts[index + 1]
        return values[start:stop].reshape(len(STATISTICS), -1)


@dataclass(frozen=True, slots=True)
class Node:
    """A module's call in the data-flow graph.

    ``group`` is the path of the enclosing module (``""`` at the top), ``calls`` how often it was called in the traced
    step, ``parameters`` how many numbers it owns, ``shape`` its (first) output's shape, ``programs`` the programs whose
    loss it served.
    """

    name: str
    module_type: str
    group: str
    units: int
    programs: tuple[str, ...] = ()
    quantities: tuple[str, ...] = ()
    parameters: int = 0
    shape: tuple[int, ...] = ()
    calls: int = 1
    kind: str = "module"  # module | input | op | loss


@dataclass(frozen=True, slots=True)
class Edge:
    """An output of ``source`` reaches an input of ``target``; ``back`` marks the edges that close a cycle."""

    source: str
    target: str
    back: bool = False


@dataclass(frozen=True, slots=True)
class Graph:
    """The data flow of one traced step. ``programs`` maps a program to a label a person understands.

    ``nodes`` stand in order of their first call; ``groups`` maps a group's path to its module type.
    """

    step: int
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    groups: Mapping[str, str] = field(default_factory=dict)
    programs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a segment holds: its layout, the nodes as known then, and who recorded it when."""

    layout: Layout
    nodes: tuple[Node, ...]
    created: float  # seconds since the epoch
    versions: Mapping[str, str] = field(default_factory=dict)  # package -> version
    schedule: Mapping[str, int | str] = field(default_factory=dict)


#: The numbers that stand beside each snapshot, in their fixed order; NaN where they do not apply.
CONTEXT: Final = ("wall_time", "epoch", "batch_index", "global_step", "learning_rate", "gradient_norm", "amp_scale")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One captured step: every row of its segment's layout.

    ``values`` is flat float32 ``(layout.starts[-1],)``; ``context`` float64 in the order of `CONTEXT`;
    ``aggregates`` float32 ``(rows, DERIVED, REDUCTIONS)``.
    """

    step: int
    context: NDArray[np.float64]
    values: NDArray[np.float32]
    aggregates: NDArray[np.float32]

    def __post_init__(self) -> None:
        assert self.context.shape == (len(CONTEXT),)
        assert self.aggregates.shape[1:] == (len(DERIVED), len(REDUCTIONS))


#: Stands in a `StepTable` where a column was not logged: a NaN that no arithmetic makes (its payload spells 0xD6),
#: so that a loss that *is* NaN remains distinguishable. Fill with it; ask with `dgm_tb.records.is_logged`.
NOT_LOGGED: Final = float(np.uint64(0x7FF80000000000D6).view(np.float64))


def is_logged(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where ``values`` (any shape) are numbers, NaN and Inf included, and not `NOT_LOGGED`."""
    logged: NDArray[np.bool_] = values.view(np.uint64) != np.float64(NOT_LOGGED).view(np.uint64)
    return logged


@dataclass(frozen=True, slots=True)
class StepTable:
    """Losses and logged metrics of consecutive steps: float64 ``(steps, columns)``, the first two step and wall_time.

    `NOT_LOGGED` where a step did not log a column; a plain NaN is a value.
    """

    columns: tuple[str, ...]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """The recording ended by itself; ``reason`` is ``finished``, ``exception`` or what stopped it."""

    reason: str
    wall_time: float


Record: TypeAlias = Manifest | Graph | Snapshot | StepTable | SessionEnd
