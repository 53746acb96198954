"""Turning a full journal into a block, a few megabytes at a time and mostly without Python's lock."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Final

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import FormatError
from dgm_tb.records import CONTEXT
from dgm_tb.store import columns, framing
from dgm_tb.store.blockforms import NUMBER, BlockForm, Directory, Record, around, block_form, directory_frame, records
from dgm_tb.store.columns import CONSTANT, FLOAT16, PAGE_UNITS
from dgm_tb.store.frames import Frames, aligned
from dgm_tb.store.snapshots import SnapshotFormat, read_head

#: So many bytes of a journal are held at once, a copy of them beside, and as many of the block.
_BATCH: Final = 1 << 24
#: The statistics of activations that may be rounded where the user asked for it; the others are counts and sums.
_ROUNDED: Final = ("mean", "min", "max")


def write_block(path: Path, form: SnapshotFormat, journal: Path, *, half: bool = False) -> int:
    """Writes the snapshots of ``journal``, whose frames are of ``form``, as a block; how many bytes it has.

    The block appears under ``path`` when it is whole. ``half``: mean, least and greatest activations may be rounded to
    float16 where none overflows or becomes zero; all other numbers come back to the bit. Some 60 MB are held at most.

    Raises `FormatError` where the journal is damaged or a channel of it too long for a record, and `OSError`; then no
    file is left behind.
    """
    temporary = path.with_name(f".{path.name}")
    with open(journal, "rb", buffering=0) as source:
        frames = os.fstat(source.fileno()).st_size // form.length
        contents = _Journal(source, form, frames)
        try:
            with open(temporary, "wb", buffering=1 << 20) as file:
                size = _Making(file, contents, half).run()
                file.flush()
                os.fsync(file.fileno())  # the journal goes next: a power cut must not take both
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    return size


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is turned at once: ``channels`` whole entries from ``entry`` on, or ``units`` of one from ``first`` on."""

    entry: int
    channels: int
    first: int
    units: int
    at: int  # in bytes from the beginning of a frame

    @property
    def size(self) -> int:
        return 4 * self.channels * self.units


@dataclass(frozen=True, slots=True)
class _Batch:
    """The stretch ``[start, stop)`` of every frame, and what lies in it; batches follow each other without a gap."""

    start: int
    stop: int
    pieces: tuple[_Piece, ...]


class _Journal:
    """The numbers of a journal, read a batch at a time."""

    def __init__(self, file: FileIO, form: SnapshotFormat, frames: int) -> None:
        self.block = block_form(form.layout, frames)
        self.batches = _batches(form, self.block)
        self._form, self._name = form, file.name
        self._frames = Frames(file, form.length, range(frames))

    def heads(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The frames' steps and context. Raises `FormatError` where a head is damaged."""
        heads = [read_head(self._form, bytes(data)) for data in self._frames.read(0, len(self._form.head))]
        good = [head for head in heads if head is not None]
        if len(good) < len(heads):
            raise FormatError(f"{self._name}: damaged snapshots: {len(heads) - len(good)}")
        context = np.array([head.context for head in good], np.float64).reshape(-1, len(CONTEXT))
        return np.array([head.step for head in good], np.int64), context

    def check(self) -> Iterator[tuple[_Piece, NDArray[np.uint32]]]:
        """As `read` of all batches; raises `FormatError` at the end where a frame does not match its checksum."""
        crcs = [0] * self.block.snapshots
        for batch in self.batches:
            data = self._frames.read(batch.start, batch.stop - batch.start)
            crcs = [google_crc32c.extend(crc, part) for crc, part in zip(crcs, data, strict=True)]
            yield from self._pieces(batch, data)
        last = self._frames.read(self._form.length - framing.FOOTER.size, framing.FOOTER.size)
        if [framing.FOOTER.pack(framing.masked(crc)) for crc in crcs] != [bytes(data) for data in last]:
            raise FormatError(f"{self._name}: a snapshot does not match its checksum")

    def read(self, batch: _Batch) -> Iterator[tuple[_Piece, NDArray[np.uint32]]]:
        """Every piece with its bits ``(snapshots, channels, units)``."""
        yield from self._pieces(batch, self._frames.read(batch.start, batch.stop - batch.start))

    def _pieces(self, batch: _Batch, data: NDArray[np.uint8]) -> Iterator[tuple[_Piece, NDArray[np.uint32]]]:
        for piece in batch.pieces:
            at = piece.at - batch.start
            yield piece, aligned(data[:, at : at + piece.size]).reshape(len(data), piece.channels, piece.units)


def _batches(form: SnapshotFormat, block: BlockForm) -> list[_Batch]:
    most = max(1, _BATCH // max(1, block.snapshots))
    start, batches, pieces = framing.HEADER.size, [], list[_Piece]()
    for piece in _pieces(form, block, most // (4 * PAGE_UNITS) * PAGE_UNITS):
        if pieces and piece.at + piece.size - start > most:
            stop = pieces[-1].at + pieces[-1].size
            batches.append(_Batch(start, stop, tuple(pieces)))
            start, pieces = stop, []
        pieces.append(piece)
    return [*batches, _Batch(start, form.length - framing.FOOTER.size, tuple(pieces))]


def _pieces(form: SnapshotFormat, block: BlockForm, most: int) -> Iterator[_Piece]:
    """All numbers of a frame in their order, so many of them at most at once."""
    rows = len(form.layout.rows)
    tables = [(0, rows, form.aggregates_at), *zip(
        block.first.tolist(), (len(row.channels) for row in form.layout.rows), form.rows_at.tolist(), strict=True
    )]  # fmt: skip
    for entry, channels, at in tables:
        units = int(block.units[entry]) if channels else 0
        if channels * units <= most:
            yield _Piece(entry, channels, 0, units, at)
            continue
        for channel in range(channels):
            for first in range(0, units, most):
                place = at + 4 * (channel * units + first)
                yield _Piece(entry + channel, 1, first, min(most, units - first), place)


class _Making:
    """One block on its way into ``file``."""

    def __init__(self, file: BinaryIO, journal: _Journal, half: bool) -> None:
        self._file, self._journal, self._form = file, journal, journal.block
        self._steps, self._context = journal.heads()
        self._places = np.zeros(len(self._form.tags), np.int64)
        self._kinds = np.zeros(len(self._form.tags), np.uint8)
        self._half = half
        self._crc, self._open = 0, False
        self._checks = _Checks()

    def run(self) -> int:
        """Writes the whole file; how many bytes it has."""
        form = self._form
        self._choose()
        wall_time, step = (float(self._context[-1, 0]), int(self._steps[-1])) if len(self._steps) else (0.0, 0)
        begins = {record.entries.start: record for record in records(form, self._kinds, step, wall_time)}
        for batch in self._journal.batches:
            for piece, words in self._journal.read(batch):
                for channel in range(piece.channels):
                    entry = piece.entry + channel
                    if piece.first == 0 and entry in begins:
                        self._begin(begins[entry])
                    self._entry(entry, piece, words, channel)
        self._end()
        self._file.write(directory_frame(form, Directory(self._steps, self._context, self._places, self._kinds)))
        return self._file.tell()

    def _choose(self) -> None:
        """The form of every entry, from a first look at all numbers."""
        state, rounded = columns.begun(len(self._kinds)), _rounded(self._form, self._half)
        for piece, words in self._journal.check():
            entries = slice(piece.entry, piece.entry + piece.channels)
            columns.look(words, rounded[entries], state[entries])
        self._kinds[:] = columns.kinds(state)
        self._places[:] = np.where(self._kinds == CONSTANT, state[:, columns.FIRST], 0)

    def _entry(self, entry: int, piece: _Piece, words: NDArray[np.uint32], channel: int) -> None:
        kind = int(self._kinds[entry])
        before, between, after = around(self._form, entry, kind)
        if piece.first == 0:
            self._put(before)
            self._checks = _Checks()
            if kind == CONSTANT:
                value = self._places[entry : entry + 1].astype("<u4").view(np.uint8)
                self._put(value)
                self._checks.take(value)
            else:
                self._places[entry] = self._file.tell()
        if kind != CONSTANT:
            data = _turned(words, channel, kind)
            self._put(data)
            self._checks.take(data, PAGE_UNITS * self._form.snapshots * NUMBER[kind])
        if piece.first + piece.units == self._form.units[entry]:
            self._put(between + self._checks.packed() + after)

    def _begin(self, record: Record) -> None:
        self._end()
        self._file.write(framing.header(record.payload))
        self._crc, self._open = 0, True
        self._put(record.head)

    def _end(self) -> None:
        if self._open:
            self._file.write(framing.FOOTER.pack(framing.masked(self._crc)))

    def _put(self, data: bytes | NDArray[np.uint8]) -> None:
        self._crc = google_crc32c.extend(self._crc, data)
        self._file.write(data)  # type: ignore[arg-type]  # an array is a buffer


class _Checks:
    """The checksums of one entry: of all its numbers, then of each page."""

    def __init__(self) -> None:
        self._whole = 0
        self._pages: list[bytes] = []

    def take(self, data: NDArray[np.uint8], page: int = 0) -> None:
        self._whole = google_crc32c.extend(self._whole, data)
        if page:
            crcs = np.empty(-(-data.size // page), np.uint32)
            columns.page_crcs(data, page, crcs)
            self._pages.append(crcs.astype("<u4", copy=False).tobytes())

    def packed(self) -> bytes:
        return framing.FOOTER.pack(self._whole) + b"".join(self._pages)


def _turned(words: NDArray[np.uint32], channel: int, kind: int) -> NDArray[np.uint8]:
    snapshots, _, units = words.shape
    if kind == FLOAT16:
        halves = np.empty((units, snapshots), np.uint16)
        columns.turn_to_half(words, channel, halves)
        return halves.astype("<u2", copy=False).reshape(-1).view(np.uint8)
    out = np.empty((units, snapshots), np.uint32)
    columns.turn(words, channel, out)
    return out.astype("<u4", copy=False).reshape(-1).view(np.uint8)


def _rounded(form: BlockForm, half: bool) -> NDArray[np.bool_]:
    """Which entries half precision may round: none but where the user asked for it."""
    rounded = np.zeros(len(form.tags), np.bool_)
    for row, first in zip(form.layout.rows if half else (), form.first.tolist(), strict=half):
        if row.key.quantity == "activation":
            for place, channel in enumerate(row.channels):
                statistic, _, roll = channel.partition("/")
                rounded[first + place] = statistic in _ROUNDED and roll != "seen"
    return rounded
