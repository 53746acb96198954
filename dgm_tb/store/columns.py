"""Channels turned unit-major: which narrow form holds one without loss, and its pages with their checksums."""

from __future__ import annotations

import sys
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
_LITTLE: Final = sys.byteorder == "little"


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
                word = words[snapshot, channel, unit]
                size = word & np.uint32(0x7FFFFFFF)
                if size - np.uint32(0x38800000) < np.uint32(
                    0x0EFFF000
                ):  # from 2^-14 to 65,519: an odd half is rounded up
                    rounded = size - np.uint32(0x38000000) + np.uint32(0xFFF) + (size >> np.uint32(13) & np.uint32(1))
                    out[unit, snapshot] = (word >> np.uint32(16) & np.uint32(0x8000)) | rounded >> np.uint32(13)
                else:
                    out[unit, snapshot] = _half(word)[0]


@compiled
def turn_back(words: NDArray[np.uint32], out: NDArray[np.uint32]) -> None:
    """``words`` ``(units, snapshots)`` as ``out`` ``(snapshots, units)``, a page at a time.

    512 units of 64 snapshots take 28 µs; NumPy's copy takes 49 and keeps the interpreter's lock.
    """
    units, snapshots = words.shape
    for begin in range(0, units, PAGE_UNITS):
        for snapshot in range(snapshots):
            for unit in range(begin, min(begin + PAGE_UNITS, units)):
                out[snapshot, unit] = words[unit, snapshot]


@compiled
def _eight(word: np.uint64) -> np.uint64:
    """The CRC after eight bytes, of which the first four have been mixed with that before them."""
    byte = np.uint64(0xFF)
    result: np.uint64 = np.uint64(
        _TABLES[7, word & byte]
        ^ _TABLES[6, word >> np.uint64(8) & byte]
        ^ _TABLES[5, word >> np.uint64(16) & byte]
        ^ _TABLES[4, word >> np.uint64(24) & byte]
        ^ _TABLES[3, word >> np.uint64(32) & byte]
        ^ _TABLES[2, word >> np.uint64(40) & byte]
        ^ _TABLES[1, word >> np.uint64(48) & byte]
        ^ _TABLES[0, word >> np.uint64(56)]
    )
    return result


@compiled
def _four_crcs(words: NDArray[np.uint64], out: NDArray[np.uint32]) -> None:
    """The CRCs of four pages of ``words`` at once: one has to wait for each of its steps, several wait together."""
    each, ones = words.size // 4, np.uint64(0xFFFFFFFF)
    first, second, third, fourth = ones, ones, ones, ones
    for at in range(each):
        first, second = _eight(first ^ words[at]), _eight(second ^ words[at + each])
        third, fourth = _eight(third ^ words[at + 2 * each]), _eight(fourth ^ words[at + 3 * each])
    out[0], out[1], out[2], out[3] = first ^ ones, second ^ ones, third ^ ones, fourth ^ ones


@compiled
def page_crcs(data: NDArray[np.uint8], page: int, out: NDArray[np.uint32]) -> None:
    """The CRC-32C of every ``page`` bytes of ``data``, the last of them perhaps shorter."""
    done = 0
    if page % 8 == 0 and _LITTLE:
        while (done + 4) * page <= data.size:
            _four_crcs(data[done * page : (done + 4) * page].view(np.uint64), out[done : done + 4])
            done += 4
    for index in range(done, out.size):
        out[index] = crc32c(data[index * page : min((index + 1) * page, data.size)])
