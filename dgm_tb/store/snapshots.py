"""Snapshots as frames of equal length: where each number of a layout stands, and a buffer to fill and write."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import FormatError
from dgm_tb.records import CONTEXT, Layout, Snapshot
from dgm_tb.store import framing, headers, values

#: A message beyond this is refused by every protobuf reader.
LONGEST_FRAME: Final = (1 << 31) - 1
#: The kind of a frame's first value, by whether its layout is rolled up.
_KINDS: Final = {False: "snapshot", True: "rollup"}
_WALL_TIME_AT: Final = framing.HEADER.size + values.WALL_TIME_AT
_STEP_AT: Final = framing.HEADER.size + values.STEP_AT


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
    kind = _KINDS[layout.rolled]
    header = headers.dump(kind, crc="00000000")
    aggregates = len(layout.rows), *layout.aggregate_shape
    parts = [
        _Value(f"dgm/{kind}", header, values.DOUBLE, (len(CONTEXT),), 8 * len(CONTEXT)),
        _Value("dgm/aggregates", bytes(4), values.FLOAT, aggregates, 4 * math.prod(aggregates)),
    ] + [
        _Value(row.key.tag, bytes(4), values.FLOAT, (len(row.channels), row.units), 4 * len(row.channels) * row.units)
        for row in layout.rows
    ]
    prefixes = [_prefix(part) for part in parts]
    summary = sum(len(prefix) + part.size for (prefix, _), part in zip(prefixes, parts, strict=True))
    start = values.event(summary)
    payload = len(start) + summary
    if payload + framing.OVERHEAD > LONGEST_FRAME:
        raise FormatError(
            f"a snapshot of this layout has {payload:,} bytes, more than {LONGEST_FRAME:,}: record fewer nodes"
        )
    start = framing.header(payload) + start
    sizes = (len(prefix) + part.size for (prefix, _), part in zip(prefixes, parts, strict=True))
    begins = list(accumulate(sizes, initial=len(start)))[:-1]
    crcs_at = [begin + crc for begin, (_, crc) in zip(begins, prefixes, strict=True)]
    values_at = [begin + len(prefix) for begin, (prefix, _) in zip(begins, prefixes, strict=True)]
    return SnapshotFormat(
        layout=layout,
        length=payload + framing.OVERHEAD,
        head=start + prefixes[0][0] + bytes(parts[0].size),
        crc_at=crcs_at[0] + header.index(b"00000000"),
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
        self._view = memoryview(self._buffer)  # type: ignore[arg-type]  # an array is a buffer
        for offset, fixed in self.format.fixed:
            self._put(offset, fixed)

    def encode(self, snapshot: Snapshot) -> NDArray[np.uint8]:
        """The snapshot's frame ``(length,)``; valid until the next call."""
        form, rows = self.format, self.format.layout.rows
        aggregates = len(rows), *form.layout.aggregate_shape
        if snapshot.values.shape != (form.layout.starts[-1],) or snapshot.aggregates.shape != aggregates:
            raise FormatError(
                f"the snapshot of step {snapshot.step} has values {snapshot.values.shape} and aggregates "
                f"{snapshot.aggregates.shape}, its layout makes ({form.layout.starts[-1]},) and {aggregates}: "
                "write a new manifest first"
            )
        context = np.ascontiguousarray(snapshot.context, "<f8")
        for at, written in _head_fields(form, snapshot.step, context):
            self._put(at, written)
        self._put_checked(form.aggregates_crc_at, form.aggregates_at, _bytes_of(snapshot.aggregates))
        data, ends = _bytes_of(snapshot.values), (4 * form.layout.starts).tolist()
        for index, places in enumerate(zip(form.row_crcs_at.tolist(), form.rows_at.tolist(), strict=True)):
            self._put_checked(*places, data[ends[index] : ends[index + 1]])
        payload = self._buffer[framing.HEADER.size : -framing.FOOTER.size]
        self._put(form.length - framing.FOOTER.size, framing.FOOTER.pack(framing.masked(framing.crc32c(payload))))
        return self._buffer

    def _put_checked(self, crc_at: int, at: int, data: NDArray[np.uint8]) -> None:
        self._buffer[at : at + data.size] = data
        self._put(crc_at, framing.FOOTER.pack(framing.crc32c(data)))

    def _put(self, at: int, data: bytes) -> None:
        self._view[at : at + len(data)] = data


def _bytes_of(numbers: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(numbers, "<f4").reshape(-1).view(np.uint8)


def read_head(form: SnapshotFormat, data: bytes) -> Head | None:
    """The head of a frame from its first ``len(form.head)`` bytes; None where its checksum or structure is wrong."""
    step = values.read_padded_varint(data[_STEP_AT : _STEP_AT + 10])
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
    yield _WALL_TIME_AT, numbers[:8]
    yield _STEP_AT, values.padded_varint(step)
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
    before, after = values.metadata(len(value.content))
    ahead = values.tag(value.tag) + before
    body = ahead + value.content + after + values.tensor(value.dtype, value.shape, value.size)
    head = values.value(len(body) + value.size)
    return head + body, len(head) + len(ahead)
