"""Blocks: the unit-major files that full journals become, read a channel and some units at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import FormatError
from dgm_tb.store import framing
from dgm_tb.store.blockforms import (
    NUMBER,
    BlockForm,
    block_form,
    checks_at,
    data_size,
    directory_length,
    entries,
    pages,
    read_directory,
)
from dgm_tb.store.columns import CONSTANT, FLOAT16, FLOAT32, PAGE_UNITS
from dgm_tb.store.parts import PART_SNAPSHOTS
from dgm_tb.store.snapshots import SnapshotFormat

_NUMPY: Final[dict[int, np.dtype[np.floating]]] = {FLOAT32: np.dtype("<f4"), FLOAT16: np.dtype("<f2")}
#: A channel of so many bytes is read whole: one call costs less than several.
_SMALL: Final = 1 << 16
#: Channels of a row that take so many bytes are read at one go: each call costs as much as copying 100 KB.
_TOGETHER: Final = 1 << 22
#: Pages that lie at most so far apart are read together: less than what the system reads ahead.
_NEAR: Final = 8


@dataclass(frozen=True, slots=True)
class Block:
    """The directory of one block file; a (row, channel) costs some 10 bytes.

    ``steps`` int64 ``(snapshots,)`` and ``context`` float64 ``(snapshots, CONTEXT)`` are what the journal's frames
    said. ``places`` int64 ``(entries,)`` is where an entry's numbers begin, or the bits of a constant.
    """

    form: BlockForm
    steps: NDArray[np.int64]
    context: NDArray[np.float64]
    places: NDArray[np.int64]
    kinds: NDArray[np.uint8]

    @classmethod
    def open(cls, path: str, form: SnapshotFormat) -> Block:
        """Reads the directory of the block at ``path``, whose snapshots were of ``form``.

        Raises `FormatError` where it is damaged or is of another layout, and `OSError` where it cannot be read.
        """
        follow = getattr(os, "O_NOFOLLOW", 0)
        with open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | follow)) as file:
            size = os.fstat(file.fileno()).st_size
            longest = directory_length(entries(form.layout), PART_SNAPSHOTS)
            file.seek(max(0, size - longest))
            tail = file.read(longest)
        shape, frame = _directory_in(form, tail)
        directory = read_directory(shape, frame)
        places, kinds = directory.places, directory.kinds
        if (kinds > CONSTANT).any() or ((kinds != CONSTANT) & ((places < 0) | (places > size))).any():
            raise FormatError("its directory points out of the file")
        return cls(shape, directory.steps, directory.context, places, kinds)

    def read(
        self, fd: int, row: int, channel: int, units: slice | NDArray[np.integer] | None, snapshots: slice
    ) -> NDArray[np.float32] | None:
        """``(units, snapshots)`` of one channel of a row, by position from ``fd``; None where a checksum is wrong.

        ``channel`` counts in the row's ``channels``; a slice of units has no step but 1. Raises `OSError`.
        """
        entry = int(self.form.first[row]) + channel
        found = _read(self, fd, entry, units)
        return None if found is None else found[:, snapshots]

    def read_together(self, fd: int, row: int, channels: Sequence[int]) -> list[NDArray[np.floating] | None]:
        """Whole ``channels`` of a row, each ``(units, snapshots)`` as it is stored; None where a checksum is wrong.

        At one go where that is little, as `read` by channels else. Raises `OSError`.
        """
        first = int(self.form.first[row])
        stored = [place for place in channels if self.kinds[first + place] != CONSTANT]
        if not stored:
            return [_read(self, fd, first + place, None) for place in channels]
        begins = {place: int(self.places[first + place]) for place in stored}
        size = _whole(self, first + stored[0], FLOAT32)[1] + 4
        begin, end = min(begins.values()), max(begins.values()) + size
        if end - begin > min(_TOGETHER, _SMALL + 2 * len(stored) * size):  # much, or much of it is not asked for
            return [_read(self, fd, first + place, None) for place in channels]
        buffer = np.frombuffer(os.pread(fd, end - begin, begin), np.uint8)
        return [
            _within(self, buffer[begins[place] - begin :], first + place)
            if place in begins
            else _read(self, fd, first + place, None)
            for place in channels
        ]

    def read_aggregates(self, fd: int, row: int) -> NDArray[np.float32] | None:
        """A row's aggregates ``(snapshots, *layout.aggregate_shape)``; None where a checksum is wrong."""
        found = _read(self, fd, row, None)
        if found is None:
            return None
        return np.ascontiguousarray(found.T).reshape(self.form.snapshots, *self.form.layout.aggregate_shape)


def _directory_in(form: SnapshotFormat, tail: bytes) -> tuple[BlockForm, bytes]:
    """The form whose directory ends ``tail``, and that directory's frame."""
    for snapshots in range(PART_SNAPSHOTS, -1, -1):
        length = directory_length(entries(form.layout), snapshots)
        begin = len(tail) - length
        if begin >= 0 and tail.startswith(framing.header(length - framing.OVERHEAD), begin):
            return block_form(form.layout, snapshots), tail[begin:]
    raise FormatError("it does not end with a directory of the layout in its manifest")


def _read(block: Block, fd: int, entry: int, units: slice | NDArray[np.integer] | None) -> NDArray[np.float32] | None:
    """The numbers ``(units, snapshots)`` of an entry."""
    form, kind, count = block.form, int(block.kinds[entry]), int(block.form.units[entry])
    chosen = _chosen(units, count)
    if kind == CONSTANT:
        word = np.uint32(block.places[entry] & 0xFFFFFFFF)
        return np.broadcast_to(word.view(np.float32), (len(chosen), form.snapshots))
    stored = _Stored(form, entry, kind, int(block.places[entry]))
    if isinstance(chosen, range) and len(chosen):  # nothing is copied
        (run,) = stored.runs(chosen)
        found = stored.read(fd, run)
        if found is None:
            return None
        first = chosen.start - run.start * PAGE_UNITS
        return found[first : first + len(chosen)].astype(np.float32, copy=False)
    places = np.asarray(chosen, np.int64)
    out = np.empty((len(places), form.snapshots), np.float32)
    for run in stored.runs(chosen):
        found = stored.read(fd, run)
        if found is None:
            return None
        here = (places >= run.start * PAGE_UNITS) & (places < run.stop * PAGE_UNITS)
        out[here] = found[places[here] - run.start * PAGE_UNITS]
    return out


def _whole(block: Block, entry: int, kind: int) -> tuple[int, int]:
    """How many bytes an entry's numbers take, and after how many their checksum stands."""
    return data_size(block.form, entry, kind), checks_at(block.form, entry, kind)


def _within(block: Block, data: NDArray[np.uint8], entry: int) -> NDArray[np.floating] | None:
    """The numbers of an entry that is no constant, with which ``data`` begins."""
    kind = int(block.kinds[entry])
    size, checks = _whole(block, entry, kind)
    if data[checks : checks + 4].tobytes() != framing.FOOTER.pack(framing.crc32c(data[:size])):
        return None
    numbers: NDArray[np.floating] = data[:size].view(_NUMPY[kind]).reshape(-1, block.form.snapshots)
    return numbers


def _chosen(units: slice | NDArray[np.integer] | None, count: int) -> range | NDArray[np.int64]:
    if units is None:
        return range(count)
    return range(*units.indices(count)) if isinstance(units, slice) else np.asarray(units, np.int64)


@dataclass(frozen=True, slots=True)
class _Stored:
    """The numbers of an entry that is no constant, as they lie in the file from byte ``at``."""

    form: BlockForm
    entry: int
    kind: int
    at: int

    @property
    def page(self) -> int:
        """Bytes of a page."""
        return PAGE_UNITS * self.form.snapshots * NUMBER[self.kind]

    def runs(self, units: range | NDArray[np.int64]) -> list[range]:
        """The pages to read for these units, as few stretches that leave out what is far from all of them."""
        if not len(units):
            return []
        everything = range(pages(int(self.form.units[self.entry])))
        if isinstance(units, range):
            return [range(units.start // PAGE_UNITS, pages(units.stop))]
        wanted = np.unique(units // PAGE_UNITS)
        if len(everything) * self.page <= _SMALL or len(wanted) * 2 > len(everything):
            return [everything]
        split = np.flatnonzero(np.diff(wanted) > _NEAR) + 1
        return [range(int(near[0]), int(near[-1]) + 1) for near in np.split(wanted, split)]

    def read(self, fd: int, run: range) -> NDArray[np.floating] | None:
        """The pages ``run``, ``(units, snapshots)``; None where they do not match their checksums."""
        size, checks = data_size(self.form, self.entry, self.kind), checks_at(self.form, self.entry, self.kind)
        begin, end = run.start * self.page, min(run.stop * self.page, size)
        if end - begin == size:
            data = np.frombuffer(os.pread(fd, checks + 4, self.at), np.uint8)
            expected, data = data[checks:].tobytes(), data[:size]
            good = len(data) == size and expected == framing.FOOTER.pack(framing.crc32c(data))
        else:
            expected = os.pread(fd, 4 * len(run), self.at + checks + 4 + 4 * run.start)
            data = np.frombuffer(os.pread(fd, end - begin, self.at + begin), np.uint8)
            good = len(data) == end - begin and expected == self._checks(data)
        if not good:
            return None
        numbers: NDArray[np.floating] = data.view(_NUMPY[self.kind]).reshape(-1, self.form.snapshots)
        return numbers

    def _checks(self, data: NDArray[np.uint8]) -> bytes:
        parts = (data[at : at + self.page] for at in range(0, len(data), self.page))
        return b"".join(framing.FOOTER.pack(framing.crc32c(part)) for part in parts)
