"""Small records, and runs of them, for the tests of the store."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from dgm_tb.moments import COUNT, DERIVED, M2, NONFINITE, REDUCTIONS, STATISTICS, ZEROS
from dgm_tb.records import CONTEXT, Edge, Graph, Layout, Manifest, Node, Record, Row, RowKey, Snapshot, StepTable
from dgm_tb.store.blockwriter import write_block
from dgm_tb.store.snapshots import SnapshotEncoder, snapshot_format
from dgm_tb.store.writer import RunWriter

SESSION = "20261124T061530Z-1a2b3c4d"
LATER = "20261124T071530Z-1a2b3c4d"
BEGAN = 1_795_500_930.0

A, B = RowKey("net.a", "backward#0", "activation"), RowKey("net.b#1", "backward#0", "gradient")
LAYOUT = Layout((Row(A, 3), Row(B, 2)))
NODES = (Node("net.a", "Linear", "net", 3, ("backward#0",), ("activation",)), Node("net.b#1", "ReLU", "net", 2))
GRAPH = Graph(0, NODES, (Edge("net.a", "net.b#1"),), {"net": "Net"}, {"backward#0": "loss"})


def manifest(layout: Layout = LAYOUT, created: float = BEGAN) -> Manifest:
    return Manifest(layout, NODES, created, {"dgm-tb": "0.1.0"}, {"every_n_steps": 5})


def snapshot(step: int, layout: Layout = LAYOUT, seed: int = 0) -> Snapshot:
    """Numbers that tell the step, the row and the seed apart, all of them finite."""
    rng = np.random.default_rng([step, seed])
    context = np.arange(len(CONTEXT), dtype=np.float64) + step / 7
    context[0] = BEGAN + step
    values = rng.normal(size=layout.starts[-1]).astype(np.float32)
    aggregates = rng.normal(size=(len(layout.rows), len(DERIVED), len(REDUCTIONS))).astype(np.float32)
    return Snapshot(step, context, values, aggregates)


def plausible(step: int, seed: int = 0) -> Snapshot:
    """As `snapshot`, with counts that can be: merging ranks divides by them."""
    made = snapshot(step, seed=seed)
    for index in range(len(LAYOUT.rows)):
        row = LAYOUT.row_of(made.values, index)
        row[COUNT], row[NONFINITE], row[ZEROS] = 4 + seed, 0, 1
        row[M2] = np.abs(row[M2])
    return made


def table(steps: Iterable[int], loss: float = 1.0, wall_time: float = BEGAN) -> StepTable:
    return StepTable(("step", "wall_time", "loss"), np.array([[step, wall_time, loss + step] for step in steps]))


def write(
    run: Path, records: Iterable[Record], *, session: str = SESSION, rank: int = 0, reason: str | None = "finished"
) -> Path:
    """Writes a session and answers its directory; without a ``reason`` it looks as if it was killed."""
    bulk = run / "plugins" / "dgm"
    with RunWriter(bulk, session=session, rank=rank, clock=lambda: BEGAN) as writer:
        for record in records:
            assert writer.submit(lambda record=record: record, essential=True)  # type: ignore[misc]
    assert writer.failure is None, writer.failure
    if reason is None:
        (writer.directory / "end").unlink()
    return writer.directory


def block(directory: Path, layout: Layout, snapshots: list[Snapshot], *, half: bool = False) -> Path:
    """Writes snapshots as a journal and as its block beside it; where the block is."""
    directory.mkdir(exist_ok=True)
    encoder = SnapshotEncoder(layout)
    journal = directory / "journal-00000-00000"
    journal.write_bytes(b"".join(encoder.encode(snapshot).tobytes() for snapshot in snapshots))
    path = directory / "block-00000-00000"
    size = write_block(path, snapshot_format(layout), journal, half=half)
    assert size == path.stat().st_size
    assert sorted(entry.name for entry in directory.iterdir()) == [path.name, journal.name]
    return path


def small_block(directory: Path) -> tuple[Path, Layout, list[Snapshot]]:
    """A block of four snapshots, with a constant channel."""
    layout = Layout((Row(A, 20, ("count", "mean")), Row(B, 1, ("count", "m2"))))
    snapshots = [snapshot(step, layout) for step in range(4)]
    for one in snapshots:
        layout.row_of(one.values, 0)[0] = 7.0
    return block(directory, layout, snapshots), layout, snapshots


def bits(values: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.integer]:
    """The values' bits, so that NaNs compare."""
    return np.ascontiguousarray(values).view(np.uint32 if values.dtype == np.float32 else np.uint64)


_names = st.text(st.characters(codec="utf-8"), max_size=12)
keys = st.builds(RowKey, _names, _names, _names)
channels = st.just(STATISTICS) | st.sets(st.sampled_from(STATISTICS[1:])).map(lambda some: ("count", *sorted(some)))


def _layouts(rows: st.SearchStrategy[Row]) -> st.SearchStrategy[Layout]:
    return st.lists(rows, max_size=5, unique_by=lambda row: row.key).map(lambda rows: Layout(tuple(rows)))


layouts = _layouts(st.builds(Row, keys, st.integers(0, 6)))
#: Layouts in which a person chose some statistics only of a row.
restricted_layouts = _layouts(st.builds(Row, keys, st.integers(0, 6), channels))


@st.composite
def snapshots(draw: st.DrawFn, layout: Layout) -> Snapshot:
    """Any bits at all: NaNs with payloads, infinities, denormals."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (len(layout.rows), *layout.aggregate_shape)
    return Snapshot(
        step=draw(st.integers(-(2**63), 2**63 - 1)),
        context=rng.integers(0, 2**64, len(CONTEXT), np.uint64).view(np.float64),
        values=rng.integers(0, 2**32, int(layout.starts[-1]), np.uint32).view(np.float32),
        aggregates=rng.integers(0, 2**32, shape, np.uint32).view(np.float32),
    )
