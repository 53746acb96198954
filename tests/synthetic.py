"""Writes a made-up but plausible run through `RunWriter`: a VAE whose log-variance head spikes and ends in NaN.

``python -m tests.synthetic OUTDIR [--live] [--units N] [--snapshots N] [--wide N] [--wide-statistics mean]``; with
``--live`` a snapshot is appended every half second until interrupted, with ``--wide 1000000`` there is one layer of so
many units more, of which all or only some statistics are stored.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dgm_tb.moments import COUNT, M2, MAX, MEAN, MIN, NONFINITE, STATISTICS, ZEROS, aggregate_rows
from dgm_tb.records import (
    CONTEXT,
    NOT_LOGGED,
    QUANTITIES,
    Edge,
    Graph,
    Layout,
    Manifest,
    Node,
    Row,
    RowKey,
    Snapshot,
    StepTable,
)
from dgm_tb.store.writer import RunWriter, new_session

EVERY = 10  # steps between snapshots
SPIKE_NODE = "encoder.variance"
WIDE_NODE = "head"  # the very wide layer; only its activation is recorded
JUMPERS = (1, 3, 6)  # units of SPIKE_NODE that jump at the spike
PROGRAMS = ("backward#0", "backward#1")
COLUMNS = ("step", "wall_time", "loss", "val_loss", "kl")

# name, module type, units as a multiple of the run's width (0: no units), programs, kind
_NODES: tuple[tuple[str, str, float, tuple[str, ...], str], ...] = (
    ("input", "", 0, PROGRAMS, "input"),
    ("encoder.blocks.0.conv", "Conv2d", 0.5, PROGRAMS[:1], "module"),
    ("encoder.blocks.0.act", "LeakyReLU", 0.5, PROGRAMS[:1], "module"),
    ("encoder.blocks.1.conv", "Conv2d", 1, PROGRAMS[:1], "module"),
    ("encoder.blocks.1.act", "LeakyReLU", 1, PROGRAMS[:1], "module"),
    ("encoder.fc", "Linear", 4, PROGRAMS[:1], "module"),
    ("encoder.mean", "Linear", 1, PROGRAMS[:1], "module"),
    (SPIKE_NODE, "Linear", 1, PROGRAMS[:1], "module"),
    ("exp", "exp", 0, PROGRAMS[:1], "op"),
    ("add", "add", 0, PROGRAMS[:1], "op"),
    ("decoder.fc", "Linear", 4, PROGRAMS[:1], "module"),
    ("decoder.deconv1", "ConvTranspose2d", 1, PROGRAMS[:1], "module"),
    ("decoder.deconv2", "ConvTranspose2d", 0.25, PROGRAMS[:1], "module"),
    ("discriminator.conv", "Conv2d", 0.5, PROGRAMS, "module"),
    ("discriminator.conv#1", "Conv2d", 0.5, PROGRAMS[1:], "module"),
    ("discriminator.head", "Linear", 0.25, PROGRAMS, "module"),
    ("loss", "mse_loss", 0, PROGRAMS[:1], "loss"),
)
_EDGES = (
    ("input", "encoder.blocks.0.conv"), ("encoder.blocks.0.conv", "encoder.blocks.0.act"),
    ("encoder.blocks.0.act", "encoder.blocks.1.conv"), ("encoder.blocks.1.conv", "encoder.blocks.1.act"),
    ("encoder.blocks.1.act", "encoder.fc"), ("encoder.fc", "encoder.mean"), ("encoder.fc", SPIKE_NODE),
    (SPIKE_NODE, "exp"), ("exp", "add"), ("encoder.mean", "add"), ("add", "decoder.fc"),
    ("decoder.fc", "decoder.deconv1"), ("decoder.deconv1", "decoder.deconv2"), ("decoder.deconv2", "loss"),
    ("input", "loss"), ("decoder.deconv2", "discriminator.conv"), ("discriminator.conv", "discriminator.head"),
    ("input", "discriminator.conv#1"), ("discriminator.conv#1", "discriminator.head"), ("discriminator.head", "loss"),
)  # fmt: skip
_GROUPS = {
    "": "Vae", "encoder": "Encoder", "encoder.blocks": "ModuleList", "encoder.blocks.0": "Block",
    "encoder.blocks.1": "Block", "decoder": "Decoder", "discriminator": "Discriminator",
}  # fmt: skip
_ROLES = {SPIKE_NODE: "log-variance", "encoder.mean": "mean"}  # as a user may say what a module is
_WEIGHTED = ("Conv2d", "ConvTranspose2d", "Linear")
_ORDERS = dict(zip(QUANTITIES, (1.0, 1e-2, 1e-1, 1e-2, 1e-4), strict=True))  # of magnitude


@dataclass(frozen=True, slots=True)
class Shape:
    """How large the run is: ``width`` scales every layer's units, ``wide`` are those of one layer more.

    Of that layer ``wide_statistics`` are stored, ``count`` among them.
    """

    width: int = 64
    snapshots: int = 120
    seed: int = 0
    wide: int = 0
    wide_statistics: tuple[str, ...] = STATISTICS

    @property
    def spike(self) -> int:
        return self.snapshots * 2 // 3


def nodes(width: int, wide: int = 0) -> tuple[Node, ...]:
    if not wide:
        return _modules(width)
    return (*_modules(width), Node(WIDE_NODE, "Linear", "", wide, PROGRAMS[:1], QUANTITIES[:1], shape=(32, wide)))


def _modules(width: int) -> tuple[Node, ...]:
    return tuple(
        Node(
            name,
            module_type,
            group=name.rpartition(".")[0],
            units=_units(factor, width),
            programs=programs,
            quantities=_quantities(module_type, factor),
            parameters=_units(factor, width) * 100 if module_type in _WEIGHTED else 0,
            shape=(32, _units(factor, width)),
            kind=kind,
            role=_ROLES.get(name, ""),
        )
        for name, module_type, factor, programs, kind in _NODES
    )


def layout(width: int, wide: int = 0, wide_statistics: tuple[str, ...] = STATISTICS) -> Layout:
    return Layout(
        tuple(
            Row(
                RowKey(node.name, program, quantity),
                node.units,
                wide_statistics if node.name == WIDE_NODE else STATISTICS,
            )
            for node in nodes(width, wide)
            for program in node.programs
            for quantity in node.quantities
        )
    )


def graph(width: int, wide: int = 0) -> Graph:
    labels = {"backward#0": "generator", "backward#1": "discriminator"}
    edges = (*_EDGES, ("encoder.fc", WIDE_NODE)) if wide else _EDGES
    return Graph(0, nodes(width, wide), tuple(Edge(*edge) for edge in edges), _GROUPS, labels)


class Dynamics:
    """The numbers of a made-up training: every unit's mean drifts; a few of `SPIKE_NODE`'s jump at the spike."""

    def __init__(self, shape: Shape, clock: Callable[[], float] = time.time) -> None:
        self.layout = layout(shape.width, shape.wide, shape.wide_statistics)
        self._shape, self._clock = shape, clock
        self._rng = np.random.default_rng(shape.seed)
        self._before: NDArray[np.float32] | None = None
        self._levels = [self._rng.normal(size=row.units) for row in self.layout.rows]

    def snapshot(self, index: int) -> Snapshot:
        values = np.empty(self.layout.starts[-1], np.float32)
        for position, row in enumerate(self.layout.rows):
            table = np.empty((len(STATISTICS), row.units), np.float32)
            self._fill(table, position, row.key, index)
            self.layout.row_of(values, position)[:] = table[[STATISTICS.index(name) for name in row.channels]]
        context = np.full(len(CONTEXT), np.nan)
        before, self._before = self._before, values
        context[:5] = self._clock(), index * EVERY // 100, index * EVERY % 100, index * EVERY, 1e-3
        aggregates = aggregate_rows(values, self.layout.starts, before, self.layout.places)
        return Snapshot(index * EVERY, context, values, aggregates)

    def table(self, index: int) -> StepTable:
        """The losses of the steps up to and with snapshot ``index``."""
        steps = np.arange(max(0, (index - 1) * EVERY + 1), index * EVERY + 1)
        table = np.full((len(steps), len(COLUMNS)), NOT_LOGGED)
        spike = self._shape.spike * EVERY
        table[:, 0], table[:, 1] = steps, self._clock()
        table[:, 2] = 200 * np.exp(-steps / 300) + 40 + self._rng.normal(size=len(steps))
        table[:, 2] += np.where(steps >= spike, 400 * np.exp(-np.maximum(steps - spike, 0) / 30.0), 0)
        table[steps > (self._shape.snapshots - 3) * EVERY, 2] = np.nan
        table[:, 4] = 10 + np.sqrt(steps)
        validated = steps % 50 == 0
        table[validated, 3] = table[validated, 2] + 5
        return StepTable(COLUMNS, table)

    def _fill(self, table: NDArray[np.float32], position: int, key: RowKey, index: int) -> None:
        level, order = self._levels[position], _ORDERS[key.quantity]
        level += 0.05 * (self._rng.normal(size=level.size) - 0.1 * level)
        mean = order * level
        if key.node in (SPIKE_NODE, WIDE_NODE):
            jump = 25 * order * np.exp(-(index - self._shape.spike) / 4) if index >= self._shape.spike else 0.0
            mean[list(JUMPERS)] += jump
        std = 0.3 * order * (1 + 0.1 * np.abs(level))
        table[COUNT], table[MEAN], table[M2] = 128, mean, 128 * std**2
        table[MIN], table[MAX] = mean - 3 * std, mean + 3 * std
        table[ZEROS], table[NONFINITE] = np.where(level < -1, 40, 0), 0
        table[len(STATISTICS) - 1] = self._rng.integers(0, 32, level.size)
        if key.quantity not in ("activation", "gradient"):
            table[len(STATISTICS) - 1] = -1
        if index >= self._shape.snapshots - 2 and key.node.startswith("decoder"):  # the end: nothing finite is left
            table[[MEAN, M2, MIN, MAX]] = np.nan
            table[NONFINITE] = table[COUNT]


def begin(writer: RunWriter, shape: Shape, clock: Callable[[], float] = time.time) -> Dynamics:
    """Writes the manifest and the graph; the numbers that follow."""
    dynamics = Dynamics(shape, clock)
    manifest = Manifest(
        dynamics.layout,
        nodes(shape.width, shape.wide),
        clock(),
        {"dgm-tb": "0.1", "torch": "2.13"},
        {"every_n_steps": EVERY},
    )
    writer.submit(lambda: manifest, essential=True)
    writer.submit(lambda: graph(shape.width, shape.wide), essential=True)
    return dynamics


def append(writer: RunWriter, dynamics: Dynamics, index: int) -> None:
    """Writes the losses up to a snapshot, then the snapshot."""
    writer.submit(lambda: dynamics.table(index), essential=True)
    writer.submit(lambda: dynamics.snapshot(index), essential=True)


def write_run(
    directory: Path, shape: Shape | None = None, *, clock: Callable[[], float] = time.time, session: str | None = None
) -> Path:
    """A finished run in ``directory``; answers it."""
    shape = shape or Shape()
    with RunWriter(directory / "plugins" / "dgm", session=session or new_session(clock), clock=clock) as writer:
        dynamics = begin(writer, shape, clock)
        for index in range(shape.snapshots):
            append(writer, dynamics, index)
        writer.close(timeout=3600)  # the numbers are made on the writer's thread: a long run is not written at once
    assert writer.failure is None, writer.failure
    return directory


def write_live(directory: Path, shape: Shape, interval: float) -> None:
    """Appends a snapshot every ``interval`` seconds until interrupted."""
    with RunWriter(directory / "plugins" / "dgm", session=new_session()) as writer:
        dynamics = begin(writer, shape)
        index = 0
        while writer.failure is None:
            append(writer, dynamics, index)
            index += 1
            time.sleep(interval)


def _units(factor: float, width: int) -> int:
    return int(factor * width)


def _quantities(module_type: str, factor: float) -> tuple[str, ...]:
    if not factor:
        return ()
    return QUANTITIES if module_type in _WEIGHTED else QUANTITIES[:2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outdir", type=Path)
    parser.add_argument("--live", action="store_true", help="append a snapshot every half second until interrupted")
    parser.add_argument("--units", type=int, default=64, help="the width: encoder.fc has four times as many units")
    parser.add_argument("--snapshots", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wide", type=int, default=0, help="units of one very wide layer more, say 1000000")
    parser.add_argument("--wide-statistics", nargs="+", default=STATISTICS, help="what is stored of it, beside count")
    arguments = parser.parse_args()
    kept = tuple(name for name in STATISTICS if name in ("count", *arguments.wide_statistics))
    shape = Shape(arguments.units, arguments.snapshots, arguments.seed, arguments.wide, kept)
    if not arguments.live:
        write_run(arguments.outdir, shape)
        return
    try:
        write_live(arguments.outdir, shape, interval=0.5)
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
