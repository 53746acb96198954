"""The least that a cold reading of a run's files can take: `pread` of the same bytes by 16 threads, nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.store_load import Load
from dgm_tb.store.blockforms import NUMBER, data_size
from dgm_tb.store.blocks import Block
from dgm_tb.store.columns import CONSTANT, PAGE_UNITS
from dgm_tb.store.parts import PART_SNAPSHOTS, parse
from dgm_tb.store.snapshots import snapshot_format

#: As many as the store's own.
_THREADS: Final = 16


@dataclass(frozen=True, slots=True)
class Stretch:
    """``size`` bytes of a file from byte ``at`` on."""

    path: str
    at: int
    size: int


class Files:
    """Where the numbers of a run of one session and segment stand, level 0 alone."""

    def __init__(self, run: Path, load: Load) -> None:
        (session,) = (run / "plugins" / "dgm").iterdir()
        self._form = snapshot_format(load.layout)
        parts = {path: part for path in sorted(session.iterdir()) if (part := parse(path.name)) and not part.level}
        self._blocks = {str(path): Block.open(str(path), self._form) for path in parts if path.name.startswith("block")}
        self._journals = {str(path): path.stat().st_size for path in parts if path.name.startswith("journal")}
        self._first = [part.part * PART_SNAPSHOTS for path, part in parts.items() if path.name.startswith("block")]

    def series(self, row: int, channel: int, units: Iterable[int]) -> Iterator[Stretch]:
        """The pages that hold these units of a row's channel, and in journals the row up to the last of them."""
        pages = sorted({unit // PAGE_UNITS for unit in units})
        for path, block in self._blocks.items():
            entry = int(block.form.first[row]) + channel
            if block.kinds[entry] != CONSTANT:
                size = PAGE_UNITS * block.form.snapshots * NUMBER[int(block.kinds[entry])]
                yield from (Stretch(path, int(block.places[entry]) + page * size, size) for page in pages)
        width = self._form.layout.rows[row].units
        for path, begin in self._frames():
            first = 4 * (channel * width + pages[0] * PAGE_UNITS)
            size = 4 * PAGE_UNITS * (pages[-1] - pages[0] + 1)
            yield Stretch(path, begin + int(self._form.rows_at[row]) + first, size)

    def rows(self, rows: Iterable[int]) -> Iterator[Stretch]:
        """Everything of these rows."""
        for row in rows:
            channels, units = len(self._form.layout.rows[row].channels), self._form.layout.rows[row].units
            for path, block in self._blocks.items():
                yield from _entries(path, block, row, channels)
            for path, begin in self._frames():
                yield Stretch(path, begin + int(self._form.rows_at[row]), 4 * channels * units)

    def snapshot(self, index: int) -> Iterator[Stretch]:
        """All of the block that a snapshot lies in: a page of it holds one of every unit's numbers of 64 snapshots."""
        place = int(np.searchsorted(self._first, index, "right")) - 1
        path, block = list(self._blocks.items())[place]
        for row in range(len(self._form.layout.rows)):
            yield from _entries(path, block, row, len(self._form.layout.rows[row].channels))

    def _frames(self) -> Iterator[tuple[str, int]]:
        for path, size in self._journals.items():
            yield from ((path, begin) for begin in range(0, size, self._form.length))


def _entries(path: str, block: Block, row: int, channels: int) -> Iterator[Stretch]:
    for entry in range(int(block.form.first[row]), int(block.form.first[row]) + channels):
        if block.kinds[entry] != CONSTANT:
            yield Stretch(path, int(block.places[entry]), data_size(block.form, entry, int(block.kinds[entry])))


def bare_reads(
    run: Path, load: Load, row: int, one: int, units: list[int], scattered: Iterable[tuple[int, int]], snapshot: int
) -> Mapping[str, Callable[[], object]]:
    """The readings of `benchmarks.store.read_ours` by their names, as bytes of which nothing is made."""
    files, three = Files(run, load), len(load.quantities)
    first = row // three * three

    def series(of: int, number: int) -> Iterator[Stretch]:
        channel, unit = divmod(number, load.units)
        return files.series(of, channel, [unit])

    wanted = {
        "one unit": list(series(row, one)),
        "100 units of a layer": list(files.series(row, 1, units)),
        "100 of any layer and statistic": [stretch for of, number in scattered for stretch in series(of, number)],
        "one layer, 3 quantities": list(files.rows(range(first, first + three))),
        "one snapshot": list(files.snapshot(snapshot)),
    }
    return {name: _reading(stretches) for name, stretches in wanted.items()}


def _reading(stretches: list[Stretch]) -> Callable[[], object]:
    def read() -> int:
        opened = {path: os.open(path, os.O_RDONLY) for path in {stretch.path for stretch in stretches}}
        try:
            with ThreadPoolExecutor(_THREADS) as pool:
                return sum(pool.map(lambda of: len(os.pread(opened[of.path], of.size, of.at)), stretches))
        finally:
            for descriptor in opened.values():
                os.close(descriptor)

    return read
