"""Snapshots as frames of equal length: where each number of a layout stands, and a buffer to fill and write."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import FormatError
from dgm_tb.moments import DERIVED, REDUCTIONS, STATISTICS
from dgm_tb.records import CONTEXT, PLUGIN_NAME, Layout, Snapshot
from dgm_tb.store import framing, headers

#: A message beyond this is refused by every protobuf reader.
LONGEST_FRAME: Final = (1 << 31) - 1
_FLOAT, _DOUBLE = 1, 2  # tensorflow.DataType
_DATA_CLASS_TENSOR = 2  # tensorboard.DataClass
_HEADER: Final = headers.dump("snapshot", crc="00000000")
_CRC_IN_HEADER: Final = _HEADER.index(b"00000000")
_EVENT: Final = framing.HEADER.size
WALL_TIME_AT: Final = _EVENT + 1
STEP_AT: Final = WALL_TIME_AT + 8 + 1


@dataclass(frozen=True, slots=True)
class SnapshotFormat:
    """Offsets in bytes from the start of a frame; every frame of a segment has this ``length``.

    ``head`` are the frame's first bytes up to and with the context, with zeros where numbers come; its checksum stands
    at ``crc_at`` (eight hex digits). Aggregates and rows have theirs, four bytes each, shortly before them.
    """

    layout: Layout
    length: int
    head: bytes
    crc_at: int
    context_at: int
    aggregates_crc_at: int
    aggregates_at: int
    row_crcs_at: NDArray[np.int64]  # (rows,)
    rows_at: NDArray[np.int64]  # (rows,)
    fixed: tuple[tuple[int, bytes], ...]  # what stands between the numbers: (offset, bytes)


@dataclass(frozen=True, slots=True)
class Head:
    """What the beginning of a frame says."""

    step: int
    context: NDArray[np.float64]  # (CONTEXT,)


def snapshot_format(layout: Layout) -> SnapshotFormat:
    """The frame of ``layout``'s snapshots. Raises `FormatError` where it would be longer than any reader accepts."""
    values = [
        _Value("dgm/snapshot", _HEADER, _DOUBLE, (len(CONTEXT),), 8 * len(CONTEXT)),
        _Value("dgm/aggregates", bytes(4), _FLOAT, (len(layout.rows), len(DERIVED), len(REDUCTIONS)),
               4 * len(layout.rows) * len(DERIVED) * len(REDUCTIONS)),
    ] + [
        _Value(row.key.tag, bytes(4), _FLOAT, (len(STATISTICS), row.units), 4 * len(STATISTICS) * row.units)
        for row in layout.rows
    ]  # fmt: skip
    prefixes = [_prefix(value) for value in values]
    summary = sum(len(prefix) + value.size for (prefix, _), value in zip(prefixes, values, strict=True))
    start = b"\x09" + bytes(8) + b"\x10" + _padded_varint(0) + b"\x2a" + _varint(summary)
    payload = len(start) + summary
    if payload + framing.OVERHEAD > LONGEST_FRAME:
        raise FormatError(
            f"a snapshot of this layout has {payload:,} bytes, more than {LONGEST_FRAME:,}: record fewer nodes"
        )
    start = framing.header(payload) + start
    sizes = (len(prefix) + value.size for (prefix, _), value in zip(prefixes, values, strict=True))
    begins = list(accumulate(sizes, initial=len(start)))[:-1]
    crcs_at = [begin + crc for begin, (_, crc) in zip(begins, prefixes, strict=True)]
    values_at = [begin + len(prefix) for begin, (prefix, _) in zip(begins, prefixes, strict=True)]
    return SnapshotFormat(
        layout=layout,
        length=payload + framing.OVERHEAD,
        head=start + prefixes[0][0] + bytes(values[0].size),
        crc_at=crcs_at[0] + _CRC_IN_HEADER,
        context_at=values_at[0],
        aggregates_crc_at=crcs_at[1],
        aggregates_at=values_at[1],
        row_crcs_at=np.array(crcs_at[2:], np.int64),
        rows_at=np.array(values_at[2:], np.int64),
        fixed=((0, start), *zip(begins, (prefix for prefix, _ in prefixes), strict=True)),
    )


class SnapshotEncoder:
    """One frame's buffer, filled anew for each snapshot: the numbers are copied once, into what is written."""

    def __init__(self, layout: Layout) -> None:
        self.format = snapshot_format(layout)
        self._buffer = np.zeros(self.format.length, np.uint8)
        for offset, fixed in self.format.fixed:
            self._put(offset, fixed)

    def encode(self, snapshot: Snapshot) -> NDArray[np.uint8]:
        """The snapshot's frame ``(length,)``; valid until the next call."""
        form, rows = self.format, self.format.layout.rows
        if snapshot.values.shape != (form.layout.starts[-1],) or snapshot.aggregates.shape[0] != len(rows):
            raise FormatError(
                f"the snapshot of step {snapshot.step} has values {snapshot.values.shape} and aggregates of "
                f"{len(snapshot.aggregates)} rows, its layout makes {form.layout.starts[-1]} and {len(rows)}: "
                "write a new manifest first"
            )
        context = np.ascontiguousarray(snapshot.context, "<f8")
        for at, written in _head_fields(form, snapshot.step, context):
            self._put(at, written)
        self._put_checked(form.aggregates_crc_at, form.aggregates_at, np.ascontiguousarray(snapshot.aggregates, "<f4"))
        values = np.ascontiguousarray(snapshot.values, "<f4")
        starts = form.layout.starts
        for index in range(len(rows)):
            self._put_checked(
                int(form.row_crcs_at[index]), int(form.rows_at[index]), values[starts[index] : starts[index + 1]]
            )
        payload = self._buffer[framing.HEADER.size : -framing.FOOTER.size]
        self._put(form.length - framing.FOOTER.size, framing.FOOTER.pack(framing.masked(framing.crc32c(payload))))
        return self._buffer

    def _put_checked(self, crc_at: int, at: int, values: NDArray[np.float32]) -> None:
        data = values.reshape(-1).view(np.uint8)
        self._buffer[at : at + data.size] = data
        self._put(crc_at, framing.FOOTER.pack(framing.crc32c(data)))

    def _put(self, at: int, data: bytes) -> None:
        self._buffer[at : at + len(data)] = np.frombuffer(data, np.uint8)


def read_head(form: SnapshotFormat, data: bytes) -> Head | None:
    """The head of a frame from its first ``len(form.head)`` bytes; None where its checksum or structure is wrong."""
    step = _read_padded_varint(data[STEP_AT : STEP_AT + 10])
    context = np.frombuffer(data, "<f8", len(CONTEXT), form.context_at)
    expected = bytearray(form.head)
    for at, written in _head_fields(form, step, context):
        expected[at : at + len(written)] = written
    if data != expected:
        return None
    return Head(step, context)


def _head_fields(form: SnapshotFormat, step: int, context: NDArray[np.float64]) -> Iterator[tuple[int, bytes]]:
    """What a frame's head says beside what is the same in all frames: (offset, bytes)."""
    numbers = context.tobytes()
    yield WALL_TIME_AT, numbers[:8]
    yield STEP_AT, _padded_varint(step)
    yield form.crc_at, b"%08x" % framing.crc32c(struct.pack("<q", step) + numbers)
    yield form.context_at, numbers


@dataclass(frozen=True, slots=True)
class _Value:
    """A ``Summary.Value`` whose tensor's ``size`` bytes stand at its end; ``content`` is its plugin data."""

    tag: str
    content: bytes
    dtype: int
    shape: tuple[int, ...]
    size: int


def _prefix(value: _Value) -> tuple[bytes, int]:
    """The value's bytes before its numbers, as a field of ``Summary``, and where in them the content begins."""
    tensor = _tensor(value.dtype, value.shape, value.size)
    metadata, after_content = _metadata(value.content)
    body = _field(0x0A, value.tag.encode()) + metadata + tensor
    prefix = b"\x0a" + _varint(len(body) + value.size) + body
    return prefix, len(prefix) - len(tensor) - after_content - len(value.content)


# The rows of a layout differ in their tags and few sizes: the rest is made once.
@lru_cache(maxsize=1024)
def _tensor(dtype: int, shape: tuple[int, ...], size: int) -> bytes:
    """The tensor field of a ``Summary.Value`` up to its ``size`` bytes of numbers."""
    dims = b"".join(_field(0x12, b"\x08" + _varint(length)) for length in shape)
    tensor = b"\x08" + _varint(dtype) + _field(0x12, dims) + b"\x22" + _varint(size)
    return b"\x42" + _varint(len(tensor) + size) + tensor


@lru_cache(maxsize=8)
def _metadata(content: bytes) -> tuple[bytes, int]:
    """The metadata field with ``content``, and how many bytes of it follow the content."""
    after_content = b"\x20" + _varint(_DATA_CLASS_TENSOR)
    plugin = _field(0x0A, _field(0x0A, PLUGIN_NAME.encode()) + _field(0x12, content))
    return _field(0x4A, plugin + after_content), len(after_content)


def _field(key: int, data: bytes) -> bytes:
    return bytes([key]) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def _padded_varint(value: int) -> bytes:
    """A varint of always ten bytes: nine of seven bits with the continuation bit, then bit 63."""
    value &= (1 << 64) - 1
    return bytes(value >> shift & 0x7F | 0x80 for shift in range(0, 63, 7)) + bytes([value >> 63])


def _read_padded_varint(data: bytes) -> int:
    value = sum((byte & 0x7F) << shift for byte, shift in zip(data, range(0, 70, 7), strict=True)) & ((1 << 64) - 1)
    return value - (1 << 64) if value >> 63 else value
