"""The levels of one segment: journals that become blocks, and roll up into the level above."""

from __future__ import annotations

import logging
import os
from io import FileIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import FormatError
from dgm_tb.records import Layout, Snapshot, rolled_layout
from dgm_tb.store.blockwriter import write_block
from dgm_tb.store.budget import Budget
from dgm_tb.store.parts import PART_SNAPSHOTS, ROLL, Part
from dgm_tb.store.rollups import roll_up
from dgm_tb.store.snapshots import SnapshotEncoder

#: How much larger than the last the next block may be, of equally many snapshots: constants and halves come and go.
_SLACK: Final = 1.1

_log = logging.getLogger(__name__)


class Tier:
    """One level of a segment and, from its first point on, those above; on the writer's thread.

    At every byte that is written what was there before is whole: a block is complete before its journal goes, and a
    point is written while the snapshots that it rolls up are still there.
    """

    def __init__(
        self, directory: Path, segment: int, layout: Layout, budget: Budget, *, level: int = 0, half: bool = False
    ) -> None:
        self._directory, self._segment, self._level = directory, segment, level
        self._encoder = SnapshotEncoder(layout)
        self._budget, self._half = budget, half
        self._written = 0
        self._file: FileIO | None = None
        self._above: Tier | None = None
        self._rolls = True
        self._narrow = 1.0  # a block's size by its journal's

    def append(self, snapshot: Snapshot) -> bool:
        """Writes a snapshot, and the points and the block that it completes; False where the budget has no room.

        Points are written even then, for a point's place tells what it covers. Raises `FormatError` for a snapshot of
        another layout and `OSError`.
        """
        data = self._encoder.encode(snapshot)
        if not self._budget.room(len(data)) and not self._level:
            return False
        part = Part(self._level, self._segment, self._written // PART_SNAPSHOTS)
        if self._written % PART_SNAPSHOTS == 0:
            self._file = self._new(part.journal)
        assert self._file is not None
        append(self._file, data)
        self._budget.changed(len(data))
        self._written += 1
        if self._written % ROLL == 0:
            self._roll(part)
        if self._written % PART_SNAPSHOTS == 0:
            self._turn(part)
        return True

    def close(self) -> None:
        """Closes this level and those above; unfinished journals stay as they are."""
        if self._file is not None:
            self._file.close()
        if self._above is not None:
            self._above.close()

    def _roll(self, part: Part) -> None:
        """Adds the point of the last `ROLL` snapshots to the level above."""
        if not self._rolls:
            return
        last = (self._written - 1) % PART_SNAPSHOTS + 1
        form = self._encoder.format
        try:
            with open(self._directory / part.journal, "rb", buffering=0) as file:
                point = roll_up(file, form, range(last - ROLL, last))
            self._above = self._above or self._next()
            self._above.append(point)
        except FormatError as error:  # a point's place tells what it covers: there are none after a missing one
            self._rolls = False
            _log.warning("%s: snapshots are not rolled up from here on: %s", self._directory, error)

    def _new(self, name: str) -> FileIO:
        return open(self._directory / name, "xb", buffering=0)

    def _next(self) -> Tier:
        layout = rolled_layout(self._encoder.format.layout)
        return Tier(self._directory, self._segment, layout, self._budget, level=self._level + 1, half=self._half)

    def _turn(self, part: Part) -> None:
        """Makes a block of the full journal; where that cannot be, it stays a journal."""
        assert self._file is not None
        self._file.close()
        journal = self._directory / part.journal
        size = PART_SNAPSHOTS * self._encoder.format.length
        if not self._budget.room(int(size * min(1.0, _SLACK * self._narrow)), passing=True) or not journal.exists():
            return  # also where making room took this very journal
        try:
            made = write_block(self._directory / part.block, self._encoder.format, journal, half=self._half)
        except FormatError as error:
            _log.warning("%s stays as it is: %s", journal, error)
            return
        self._narrow = made / size
        journal.unlink(missing_ok=True)  # pruning may have come before us
        self._budget.changed(made - size)


def append(file: FileIO, data: bytes | NDArray[np.uint8]) -> None:
    """Writes all of ``data`` through to the system. Raises `OSError`, also where the file was deleted meanwhile."""
    if os.fstat(file.fileno()).st_nlink == 0:
        raise FileNotFoundError(f"{file.name} was deleted while it was being written")
    view = memoryview(data)  # type: ignore[arg-type]  # an array is a buffer
    while view:
        view = view[file.write(view) or 0 :]
