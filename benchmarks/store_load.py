"""What the store's benchmarks record: numbers like a training's, as many as asked; writing and timing of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.store_peers import BLOCK, Numbers, Peer
from dgm_tb.moments import STATISTICS, aggregate_rows
from dgm_tb.records import CONTEXT, Layout, Manifest, Node, Row, RowKey, Snapshot
from dgm_tb.store.writer import RunWriter, new_session

SEED: Final = 0
PROGRAM: Final = "backward#0"
THREE: Final = ("activation", "gradient", "weight")
#: Repeats of a warm reading, and of a cold one; the median counts.
REPEATS: Final = 9
COLD_REPEATS: Final = 3
#: Bytes of snapshots that are made beforehand.
_MADE: Final = 1 << 28


@dataclass(frozen=True, slots=True)
class Load:
    """``layers`` of ``units`` with these quantities and statistics of every unit, float32."""

    layers: int
    units: int
    snapshots: int
    quantities: tuple[str, ...] = THREE
    statistics: tuple[str, ...] = STATISTICS

    @property
    def layout(self) -> Layout:
        return Layout(
            tuple(
                Row(RowKey(f"net.{index:02d}", PROGRAM, quantity), self.units, self.statistics)
                for index in range(self.layers)
                for quantity in self.quantities
            )
        )

    @property
    def rows(self) -> int:
        return self.layers * len(self.quantities)

    @property
    def series(self) -> int:
        return self.units * len(self.statistics)

    @property
    def bytes(self) -> int:
        return 4 * self.snapshots * self.rows * self.series


def snapshots(load: Load) -> Iterator[Snapshot]:
    """Some numbers made before the first is yielded (two blocks' worth, if they fit), then these again and again."""
    fits = max(2, _MADE // (load.bytes // load.snapshots))
    made = list(_made(load, min(load.snapshots, 2 * BLOCK, fits)))
    for step in range(load.snapshots):
        yield replace(made[step % len(made)], step=step)


def _made(load: Load, count: int) -> Iterator[Snapshot]:
    """Numbers like a training's: drifting means, positive spreads, whole counts, a sample a unit, none non-finite."""
    rng = np.random.default_rng(SEED)
    starts = replace(load, statistics=STATISTICS).layout.starts
    kept = [STATISTICS.index(statistic) for statistic in load.statistics]
    mean = rng.standard_normal((load.rows, load.units), np.float32)
    seen, m2, zeros = np.float32(128), np.abs(mean) + 1, np.zeros_like(mean)
    before: Numbers | None = None
    for index in range(count):
        noise = rng.standard_normal((load.rows, load.units), np.float32)
        mean = np.float32(0.99) * mean + np.float32(0.1) * noise
        spread = np.sqrt(m2 / seen) * (3 + np.abs(noise))
        zeros = np.clip(zeros + np.rint(noise), 0, 128).astype(np.float32)
        sample = np.rint(np.abs(noise) * 40) % 128
        rows = [np.full_like(mean, seen), mean, m2 * (1 + 0.01 * noise), mean - spread, mean + spread, zeros]
        whole = np.stack([*rows, np.zeros_like(mean), sample], axis=1).astype(np.float32)
        values = whole.reshape(-1)
        context = np.full(len(CONTEXT), np.nan)
        context[0] = 1.7e9 + index
        yield Snapshot(index, context, whole[:, kept].reshape(-1), aggregate_rows(values, starts, before))
        before = values


@dataclass(frozen=True, slots=True)
class Written:
    """``enqueue``: mean and 99th percentile of what the training waits, ms; ``total``: seconds until all is written."""

    enqueue: tuple[float, float]
    total: float
    bytes: int
    snapshots: int

    @property
    def each(self) -> float:
        """Milliseconds a snapshot."""
        return 1000 * self.total / self.snapshots


def _itself(snapshot: Snapshot) -> Snapshot:
    return snapshot


def write_ours(run: Path, load: Load) -> Written:
    """Records ``load`` as fast as the writer takes it, blocks and rollups included."""
    enqueue: list[float] = []
    layout = load.layout
    nodes = tuple(
        Node(f"net.{index:02d}", "Linear", "net", load.units, (PROGRAM,), load.quantities)
        for index in range(load.layers)
    )
    writer = RunWriter(run / "plugins" / "dgm", session=new_session())
    writer.submit(lambda: Manifest(layout, nodes, time.time(), {}, {"every_n_steps": 1}), essential=True)
    made = snapshots(load)
    first = next(made)
    os.sync()  # what was written before is not to be written while this is timed; likewise below
    started = time.perf_counter()
    for snapshot in chain([first], made):
        begun = time.perf_counter()
        submitted = writer.submit(partial(_itself, snapshot))
        enqueue.append(time.perf_counter() - begun)
        while not submitted:  # its queue is full
            assert writer.failure is None, writer.failure
            time.sleep(0.001)  # as long as an append takes: a training would go on instead
            submitted = writer.submit(partial(_itself, snapshot))
    writer.close(timeout=600)
    assert writer.failure is None, writer.failure
    return Written(_spread(enqueue), time.perf_counter() - started, size_of(run), load.snapshots)


def write_peer(peer: Peer, load: Load) -> Written:
    appended = []
    os.sync()  # likewise
    for snapshot in snapshots(load):
        numbers = snapshot.values.reshape(load.rows, load.series)
        begun = time.perf_counter()
        peer.append(numbers)
        appended.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    peer.close()
    spent = sum(appended) + time.perf_counter() - begun
    return Written(_spread(appended), spent, size_of(peer.path), load.snapshots)


def _spread(seconds: Sequence[float]) -> tuple[float, float]:
    return 1000 * float(np.mean(seconds)), 1000 * float(np.percentile(seconds, 99))


def size_of(path: Path) -> int:
    return sum(file.stat().st_size for file in _files(path))


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


def chill(path: Path) -> None:
    """Drops the files' pages from the page cache, after writing them to the disk."""
    os.sync()
    for file in _files(path):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds."""

    warm: float
    cold: float

    def __str__(self) -> str:
        return f"{self.warm:,.1f} / {self.cold:,.0f}"


def side_by_side(reads: Sequence[tuple[Callable[[], object], Path]]) -> list[Times]:
    """The medians of some readings in turn, and of some that each follow a `chill` of their files."""
    os.sync()  # likewise
    for read, _ in reads:
        read()
    warm = [[_milliseconds(read) for read, _ in reads] for _ in range(REPEATS)]
    cold = [[_cold(read, path) for read, path in reads] for _ in range(COLD_REPEATS)]
    return [Times(*map(float, times)) for times in zip(np.median(warm, axis=0), np.median(cold, axis=0), strict=True)]


def warm_and_cold(read: Callable[[], object], path: Path) -> Times:
    """`side_by_side` of one."""
    return side_by_side([(read, path)])[0]


def _cold(read: Callable[[], object], path: Path) -> float:
    chill(path)
    return _milliseconds(read)


def _milliseconds(read: Callable[[], object]) -> float:
    begun = time.perf_counter()
    read()
    return 1000 * (time.perf_counter() - begun)
