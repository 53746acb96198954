"""The bytes of an ``Event`` around its numbers, written by hand so that every number's place is arithmetic."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.records import PLUGIN_NAME

#: Of tensorflow.DataType.
FLOAT, DOUBLE, UINT8, INT64, HALF = 1, 2, 4, 9, 19
#: A tensor's numbers: all of them as little-endian bytes (``tensor_content``), or the one float32 that each of them is
#: (``float_val``).
CONTENT, REPEATED = 0x22, 0x2A
_AFTER_CONTENT: Final = b"\x20\x02"  # data_class: DATA_CLASS_TENSOR
#: Where in an event the wall time and the step stand.
WALL_TIME_AT: Final = 1
STEP_AT: Final = WALL_TIME_AT + 8 + 1


def event(summary: int, wall_time: float = 0.0, step: int = 0) -> bytes:
    """An event's bytes before its ``summary`` bytes of values; the step is a varint of fixed length."""
    return b"\x09" + struct.pack("<d", wall_time) + b"\x10" + padded_varint(step) + b"\x2a" + varint(summary)


def value(body: int) -> bytes:
    """What stands before a ``Summary.Value`` of ``body`` bytes."""
    return b"\x0a" + varint(body)


@lru_cache(maxsize=1 << 16)
def tag(text: str) -> bytes:
    """The tag field of a value."""
    return field(0x0A, text.encode())


# The values of a layout differ in their tags and few sizes: the rest is made once.
@lru_cache(maxsize=1024)
def tensor(dtype: int, shape: tuple[int, ...], size: int, numbers: int = CONTENT) -> bytes:
    """The tensor field of a value up to its ``size`` bytes of numbers, which end it."""
    dims = b"".join(field(0x12, b"\x08" + varint(length)) for length in shape)
    head = b"\x08" + varint(dtype) + field(0x12, dims) + bytes([numbers]) + varint(size)
    return b"\x42" + varint(len(head) + size) + head


@lru_cache(maxsize=1024)
def metadata(content: int) -> tuple[bytes, bytes]:
    """The metadata field of a value: what stands before and what after its ``content`` bytes of plugin data."""
    plugin = field(0x0A, PLUGIN_NAME.encode()) + b"\x12" + varint(content)
    summary = b"\x0a" + varint(len(plugin) + content) + plugin
    return b"\x4a" + varint(len(summary) + content + len(_AFTER_CONTENT)) + summary, _AFTER_CONTENT


def whole(text: str, content: bytes, dtype: int, array: NDArray[np.generic]) -> tuple[bytes, bytes]:
    """A value with ``array`` as its tensor: the bytes before its numbers, and its numbers."""
    numbers = array.tobytes()
    before, after = metadata(len(content))
    body = tag(text) + before + content + after + tensor(dtype, array.shape, len(numbers))
    return value(len(body) + len(numbers)) + body, numbers


def field(key: int, data: bytes) -> bytes:
    return bytes([key]) + varint(len(data)) + data


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def padded_varint(number: int) -> bytes:
    """A varint of always ten bytes: nine of seven bits with the continuation bit, then bit 63."""
    number &= (1 << 64) - 1
    return bytes(number >> shift & 0x7F | 0x80 for shift in range(0, 63, 7)) + bytes([number >> 63])


def read_padded_varint(data: bytes) -> int:
    number = sum((byte & 0x7F) << shift for byte, shift in zip(data, range(0, 70, 7), strict=True)) & ((1 << 64) - 1)
    return number - (1 << 64) if number >> 63 else number
