"""The store beside raw files, HDF5, zarr and Parquet; a 10 GB run; what a view costs as a run grows."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks import store_peers
from benchmarks.sampling import table
from benchmarks.store_load import SEED, Load, Written, warm_and_cold, write_ours, write_peer
from benchmarks.store_peers import PEERS, Numbers, Peer
from benchmarks.store_served import served
from dgm_tb.moments import STATISTICS
from dgm_tb.queries import aggregates, layer, neuron
from dgm_tb.store.run import Run

HEADING: Final = "Store"
PACKAGES: Final = ("numpy", "numba", "protobuf", "google-crc32c")

#: 20 layers × 512 units × 3 quantities × 8 statistics: as many numbers a snapshot (245,760) as 4,096 units with one.
SMALL: Final = Load(20, 512, 1000)
#: The same for ten times as long.
LARGE: Final = Load(20, 512, 10_500)
#: What is grown to 100 times the snapshots, and to 100 times the units.
BASE: Final = Load(1, 1000, 200)
#: A layer of a million units: 4 GB of means, beside the counts that a row always has.
WIDE: Final = Load(1, 1_000_000, 1000, ("activation",), ("count", "mean"))


@dataclass(frozen=True, slots=True)
class Questions:
    """The four readings: places in the load, the same for all stores."""

    load: Load
    row: int
    one: int
    scattered: tuple[tuple[int, int], ...]  # (row, series)
    units: NDArray[np.int64]  # a hundred of ``row``
    snapshot: int


def questions(load: Load) -> Questions:
    rng = np.random.default_rng(SEED)
    rows, series = rng.integers(0, load.rows, 100), rng.integers(0, load.series, 100)
    scattered = tuple(zip(rows.tolist(), series.tolist(), strict=True))
    units = np.sort(rng.choice(load.units, min(100, load.units), replace=False))
    return Questions(load, load.rows // 2, load.series // 8 + 7, scattered, units, load.snapshots // 2)


def read_peer(peer: Peer, asked: Questions) -> Mapping[str, Callable[[], object]]:
    first = asked.row // len(asked.load.quantities) * len(asked.load.quantities)

    def scattered() -> list[Numbers]:
        return [peer.series(row, np.array([series])) for row, series in asked.scattered]

    return {
        "one unit": lambda: peer.series(asked.row, np.array([asked.one])),
        "100 units of a layer": lambda: peer.series(asked.row, asked.load.units + asked.units),
        "100 of any layer and statistic": scattered,
        "one layer, 3 quantities": lambda: [peer.row(first + index) for index in range(len(asked.load.quantities))],
        "one snapshot": lambda: peer.snapshot(asked.snapshot),
    }


def read_ours(run: Run, asked: Questions) -> Mapping[str, Callable[[], object]]:
    """The same readings through the public reader; a series is a statistic and a unit."""
    keys = [row.key for row in asked.load.layout.rows]
    first = asked.row // len(asked.load.quantities) * len(asked.load.quantities)

    def series(row: int, number: int) -> Numbers:
        statistic, unit = divmod(number, asked.load.units)
        return run.read(keys[row], slice(None), units=np.array([unit]), statistics=(STATISTICS[statistic],))

    return {
        "one unit": lambda: series(asked.row, asked.one),
        "100 units of a layer": lambda: run.read(keys[asked.row], slice(None), units=asked.units, statistics=("mean",)),
        "100 of any layer and statistic": lambda: [series(row, number) for row, number in asked.scattered],
        "one layer, 3 quantities": lambda: [
            run.read(keys[first + index], slice(None)) for index in range(len(asked.load.quantities))
        ],
        "one snapshot": lambda: [run.read(key, slice(asked.snapshot, asked.snapshot + 1)) for key in keys],
    }


def compare(directory: Path, load: Load) -> str:
    """The table of all stores on one load."""
    asked, lines = questions(load), []
    run = directory / "ours"
    written = write_ours(run, load)
    with Run(run) as opened:
        reads = read_ours(opened, asked)
        lines.append(_line("**event files: journals, blocks**", load, written, reads, run))
    fresh = {name: _opened(run, asked, name) for name in reads}
    again = [warm_and_cold(read, run) for read in fresh.values()]
    lines.append(("the same, opening the run each time", "", "", "", *again))
    shutil.rmtree(run)
    for name, make in PEERS.items():
        if make.package in store_peers.missing():
            lines.append((f"{name}: `{make.package}` is not installed", *[""] * 7))
            continue
        peer = make(directory / "peer", load.snapshots, load.rows, load.series)
        written = write_peer(peer, load)
        lines.append(_line(name, load, written, read_peer(peer, asked), peer.path))
        shutil.rmtree(peer.path) if peer.path.is_dir() else peer.path.unlink()
    return table(("store", "enqueue ms mean (p99)", "append ms", "MB", *reads), lines)


def _opened(run: Path, asked: Questions, name: str) -> Callable[[], object]:
    def read() -> object:
        with Run(run) as opened:
            return read_ours(opened, asked)[name]()

    return read


def _line(
    name: str, load: Load, written: Written, reads: Mapping[str, Callable[[], object]], path: Path
) -> tuple[str, ...]:
    mean, p99 = written.enqueue
    times = [warm_and_cold(read, path) for read in reads.values()]
    append = 1000 * written.total / load.snapshots
    return (name, f"{mean:.3f} ({p99:.2f})", f"{append:.1f}", f"{written.bytes / 1e6:,.0f}", *times)


def growth(directory: Path, base: Load, factors: Sequence[int]) -> str:
    """The same views of runs of ever more snapshots, and of ever more units: milliseconds, warm, the run open."""
    lines = []
    for what in ("snapshots", "units"):
        for factor in factors:
            if factor == 1 and what == "units":
                continue
            load = replace(base, **{what: factor * getattr(base, what)})
            run = directory / "ours"
            write_ours(run, load)
            with Run(run, "ours") as opened:
                views = _views(opened, load)
                times = [warm_and_cold(view, run) for view in views.values()]
            lines.append((f"{load.snapshots:,} × {load.units:,}", f"{factor}× {what}", *times))
            shutil.rmtree(run)
    return table(("snapshots × units", "", *views), lines)


def _views(run: Run, load: Load) -> Mapping[str, Callable[[], object]]:
    last, node = load.snapshots - 1, "net.00"
    # Another focus each time: the views of a moment ago are kept, and this is not about that.
    focus = count(last // 2)
    return {
        "aggregates, whole": lambda: aggregates.answer(run, aggregates.Request("ours", first=0, last=last)),
        "layer, whole": lambda: layer.answer(run, layer.Request("ours", node, focus=next(focus), first=0, last=last)),
        "layer, window": lambda: layer.answer(run, layer.Request("ours", node, focus=next(focus))),
        "neuron, whole": lambda: neuron.answer(run, neuron.Request("ours", node, units=(3,))),
    }


@contextmanager
def _scratch() -> Iterator[Path]:
    """A directory on a real disk where there is one: ``TMPDIR`` names another."""
    with tempfile.TemporaryDirectory(prefix="dgm-store-") as directory:
        yield Path(directory)


def run(
    load: Load = SMALL,
    large: Sequence[Load] = (),
    base: Load = BASE,
    factors: Sequence[int] = (1, 10, 100),
) -> str:
    """The tables as Markdown."""
    parts = [
        f"{load.layers} layers × {load.units} units × 3 quantities × 8 statistics × {load.snapshots:,} snapshots, "
        f"float32: {load.bytes / 1e6:,.0f} MB of numbers, as many as {load.units * 8:,} units with one statistic. "
        "A *unit* below is one statistic of one unit over all snapshots, a layer all statistics of its three rows. "
        "Enqueue is what the training waits (peers: their append, of which every 64th writes a block), append the "
        "whole time a snapshot at full speed, blocks and rollups included; MB includes our rollups. Readings are "
        "`warm / cold` ms; cold after `posix_fadvise(DONTNEED)`. Peers open their file for each reading. The raw file "
        "has no checksums, which ours verifies in every reading."
    ]
    with _scratch() as directory:
        parts.append(compare(directory, load))
        parts.append(
            f"**The same view as the run grows**, `warm / cold` ms, one layer, three quantities, of {base.snapshots:,} "
            f"snapshots × {base.units:,} units:"
        )
        parts.append(growth(directory, base, factors))
        parts += [served(directory / f"run{number}", load) for number, load in enumerate(large)]
    if absent := store_peers.missing():
        parts.append(f"Not installed here: {', '.join(absent)} (`pip install 'dgm-tb[bench]'`).")
    return "\n\n".join(parts)


def run_in_full() -> str:
    """`run` and two runs served by TensorBoard, of 10 GB and of a million units: needs 15 GB of disk, some minutes."""
    return run(large=(LARGE, WIDE))
