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

from benchmarks import store_goals, store_peers
from benchmarks.store_bare import bare_reads
from benchmarks.store_budget import BUDGETS, kept
from benchmarks.store_goals import Goal
from benchmarks.store_load import SEED, Load, Times, Written, side_by_side, warm_and_cold, write_ours, write_peer
from benchmarks.store_peers import PEERS, Numbers, Peer, Raw
from benchmarks.store_served import listed, served
from benchmarks.tables import table
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
#: As many series, of a node's quantity each with all its units, as there were tags in tensorflow/tensorboard#4170.
MANY: Final = Load(4115, 4, 80)
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


def compare(directory: Path, load: Load) -> tuple[str, list[Goal]]:
    """The table of all stores on one load, and what it says of the goals."""
    asked, lines = questions(load), []
    run, before = directory / "ours", directory / "before"
    raw = Raw(directory / "raw", load.snapshots, load.rows, load.series)
    # Once without looking: a virtual machine first has to get so much memory for its page cache from its host.
    write_ours(before, load)
    write_peer(raw, load)
    raw.path.unlink()
    shutil.rmtree(before)
    written = write_ours(run, load)
    raw = Raw(directory / "raw", load.snapshots, load.rows, load.series)
    raw_written = write_peer(raw, load)
    with Run(run) as opened:
        reads = read_ours(opened, asked)
        from_raw = read_peer(raw, asked)
        bare = bare_reads(run, load, asked.row, asked.one, asked.units.tolist(), asked.scattered, asked.snapshot)
        ours, as_raw, least = dict[str, Times](), dict[str, Times](), dict[str, Times]()
        for name, read in reads.items():
            in_turn = (read, run), (from_raw[name], raw.path), (bare[name], run)
            ours[name], as_raw[name], least[name] = side_by_side(in_turn)
        appending = store_goals.where_appending(directory / "again", load, min(load.snapshots, 256))
        goals = [
            Goal("append, a snapshot", written.each, store_goals.APPEND, "ms", appending),
            Goal("enqueue, what the training waits", written.enqueue[0], store_goals.ENQUEUE, "ms"),
            *store_goals.of_readings(ours, as_raw, least, reads),
        ]
    lines.append(_line("**event files: journals, blocks**", written, ours))
    fresh = {name: _opened(run, asked, name) for name in reads}
    lines.append(("the same, opening the run each time", "", "", "", *map(str, _times(fresh, run).values())))
    lines.append(("the same bytes, bare `pread`", "", "", "", *map(str, least.values())))
    for path in (run, directory / "again"):
        shutil.rmtree(path)
    raw.path.unlink()
    for name, make in PEERS.items():
        if make.package in store_peers.missing():
            lines.append((f"{name}: `{make.package}` is not installed", *[""] * 7))
            continue
        if make is Raw:
            lines.append(_line(name, raw_written, as_raw))
            continue
        peer = make(directory / "peer", load.snapshots, load.rows, load.series)
        written = write_peer(peer, load)
        lines.append(_line(name, written, _times(read_peer(peer, asked), peer.path)))
        shutil.rmtree(peer.path) if peer.path.is_dir() else peer.path.unlink()
    return table(("store", "enqueue ms mean (p99)", "append ms", "MB", *reads), lines), goals


def _times(reads: Mapping[str, Callable[[], object]], path: Path) -> dict[str, Times]:
    return {name: warm_and_cold(read, path) for name, read in reads.items()}


def _opened(run: Path, asked: Questions, name: str) -> Callable[[], object]:
    def read() -> object:
        with Run(run) as opened:
            return read_ours(opened, asked)[name]()

    return read


def _line(name: str, written: Written, times: Mapping[str, Times]) -> tuple[str, ...]:
    mean, p99 = written.enqueue
    told = f"{mean:.3f} ({p99:.2f})", f"{written.each:.1f}", f"{written.bytes / 1e6:,.0f}"
    return (name, *told, *map(str, times.values()))


def growth(directory: Path, base: Load, factors: Sequence[int]) -> tuple[str, list[Goal]]:
    """The same views of runs of ever more snapshots, and of ever more units: milliseconds, warm, the run open."""
    lines = []
    grown: dict[int, dict[str, Times]] = {}
    profiles: dict[int, dict[str, str]] = {}
    for what in ("snapshots", "units"):
        for factor in factors:
            if factor == 1 and what == "units":
                continue
            load = replace(base, **{what: factor * getattr(base, what)})
            run = directory / "ours"
            write_ours(run, load)
            with Run(run, "ours") as opened:
                views = _views(opened, load)
                times = _times(views, run)
                if what == "snapshots":
                    grown[load.snapshots] = times
                    profiles[load.snapshots] = {name: store_goals.where(view) for name, view in views.items()}
            lines.append((f"{load.snapshots:,} × {load.units:,}", f"{factor}× {what}", *map(str, times.values())))
            shutil.rmtree(run)
    return table(("snapshots × units", "", *views), lines), list(store_goals.of_growth(grown, profiles))


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
    many: Load = MANY,
    base: Load = BASE,
    factors: Sequence[int] = (1, 10, 100),
    budgets: Sequence[int] = BUDGETS,
) -> str:
    """The tables as Markdown."""
    parts = [
        f"{load.layers} layers × {load.units} units × 3 quantities × 8 statistics × {load.snapshots:,} snapshots, "
        f"float32: {load.bytes / 1e6:,.0f} MB of numbers, as many as {load.units * 8:,} units with one statistic. "
        "A *unit* below is one statistic of one unit over all snapshots, a layer all statistics of its three rows. "
        "Enqueue is what the training waits (peers: their append, of which every 64th writes a block), append the "
        "whole time a snapshot at full speed, blocks and rollups included; MB includes our rollups. Readings are "
        "`warm / cold` ms; cold after `posix_fadvise(DONTNEED)`. Peers open their file for each reading. The raw file "
        "has no checksums, which ours verifies in every reading. *Bare `pread`* reads the bytes of our files that hold "
        "the answer, 16 at a time, and makes nothing of them; ours, bare and raw readings are taken in turn."
    ]
    with _scratch() as directory:
        compared, goals = compare(directory, load)
        parts.append(compared)
        parts.append(
            f"**The same view as the run grows**, `warm / cold` ms, one layer, three quantities, of {base.snapshots:,} "
            f"snapshots × {base.units:,} units:"
        )
        grown, more = growth(directory, base, factors)
        parts.append(grown)
        for number, wanted in enumerate(large):
            told, first = served(directory / f"run{number}", wanted)
            parts.append(told)
            goals += first
        told, first = listed(directory / "many", many)
        parts.append(told)
        parts.append(
            "**Disk budget**, what is taken of it in a run of 30 times as many steps as it holds snapshots, of 24 rows "
            "of 32 units; parts of 64 snapshots go whole, those of 64 rolled-up points are as large as 192:"
        )
        told, budget = kept(directory, budgets)
        parts.append(told)
        parts.append("**Goals**\n\n" + store_goals.verdict([*goals, *first, *budget, *more]))
    if absent := store_peers.missing():
        parts.append(f"Not installed here: {', '.join(absent)} (`pip install 'dgm-tb[bench]'`).")
    return "\n\n".join(parts)


def run_in_full() -> str:
    """`run` and two runs served by TensorBoard, of 10 GB and of a million units: needs 15 GB of disk, some minutes."""
    return run(large=(LARGE, WIDE))
