"""The kinds of record a run is made of, as frozen data; ``docs/format.md`` says how each is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dgm_tb.moments import DERIVED, REDUCTIONS, SOURCES, STATISTICS

FORMAT_VERSION: Final = 2
PLUGIN_NAME: Final = "dgm"
#: The folder of a session's directory that holds its deep snapshots.
DEEP: Final = "deep"

QUANTITIES: Final = ("activation", "gradient", "weight", "weight_gradient", "update")

#: How a statistic is rolled up over the snapshots in which it is finite: ``seen`` is how many these were, the others
#: are NaN where it is 0.
ROLLS: Final = ("min", "max", "mean", "seen")
#: The channels of a rolled-up row. They are of the statistics as drawn, so that e.g. the least standard deviation of
#: 16 snapshots is exact: it does not follow from rolled-up m2 and counts.
ROLLED: Final = tuple(f"{statistic}/{roll}" for statistic in DERIVED for roll in ROLLS)


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
    """One row of a layout: its key, how many units it has and what is stored of each, in this order.

    ``channels`` are `STATISTICS`, fewer of them (always with ``count``) or, in a rolled-up layout, of `ROLLED`.
    """

    key: RowKey
    units: int
    channels: tuple[str, ...] = STATISTICS


@dataclass(frozen=True)
class Layout:
    """The rows of every snapshot of a segment, in their stored order; ``rolled`` where they are `rolled_layout`'s."""

    rows: tuple[Row, ...]
    rolled: bool = False

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where each row begins in a snapshot's flat values ``(rows + 1,)``; the last is their length."""
        sizes = [len(row.channels) * row.units for row in self.rows]
        return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)

    @cached_property
    def index(self) -> Mapping[RowKey, int]:
        return {row.key: i for i, row in enumerate(self.rows)}

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """Which channel of each row is each of `STATISTICS` ``(rows, STATISTICS)``; -1 where it is not stored."""
        found = [[row.channels.index(name) if name in row.channels else -1 for name in STATISTICS] for row in self.rows]
        return np.array(found, np.int64).reshape(-1, len(STATISTICS))

    def row_of(self, values: NDArray[np.float32], index: int) -> NDArray[np.float32]:
        """The view ``(channels, units)`` of one row in a snapshot's flat values."""
        start, stop, row = self.starts[index], self.starts[index + 1], self.rows[index]
        return values[start:stop].reshape(len(row.channels), row.units)

    @property
    def aggregate_shape(self) -> tuple[int, ...]:
        """The shape of a row's aggregates: ``(DERIVED, REDUCTIONS)``, rolled up ``(DERIVED, REDUCTIONS, ROLLS)``."""
        return (len(DERIVED), len(REDUCTIONS), len(ROLLS)) if self.rolled else (len(DERIVED), len(REDUCTIONS))


def rolled_layout(layout: Layout) -> Layout:
    """The layout of a segment's rollups, at every level: the same rows with the channels of `ROLLED`.

    A row that is restricted to some statistics has only the channels of those that follow from them.
    """
    if layout.rolled:
        return layout
    return Layout(tuple(Row(row.key, row.units, _rolled_channels(row.channels)) for row in layout.rows), rolled=True)


@lru_cache(maxsize=64)
def _rolled_channels(channels: tuple[str, ...]) -> tuple[str, ...]:
    derivable = [statistic for statistic in DERIVED if set(SOURCES[statistic]) <= set(channels)]
    return tuple(f"{statistic}/{roll}" for statistic in derivable for roll in ROLLS)


@dataclass(frozen=True, slots=True)
class Node:
    """A module's call in the data-flow graph.

    ``group`` is the path of the enclosing module (``""`` at the top), ``calls`` how often it was called in the traced
    step, ``parameters`` how many numbers it owns, ``shape`` its (first) output's shape, ``programs`` the programs whose
    loss it served, ``role`` what the user says it is (``""``: nothing).
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
    role: str = ""


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
    """What a segment holds: its layout, the nodes as known then, and who recorded it when.

    ``sequence`` grows from one session of a run to the next, whatever the clocks say; the writer counts it.
    """

    layout: Layout
    nodes: tuple[Node, ...]
    created: float  # seconds since the epoch
    versions: Mapping[str, str] = field(default_factory=dict)  # package -> version
    schedule: Mapping[str, int | str] = field(default_factory=dict)
    sequence: int = 0


#: The numbers that stand beside each snapshot, in their fixed order; NaN where they do not apply. ``first_step`` is
#: NaN in a snapshot; in a rolled-up point it is the first step that the point covers (a whole number below 2^53), the
#: others and the point's step are those of the last snapshot that it covers.
CONTEXT: Final = (
    "wall_time", "epoch", "batch_index", "global_step", "learning_rate", "gradient_norm", "amp_scale", "first_step"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One captured step, or several rolled up: every row of its segment's layout.

    ``values`` is flat float32 ``(layout.starts[-1],)``; ``context`` float64 in the order of `CONTEXT`;
    ``aggregates`` float32 ``(rows, *layout.aggregate_shape)``.
    """

    step: int
    context: NDArray[np.float64]
    values: NDArray[np.float32]
    aggregates: NDArray[np.float32]

    def __post_init__(self) -> None:
        assert self.context.shape == (len(CONTEXT),)
        assert self.aggregates.shape[1:3] == (len(DERIVED), len(REDUCTIONS))
        assert self.aggregates.shape[3:] in ((), (len(ROLLS),))


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


@dataclass(frozen=True, slots=True)
class Thinned:
    """Blocks of a ``level`` (0: full resolution) that were given up to keep the disk budget, and why.

    They held ``snapshots`` snapshots or rolled-up points, which covered the steps ``first_step`` to ``last_step``.
    """

    level: int
    first_step: int
    last_step: int
    snapshots: int
    reason: str


Record: TypeAlias = Manifest | Graph | Snapshot | StepTable | SessionEnd | Thinned
