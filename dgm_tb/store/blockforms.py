"""Where everything in a block file stands: a value per channel, then a directory that is found from the file's end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import FormatError
from dgm_tb.records import CONTEXT, Layout
from dgm_tb.store import framing, headers, values
from dgm_tb.store.columns import CONSTANT, FLOAT16, FLOAT32, PAGE_UNITS

#: A new record begins before one would be longer: a gRPC reply of TensorBoard's holds no more.
LONGEST_RECORD: Final = 1 << 28
#: A channel beyond this makes a record that no protobuf reader takes.
LONGEST_CHANNEL: Final = (1 << 31) - (1 << 24)
#: Bytes of a number in a channel's form; a constant's stands once.
NUMBER: Final = {FLOAT32: 4, FLOAT16: 2, CONSTANT: 4}
_DTYPES: Final = {FLOAT32: values.FLOAT, FLOAT16: values.HALF, CONSTANT: values.FLOAT}


@dataclass(frozen=True)
class BlockForm:
    """The entries of a block of ``snapshots`` snapshots, in their order in the file.

    Entry *r* are the aggregates of row *r*; after those of all rows come the channels, row by row. ``units`` says how
    many series of numbers each entry has.
    """

    layout: Layout
    snapshots: int
    tags: tuple[str, ...]
    units: NDArray[np.int64]  # (entries,)
    first: NDArray[np.int64]  # (rows,), the entry of a row's first channel

    @cached_property
    def fingerprint(self) -> str:
        """Tells layouts apart: eight hex digits of what is stored of which row."""
        told = "\n".join(f"{tag} {units}" for tag, units in zip(self.tags, self.units.tolist(), strict=True))
        return f"{framing.crc32c(told.encode()):08x}"


@lru_cache(maxsize=32)
def block_form(layout: Layout, snapshots: int) -> BlockForm:
    """The form of a block. Raises `FormatError` where a channel is longer than any reader takes."""
    units = [math.prod(layout.aggregate_shape)] * len(layout.rows)
    tags = [f"{row.key.tag}/aggregates" for row in layout.rows]
    for row in layout.rows:
        units += [row.units] * len(row.channels)
        tags += [f"{row.key.tag}/{channel}" for channel in row.channels]
    if max(units, default=0) * snapshots * 4 > LONGEST_CHANNEL:
        raise FormatError(
            f"{snapshots} snapshots of {max(units):,} units are more than a record holds: their journal stays as it is"
        )
    channels = [len(row.channels) for row in layout.rows]
    first = len(layout.rows) + np.concatenate([[0], np.cumsum(channels, dtype=np.int64)])[:-1].astype(np.int64)
    return BlockForm(layout, snapshots, tuple(tags), np.array(units, np.int64), first)


@lru_cache(maxsize=1024)
def directory_length(entries: int, snapshots: int) -> int:
    """Bytes of the frame of a directory of so many entries and snapshots."""
    summary = sum(len(part) for value in _directory("0" * 8, _nothing(entries, snapshots)) for part in value)
    return len(values.event(summary)) + summary + framing.OVERHEAD


def entries(layout: Layout) -> int:
    """How many entries a block of this layout has."""
    return sum(1 + len(row.channels) for row in layout.rows)


def pages(units: int) -> int:
    """How many checksummed pages a channel of so many units has."""
    return -(-units // PAGE_UNITS)


def checks_size(units: int, kind: int) -> int:
    """Bytes of a channel's checksums: of all of it, then of each page; a constant has no pages."""
    return 4 if kind == CONSTANT else 4 + 4 * pages(units)


def data_size(form: BlockForm, entry: int, kind: int) -> int:
    """Bytes of an entry's numbers."""
    return NUMBER[kind] * (1 if kind == CONSTANT else int(form.units[entry]) * form.snapshots)


def checks_at(form: BlockForm, entry: int, kind: int) -> int:
    """How many bytes after the beginning of an entry's numbers its checksums stand."""
    return data_size(form, entry, kind) + len(values.metadata(checks_size(int(form.units[entry]), kind))[0])


def around(form: BlockForm, entry: int, kind: int) -> tuple[bytes, bytes, bytes]:
    """An entry's value: what stands before its numbers, between them and its checksums, and after those."""
    return _around(form.tags[entry], int(form.units[entry]), form.snapshots, kind)


@lru_cache(maxsize=4096)  # each is asked for twice, and again in the next block
def _around(tag: str, units: int, snapshots: int, kind: int) -> tuple[bytes, bytes, bytes]:
    size = NUMBER[kind] * (1 if kind == CONSTANT else units * snapshots)
    checks = checks_size(units, kind)
    between, after = values.metadata(checks)
    numbers = values.REPEATED if kind == CONSTANT else values.CONTENT
    head = values.tag(tag) + values.tensor(_DTYPES[kind], (units, snapshots), size, numbers)
    return values.value(len(head) + size + len(between) + checks + len(after)) + head, between, after


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a block file: its payload's length, the bytes it begins with and the entries it holds."""

    payload: int
    head: bytes
    entries: range


def records(form: BlockForm, kinds: NDArray[np.uint8], step: int, wall_time: float) -> Iterator[Record]:
    """The records that hold the entries, stored as ``kinds`` ``(entries,)``; the directory comes after them."""
    header = _header(headers.dump("block", layout=form.fingerprint))
    sizes = [entry_size(form, entry, int(kind)) for entry, kind in enumerate(kinds)]
    begin = 0
    while begin < len(sizes):
        length, stop = len(header) + sizes[begin], begin + 1
        while stop < len(sizes) and length + sizes[stop] <= LONGEST_RECORD:
            length += sizes[stop]
            stop += 1
        head = values.event(length, wall_time, step) + header
        yield Record(len(head) - len(header) + length, head, range(begin, stop))
        begin = stop


def entry_size(form: BlockForm, entry: int, kind: int) -> int:
    """Bytes of an entry's whole value."""
    before, between, after = around(form, entry, kind)
    size = data_size(form, entry, kind) + checks_size(int(form.units[entry]), kind)
    return len(before) + len(between) + len(after) + size


@dataclass(frozen=True, slots=True)
class Directory:
    """What the last record of a block says: see `dgm_tb.store.blocks.Block`."""

    steps: NDArray[np.int64]  # (snapshots,)
    context: NDArray[np.float64]  # (snapshots, CONTEXT)
    places: NDArray[np.int64]  # (entries,)
    kinds: NDArray[np.uint8]  # (entries,)


def directory_frame(form: BlockForm, directory: Directory) -> bytes:
    """The file's last record."""
    summary = b"".join(part for value in _directory(form.fingerprint, directory) for part in value)
    step = int(directory.steps[-1]) if form.snapshots else 0
    wall_time = float(directory.context[-1, 0]) if form.snapshots else 0.0
    payload = values.event(len(summary), wall_time, step) + summary
    return framing.header(len(payload)) + payload + framing.FOOTER.pack(framing.masked(framing.crc32c(payload)))


def read_directory(form: BlockForm, frame: bytes) -> Directory:
    """The directory in its frame. Raises `FormatError` where a byte is not what it must be."""
    count, snapshots = len(form.tags), form.snapshots
    parts = [len(part) for value in _directory(form.fingerprint, _nothing(count, snapshots)) for part in value]
    at = list(accumulate(parts, initial=len(frame) - framing.FOOTER.size - sum(parts)))[1::2]
    found = Directory(
        np.frombuffer(frame, "<i8", snapshots, at[0]),
        np.frombuffer(frame, "<f8", snapshots * len(CONTEXT), at[1]).reshape(snapshots, len(CONTEXT)),
        np.frombuffer(frame, "<i8", count, at[2]),
        np.frombuffer(frame, np.uint8, count, at[3]),
    )
    if frame != directory_frame(form, found):
        raise FormatError("its directory is damaged, or is not of the layout in its manifest")
    return found


def _nothing(count: int, snapshots: int) -> Directory:
    steps, context = np.zeros(snapshots, np.int64), np.zeros((snapshots, len(CONTEXT)))
    return Directory(steps, context, np.zeros(count, np.int64), np.zeros(count, np.uint8))


def _directory(fingerprint: str, directory: Directory) -> list[tuple[bytes, bytes]]:
    header = headers.dump("directory", layout=fingerprint)
    return [
        values.whole("dgm/directory", header, values.INT64, directory.steps.astype("<i8", copy=False)),
        values.whole("dgm/context", b"", values.DOUBLE, directory.context.astype("<f8", copy=False)),
        values.whole("dgm/places", b"", values.INT64, directory.places.astype("<i8", copy=False)),
        values.whole("dgm/kinds", b"", values.UINT8, directory.kinds),
    ]


def _header(content: bytes) -> bytes:
    """A value that has a header and no tensor."""
    before, after = values.metadata(len(content))
    body = values.tag("dgm/block") + before + content + after
    return values.value(len(body)) + body
