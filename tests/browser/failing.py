"""Writes a run that fails as the demo does, without a training: a tiny VAE's log-variance head overflows at the end.

The ordinary snapshots are made up; both deep ones are real steps under the tape, of which the later overflows.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from dgm_tb.moments import COUNT, M2, MAX, MEAN, MIN, NONFINITE, STATISTICS, ZEROS, aggregate_rows
from dgm_tb.records import CONTEXT, Edge, Graph, Layout, Manifest, Node, Record, Row, RowKey, Snapshot, StepTable
from dgm_tb.replay.credit import Step
from lightning_callbacks.deep import Keeper
from tests.callbacks.networks import Vae
from tests.replay.steps import batch_of, network, optimizers_of, recorded, train
from tests.store.made import BEGAN, write

EARLIER, FAILED = 30, 40
HEAD = "variance"
#: The unit of the head that is driven so far that its exponential overflows.
DRIVEN = 1
_PROGRAM = "backward#0"
_UNITS: Final = {
    "encoder.0": 4, "encoder.1": 4, "mean": 12, HEAD: 12, "decoder.0": 4, "decoder.1": 4, "decoder.2": 1,
}  # fmt: skip
_EDGES: Final = (
    ("input", "encoder.0"), ("encoder.0", "encoder.1"), ("encoder.1", "mean"), ("encoder.1", HEAD), (HEAD, "exp"),
    ("exp", "decoder.0"), ("mean", "decoder.0"), ("decoder.0", "decoder.1"), ("decoder.1", "decoder.2"),
    ("decoder.2", "loss"), ("mean", "loss"), (HEAD, "loss"),
)  # fmt: skip


class Failing(Vae):
    """With so many units in its heads that one of them can stand out."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.variance = nn.Conv2d(4, _UNITS["mean"], 1), nn.Conv2d(4, _UNITS[HEAD], 1)
        self.decoder[0] = nn.ConvTranspose2d(_UNITS["mean"], 4, 4, stride=2, padding=1)


def write_failing(directory: Path) -> None:
    """The run, its deep snapshots at `EARLIER` and `FAILED`."""
    session = write(directory, _records())
    keeper = Keeper(session, 1 << 30)
    for step in _steps():
        keeper.keep(step.tape, step.tensors, lasting=True)


def write_without(directory: Path) -> None:
    """The same without deep snapshots."""
    write(directory, _records())


def _steps() -> tuple[Step, Step]:
    module = network(Failing)
    optimizers = optimizers_of(module)
    earlier, _ = recorded(module, batch_of(Failing, 1), optimizers, EARLIER, 11)
    train(module, batch_of(Failing, 2), optimizers)
    later, _ = recorded(module, batch_of(Failing, 3), optimizers, FAILED, 12)
    bias = torch.zeros(_UNITS[HEAD])
    bias[DRIVEN] = 200.0  # exp overflows from 88.7 on
    return earlier, replace(later, tensors={**later.tensors, f"parameter.{HEAD}.bias": bias})


def _nodes() -> tuple[Node, ...]:
    def node(name: str, units: int = 0, kind: str = "module") -> Node:
        quantities = ("activation", "gradient") if units else ()
        return Node(name, name, name.rpartition(".")[0], units, (_PROGRAM,), quantities, shape=(6, units), kind=kind)

    modules = [node(name, units) for name, units in _UNITS.items()]
    return node("input", kind="input"), *modules[:4], node("exp", kind="op"), *modules[4:], node("loss", kind="loss")


def _records() -> list[Record]:
    nodes = _nodes()
    keys = (RowKey(node.name, _PROGRAM, quantity) for node in nodes for quantity in node.quantities)
    layout = Layout(tuple(Row(key, _UNITS[key.node]) for key in keys))
    edges = tuple(Edge(*edge) for edge in _EDGES)
    graph = Graph(0, nodes, edges, {"": "Vae", "encoder": "Sequential", "decoder": "Sequential"}, {_PROGRAM: "vae"})
    losses = np.array([[step, BEGAN + step, np.inf if step == FAILED else 2.0] for step in range(FAILED + 1)])
    return [
        Manifest(layout, nodes, BEGAN, {"dgm-tb": "0.1"}, {"every_n_steps": 1}),
        graph,
        StepTable(("step", "wall_time", "loss"), losses),
        *_snapshots(layout),
    ]


def _snapshots(layout: Layout) -> list[Snapshot]:
    rng = np.random.default_rng(0)
    made: list[Snapshot] = []
    for step in range(FAILED + 1):
        values = np.empty(layout.starts[-1], np.float32)
        for position, row in enumerate(layout.rows):
            channel = layout.row_of(values, position)
            mean = 0.5 + 0.02 * rng.normal(size=row.units)
            if row.key.node == HEAD and step == FAILED:
                mean[DRIVEN] = 200.0
            channel[COUNT], channel[MEAN], channel[M2], channel[ZEROS], channel[NONFINITE] = 96, mean, 1, 0, 0
            channel[MIN], channel[MAX], channel[len(STATISTICS) - 1] = mean - 0.5, mean + 0.5, 0
        context = np.full(len(CONTEXT), np.nan)
        context[:5] = BEGAN + step, 0, step, step, 1e-3
        before = made[-1].values if made else None
        made.append(Snapshot(step, context, values, aggregate_rows(values, layout.starts, before)))
    return made
