"""Journals: files of equally long snapshots, followed as they grow and read a row at a time."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dgm_tb.store import framing
from dgm_tb.store.snapshots import Head, SnapshotFormat, read_head
from dgm_tb.store.writer import JOURNAL_SNAPSHOTS


@dataclass(frozen=True, slots=True)
class Journal:
    """A file of snapshots; frame *i* begins at ``i · form.length``. ``identity`` differs for a file made anew."""

    path: str
    form: SnapshotFormat
    identity: int


def open_file(path: str) -> FileIO:
    """A file for reading at places of one's own; a symbolic link in its place is refused where the system can."""
    follow = getattr(os, "O_NOFOLLOW", 0)
    return open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | follow))


@dataclass(slots=True)
class JournalFollower:
    """A file of equally long frames: the heads of those that are whole and undamaged."""

    path: Path
    form: SnapshotFormat
    heads: list[Head] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    damaged: int = 0
    trouble: str | None = None

    @property
    def known_size(self) -> int:
        return (self.frames[-1] + 1) * self.form.length if self.frames else 0

    def advance(self, size: int) -> bool:
        """Looks at frames after the last good one; damaged last ones are tried again, their bytes may come late."""
        whole = min(size // self.form.length, JOURNAL_SNAPSHOTS)
        start = self.frames[-1] + 1 if self.frames else 0
        if start == whole and (self.frames or size < framing.HEADER.size):
            return False
        known = len(self.frames)
        try:
            with open_file(str(self.path)) as file:
                self.trouble = None if self.frames else self._misfit(file.read(framing.HEADER.size))
                for index in range(start, whole):
                    file.seek(index * self.form.length)
                    self._take(index, file.read(len(self.form.head)))
        except OSError as error:
            self.trouble = f"cannot be read: {error.strerror}"
        self.damaged = whole - len(self.frames)
        if size // self.form.length > JOURNAL_SNAPSHOTS:
            self.trouble = f"holds more than {JOURNAL_SNAPSHOTS} snapshots; the others are not read"
        return len(self.frames) > known

    def _misfit(self, data: bytes) -> str | None:
        """What is wrong with a file whose first bytes ``data`` do not announce a snapshot of this layout."""
        if self.form.head.startswith(data):
            return None
        if data != framing.header(framing.HEADER.unpack(data)[0]):
            return "does not begin with a record"
        length, expected = framing.HEADER.unpack(data)[0], self.form.length - framing.OVERHEAD
        return f"has records of {length:,} bytes, the layout in its manifest makes {expected:,}"

    def _take(self, index: int, data: bytes) -> None:
        head = read_head(self.form, data) if len(data) == len(self.form.head) else None
        if head is not None:
            self.heads.append(head)
            self.frames.append(index)


def read_checked(
    file: FileIO, journal: Journal, frame: int, crc_at: int, at: int, size: int
) -> NDArray[np.float32] | None:
    """A frame's float32 values ``(size / 4,)`` at ``at``; None where they do not match the checksum at ``crc_at``."""
    data = np.empty(at + size - crc_at, np.uint8)
    file.seek(frame * journal.form.length + crc_at)
    if file.readinto(data) != data.size:  # type: ignore[arg-type]  # an array is a buffer
        return None
    values = data[at - crc_at :]
    if data[:4].tobytes() != framing.FOOTER.pack(framing.crc32c(values)):
        return None
    return values.view("<f4") if values.ctypes.data % 4 == 0 else values.copy().view("<f4")


class Damage:
    """Rows whose checksum was wrong when they were read; shared by a run and what it pinned."""

    def __init__(self) -> None:
        self._places: set[tuple[str, int, int]] = set()

    def note(self, place: tuple[str, int, int], damaged: bool) -> None:
        if damaged:
            self._places.add(place)
        elif self._places:  # the bytes came late after all
            self._places.discard(place)

    def problems(self) -> tuple[str, ...]:
        count = len(self._places)
        return (f"damaged rows, shown as not recorded: {count}",) if count else ()
