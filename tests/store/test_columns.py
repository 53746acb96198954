from __future__ import annotations

import google_crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dgm_tb.store import columns
from dgm_tb.store.columns import CONSTANT, FLOAT16, FLOAT32


def floats() -> NDArray[np.uint32]:
    """Bits of float32 of every sort: any at all, all that float16 holds, their neighbours and midpoints."""
    rng = np.random.default_rng(0)
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    exact = halves[np.isfinite(halves)].astype(np.float32)
    around = [np.nextafter(exact, np.float32(side)) for side in (-np.inf, np.inf)]
    ordered = np.unique(exact)
    middles = (ordered[1:] + ordered[:-1]) / 2
    any_bits = rng.integers(0, 1 << 32, 100_000, np.uint64).astype(np.uint32)
    return np.concatenate([*(array.view(np.uint32) for array in (exact, *around, middles)), any_bits])


def as_half(words: NDArray[np.uint32]) -> NDArray[np.uint16]:
    out = np.empty((words.size, 1), np.uint16)
    columns.turn_to_half(words.reshape(1, 1, -1), 0, out)
    return out[:, 0]


def test_halves_are_rounded_as_numpy_rounds_them() -> None:
    words = floats()
    values = words.view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = values.astype(np.float16)
    found = as_half(words).view(np.float16)
    numbers = ~np.isnan(values)
    assert (found[numbers].view(np.uint16) == expected[numbers].view(np.uint16)).all()
    assert np.isnan(found[~numbers]).all()


def kind(words: NDArray[np.uint32], *, rounded: bool = False) -> int:
    state = columns.begun(1)
    columns.look(words.reshape(-1, 1, 1), np.array([rounded]), state)
    return int(columns.kinds(state)[0])


def test_a_half_is_taken_only_where_it_gives_the_bits_back() -> None:
    words = floats()
    words = words[words != 0][:: words.size // 4000]
    back = as_half(words).view(np.float16).astype(np.float32).view(np.uint32)
    for word, returned in zip(words, back, strict=True):
        signalling = word & 0x7FFFFFFF > 0x7F800000 and not word & 0x400000
        expected = FLOAT16 if word == returned and not signalling else FLOAT32
        assert kind(np.array([0, word], np.uint32)) == expected, hex(word)


@pytest.mark.parametrize(
    ("values", "exact", "rounded"),
    [
        ([0.1, 0.2], FLOAT32, FLOAT16),
        ([0.1, np.nan, np.inf, -0.0], FLOAT32, FLOAT16),
        ([0.1, 65519.0], FLOAT32, FLOAT16),
        ([0.1, 65520.0], FLOAT32, FLOAT32),  # would be infinite
        ([0.1, -1e9], FLOAT32, FLOAT32),
        ([0.1, 2.9e-8], FLOAT32, FLOAT32),  # would be zero
        ([0.1, 3.1e-8], FLOAT32, FLOAT16),
        ([0.1, 1e-44], FLOAT32, FLOAT32),
        ([1e9, 1e9], CONSTANT, CONSTANT),
        ([np.nan, np.nan], CONSTANT, CONSTANT),
        ([0.0, -0.0], FLOAT16, FLOAT16),
        ([], FLOAT32, FLOAT32),
    ],
)
def test_the_narrowest_form_is_chosen(values: list[float], exact: int, rounded: int) -> None:
    words = np.array(values, np.float32).view(np.uint32)
    assert kind(words) == exact
    assert kind(words, rounded=True) == rounded


def test_a_constant_that_signals_is_kept_whole() -> None:
    assert kind(np.array([0x7F800001] * 3, np.uint32)) == FLOAT32


@given(st.lists(st.sampled_from([0, 0x3F800000, 0x3F800001, 0x7FC00000]), min_size=1, max_size=24), st.data())
def test_looking_in_parts_finds_the_same(words: list[int], data: st.DataObject) -> None:
    bits = np.array(words, np.uint32)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(words)), max_size=3)))
    state = columns.begun(1)
    for part in np.split(bits, cuts):
        columns.look(part.reshape(1, 1, -1), np.zeros(1, np.bool_), state)
    expected = CONSTANT if len(set(words)) == 1 else FLOAT32 if 0x3F800001 in words else FLOAT16
    assert int(columns.kinds(state)[0]) == expected == kind(bits)


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(1, 64))
def test_page_checksums_are_those_of_the_library(data: bytes, page: int) -> None:
    out = np.empty(-(-len(data) // page), np.uint32)
    columns.page_crcs(np.frombuffer(data, np.uint8), page, out)
    expected = [google_crc32c.value(data[at : at + page]) for at in range(0, len(data), page)]
    assert out.tolist() == expected


@given(st.integers(0, 5), st.integers(1, 3), st.integers(0, 40))
def test_a_channel_is_turned_as_numpy_turns_it(snapshots: int, channels: int, units: int) -> None:
    words = np.arange(snapshots * channels * units, dtype=np.uint32).reshape(snapshots, channels, units)
    for channel in range(channels):
        out = np.empty((units, snapshots), np.uint32)
        columns.turn(words, channel, out)
        np.testing.assert_array_equal(out, words[:, channel].T)
        back = np.zeros((snapshots, units + 3), np.uint32)
        columns.turn_back(out, back[:, 1 : units + 1])
        np.testing.assert_array_equal(back[:, 1 : units + 1], words[:, channel])
        assert not back[:, [0, -1, -2]].any()
