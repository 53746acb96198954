"""Channels turned unit-major: which narrow form holds one without loss, and its pages with their checksums."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.compiled import compiled

#: How a channel is stored: as it is, in half precision, or as the one value that all of it has.
FLOAT32, FLOAT16, CONSTANT = range(3)
#: Units whose numbers share a checksum: with 64 snapshots a page of 4 KB, the least that a disk reads.
PAGE_UNITS: Final = 16

# What is known of a channel while it is looked at: its first word, whether all words are the same, whether all of
# them fit half precision.
FIRST, SAME, FITS = range(3)


def begun(channels: int) -> NDArray[np.int64]:
    """What `look` knows of ``channels`` channels before it saw anything: ``(channels, 3)``."""
    state = np.ones((channels, 3), np.int64)
    state[:, FIRST] = -1
    return state


def kinds(state: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The narrowest form ``(channels,)`` that holds each channel, of what `look` saw.

    A constant that is a signalling NaN is kept whole: a reader that passes it through a float would quiet it.
    """
    word = state[:, FIRST]
    signalling = (word & 0x7FFFFFFF > 0x7F800000) & (word & 0x400000 == 0)
    narrow = np.where(state[:, FITS] == 1, FLOAT16, FLOAT32)
    constant = (state[:, SAME] == 1) & (word >= 0) & ~signalling
    return np.where(constant, CONSTANT, np.where(word >= 0, narrow, FLOAT32)).astype(np.uint8)


@compiled
def _half(word: np.uint32) -> tuple[np.uint16, bool]:
    """A float32's bits as float16's, rounded to the nearest (ties to even), and whether nothing was lost.

    Signalling NaNs count as lost: processors quiet them when they convert.
    """
    sign = (word >> 16) & 0x8000
    exponent, mantissa = np.int64((word >> 23) & 0xFF) - 127, np.int64(word & 0x7FFFFF)
    if exponent == 128:
        quiet = 0x200 if mantissa else 0
        kept = mantissa >> 13
        return np.uint16(sign | 0x7C00 | quiet | kept), mantissa & 0x1FFF == 0 and kept & quiet == quiet
    if exponent > 15:
        return np.uint16(sign | 0x7C00), False
    if exponent >= -14:
        full, shift, base = mantissa, 13, (exponent + 15) << 10
    else:  # a denormal of float16, or nothing
        full, shift, base = mantissa | 0x800000, min(-1 - exponent, 25), 0
        if exponent == -127:  # float32's own zero and denormals
            full = mantissa
    rest, middle = full & ((1 << shift) - 1), 1 << (shift - 1)
    half = base + (full >> shift)
    if rest > middle or (rest == middle and half & 1):
        half += 1
    return np.uint16(sign | half), rest == 0


@compiled
def _fits(word: np.uint32) -> bool:
    """Whether float16 holds this float32 roughly: no finite value becomes infinite and none but zero becomes zero."""
    half = _half(word)[0]
    infinite = half & 0x7FFF == 0x7C00 and word & 0x7FFFFFFF != 0x7F800000
    return not infinite and (half & 0x7FFF != 0 or word & 0x7FFFFFFF == 0)


@compiled
def look(words: NDArray[np.uint32], rounded: NDArray[np.bool_], state: NDArray[np.int64]) -> None:
    """Takes the bits of more values ``(snapshots, channels, units)`` into ``state`` (see `begun`).

    ``rounded`` ``(channels,)``: whether half precision may round; otherwise it must be exact to the bit.
    """
    snapshots, channels, units = words.shape
    for channel in range(channels):
        if state[channel, FIRST] < 0 and snapshots * units:
            word = words[0, channel, 0]
            state[channel, FIRST] = word
            state[channel, FITS] = np.int64(_fits(word) if rounded[channel] else _half(word)[1])
        first, same, fits = state[channel, FIRST], state[channel, SAME], state[channel, FITS]
        for snapshot in range(snapshots):
            if not (same or fits):
                break
            if same:
                for unit in range(units):
                    same &= words[snapshot, channel, unit] == first
            if fits and not same:  # while all are the same, the first has decided
                for unit in range(units):
                    word = words[snapshot, channel, unit]
                    if not (_fits(word) if rounded[channel] else _half(word)[1]):
                        fits = 0
                        break
        state[channel, SAME], state[channel, FITS] = same, fits


def _tables() -> NDArray[np.uint32]:
    table = np.zeros((8, 256), np.uint32)
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table[0, byte] = value
    for place in range(1, 8):
        table[place] = table[place - 1] >> 8 ^ table[0, table[place - 1] & 0xFF]
    return table


_TABLES: Final = _tables()


@compiled
def crc32c(data: NDArray[np.uint8]) -> np.uint32:
    """The CRC-32C of ``data``, eight bytes at a time (Kounavis, Berry 2005); outside kernels: `framing.crc32c`."""
    crc = np.uint32(0xFFFFFFFF)
    whole = data.size // 8 * 8
    for at in range(0, whole, 8):
        low = crc ^ (
            np.uint32(data[at])
            | np.uint32(data[at + 1]) << np.uint32(8)
            | np.uint32(data[at + 2]) << np.uint32(16)
            | np.uint32(data[at + 3]) << np.uint32(24)
        )
        crc = (
            _TABLES[7, low & 0xFF]
            ^ _TABLES[6, (low >> np.uint32(8)) & 0xFF]
            ^ _TABLES[5, (low >> np.uint32(16)) & 0xFF]
            ^ _TABLES[4, low >> np.uint32(24)]
            ^ _TABLES[3, data[at + 4]]
            ^ _TABLES[2, data[at + 5]]
            ^ _TABLES[1, data[at + 6]]
            ^ _TABLES[0, data[at + 7]]
        )
    for at in range(whole, data.size):
        crc = _TABLES[0, (crc ^ data[at]) & 0xFF] ^ (crc >> np.uint32(8))
    result: np.uint32 = crc ^ np.uint32(0xFFFFFFFF)
    return result


@compiled
def turn(words: NDArray[np.uint32], channel: int, out: NDArray[np.uint32]) -> None:
    """One channel of ``words`` ``(snapshots, channels, units)`` as ``out`` ``(units, snapshots)``, a page at a time."""
    snapshots, _, units = words.shape
    for begin in range(0, units, PAGE_UNITS):
        for snapshot in range(snapshots):
            for unit in range(begin, min(begin + PAGE_UNITS, units)):
                out[unit, snapshot] = words[snapshot, channel, unit]


@compiled
def turn_to_half(words: NDArray[np.uint32], channel: int, out: NDArray[np.uint16]) -> None:
    """As `turn`, in half precision."""
    snapshots, _, units = words.shape
    for begin in range(0, units, PAGE_UNITS):
        for snapshot in range(snapshots):
            for unit in range(begin, min(begin + PAGE_UNITS, units)):
                out[unit, snapshot] = _half(words[snapshot, channel, unit])[0]


@compiled
def page_crcs(data: NDArray[np.uint8], page: int, out: NDArray[np.uint32]) -> None:
    """The CRC-32C of every ``page`` bytes of ``data``, the last of them perhaps shorter."""
    for index in range(out.size):
        out[index] = crc32c(data[index * page : min((index + 1) * page, data.size)])
