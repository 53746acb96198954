"""TFRecord frames: ``uint64 length, uint32 masked crc32c(length), payload, uint32 masked crc32c(payload)``."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from typing import Final

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import FormatError

HEADER: Final = struct.Struct("<QI")
FOOTER: Final = struct.Struct("<I")
OVERHEAD: Final = HEADER.size + FOOTER.size

#: The longest payload that is read whole (segment, steps and end files). A manifest of 50,000 rows is about 6 MB; a
#: length beyond this is a foreign or hostile file and must not be allocated.
LONGEST_PAYLOAD: Final = 1 << 25


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame of a file: where the next one begins, and the payload, None where its checksum is wrong."""

    end: int
    payload: bytes | None


def crc32c(data: bytes | NDArray[np.uint8], before: int = 0) -> int:
    """The plain (unmasked) CRC-32C of what had the CRC ``before``, and ``data``: a contiguous array is not copied."""
    return int(google_crc32c.extend(before, data))


def masked(crc: int) -> int:
    """A CRC as TFRecord stores it: rotated by 15 bits and offset, so that a CRC of CRCs stays strong."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def header(length: int) -> bytes:
    """The twelve bytes before a payload of ``length`` bytes."""
    packed = struct.pack("<Q", length)
    return packed + FOOTER.pack(masked(crc32c(packed)))


def frame(payload: bytes) -> bytes:
    """``payload`` as one frame. Raises `FormatError` beyond `LONGEST_PAYLOAD`, which no reader would accept."""
    if len(payload) > LONGEST_PAYLOAD:
        raise FormatError(
            f"a record of {len(payload):,} bytes is longer than the {LONGEST_PAYLOAD:,} that a reader accepts"
        )
    return header(len(payload)) + payload + FOOTER.pack(masked(crc32c(payload)))


def frames(file: FileIO, start: int, size: int) -> Iterator[Frame]:
    """The whole frames of ``file`` from byte ``start`` to ``size``; a torn last frame is left for the next call.

    Raises `FormatError` where the length itself is damaged: what follows cannot be framed.
    """
    while start + OVERHEAD <= size:
        file.seek(start)
        head = file.read(HEADER.size)
        if len(head) < HEADER.size:  # the file shrank under us
            return
        length, check = HEADER.unpack(head)
        if check != masked(crc32c(head[:8])) or length > LONGEST_PAYLOAD:
            raise FormatError(f"the record length at byte {start:,} is damaged; what follows cannot be read")
        end = start + OVERHEAD + length
        if end > size:
            return
        body = file.read(length + FOOTER.size)
        if len(body) < length + FOOTER.size:
            return
        payload = body[:length]
        good = FOOTER.unpack(body[length:])[0] == masked(crc32c(payload))
        yield Frame(end, payload if good else None)
        start = end
