"""Journals: files of equally long snapshots, followed as they grow and read a row at a time."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.records import CONTEXT
from dgm_tb.store import framing
from dgm_tb.store.parts import PART_SNAPSHOTS
from dgm_tb.store.snapshots import SnapshotFormat, read_head

#: Bytes of a row that are held at once beside what is asked for, or a channel where that is longer.
_PIECE: Final = 1 << 20


def open_file(path: str) -> FileIO:
    """A file for reading at places of one's own; a symbolic link in its place is refused where the system can."""
    follow = getattr(os, "O_NOFOLLOW", 0)
    return open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | follow))


@dataclass(slots=True)
class Heads:
    """The steps and contexts of a part's snapshots that are whole and undamaged; ``frames`` are their places in it."""

    steps: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    context: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, len(CONTEXT))))
    frames: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(slots=True)
class JournalFollower:
    """A file of equally long frames: the heads of those that are whole and undamaged."""

    path: Path
    form: SnapshotFormat
    heads: Heads = field(default_factory=Heads)
    damaged: int = 0
    trouble: str | None = None

    @property
    def known_size(self) -> int:
        return int(self.heads.frames[-1] + 1) * self.form.length if len(self.heads.frames) else 0

    def advance(self, size: int) -> bool:
        """Looks at frames after the last good one; damaged last ones are tried again, their bytes may come late.

        Raises FileNotFoundError where the file is gone.
        """
        known = len(self.heads.frames)
        whole = min(size // self.form.length, PART_SNAPSHOTS)
        start = int(self.heads.frames[-1]) + 1 if known else 0
        if start == whole and (known or size < framing.HEADER.size):
            return False
        try:
            with open_file(str(self.path)) as file:
                self.trouble = None if known else self._misfit(file.read(framing.HEADER.size))
                self._take(file, range(start, whole))
        except FileNotFoundError:
            raise
        except OSError as error:
            self.trouble = f"cannot be read: {error.strerror}"
        self.damaged = whole - len(self.heads.frames)
        if size // self.form.length > PART_SNAPSHOTS:
            self.trouble = f"holds more than {PART_SNAPSHOTS} snapshots; the others are not read"
        return len(self.heads.frames) > known

    def _misfit(self, data: bytes) -> str | None:
        """What is wrong with a file whose first bytes ``data`` do not announce a snapshot of this layout."""
        if self.form.head.startswith(data):
            return None
        if data != framing.header(framing.HEADER.unpack(data)[0]):
            return "does not begin with a record"
        length, expected = framing.HEADER.unpack(data)[0], self.form.length - framing.OVERHEAD
        return f"has records of {length:,} bytes, the layout in its manifest makes {expected:,}"

    def _take(self, file: FileIO, frames: range) -> None:
        found = {}
        for index in frames:
            file.seek(index * self.form.length)
            data = file.read(len(self.form.head))
            head = read_head(self.form, data) if len(data) == len(self.form.head) else None
            if head is not None:
                found[index] = head
        if found:
            old = self.heads
            self.heads = Heads(
                np.concatenate([old.steps, np.array([head.step for head in found.values()], np.int64)]),
                np.concatenate([old.context, np.stack([head.context for head in found.values()])]),
                np.concatenate([old.frames, np.array(list(found), np.int64)]),
            )


def read_checked(file: FileIO, crc_at: int, at: int, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    """The float32 values at byte ``at``; None where they do not match the checksum shortly before, at ``crc_at``."""
    values = np.empty(shape, np.float32)
    file.seek(crc_at)
    check = file.read(at - crc_at)[:4]
    data = values.reshape(-1).view(np.uint8)
    good = file.readinto(data) == data.size and check == framing.FOOTER.pack(framing.crc32c(data))  # type: ignore[arg-type]
    return values if good else None


def read_row(
    file: FileIO,
    form: SnapshotFormat,
    frame: int,
    row: int,
    places: Sequence[int],
    units: NDArray[np.integer] | None,
    out: NDArray[np.float32],
) -> bool:
    """Puts the channels at ``places`` of a row into ``out`` ``(places, units)``, NaN for -1; whether it is undamaged.

    All of the row is read, since it has one checksum, but held piece by piece. Where that is wrong so is ``out``.
    Nothing is read where the row stores none of the channels.
    """
    if max(places, default=-1) < 0:
        out[:] = np.nan
        return True
    stored = form.layout.rows[row]
    channels, begin = len(stored.channels), frame * form.length
    crc_at, at = begin + int(form.row_crcs_at[row]), begin + int(form.rows_at[row])
    file.seek(crc_at)
    check = file.read(at - crc_at)[:4]
    together = min(channels, max(1, _PIECE // max(1, 4 * stored.units)))
    scratch = np.empty((together, stored.units), np.float32)
    crc = 0
    for first in range(0, channels, max(1, together)):
        piece = scratch[: channels - first]
        data = piece.reshape(-1).view(np.uint8)
        if file.readinto(data) != data.size:  # type: ignore[arg-type]  # an array is a buffer
            check = b""
            break
        crc = framing.crc32c(data, crc)
        for index, place in enumerate(places):
            if first <= place < first + len(piece):
                out[index] = piece[place - first] if units is None else piece[place - first, units]
    if check != framing.FOOTER.pack(crc):
        return False
    out[[index for index, place in enumerate(places) if place < 0]] = np.nan
    return True


class Damage:
    """Rows whose checksum was wrong when they were read; shared by a run and what it pinned."""

    def __init__(self) -> None:
        self._places: set[Hashable] = set()

    def note(self, place: Hashable, damaged: bool) -> None:
        if damaged:
            self._places.add(place)
        elif self._places:  # the bytes came late after all
            self._places.discard(place)

    def problems(self) -> tuple[str, ...]:
        count = len(self._places)
        return (f"damaged rows, shown as not recorded: {count}",) if count else ()
