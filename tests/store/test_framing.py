from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgm_tb.errors import FormatError
from dgm_tb.store import framing
from dgm_tb.store.journals import open_file
from tests.store import oracles

payloads = st.lists(st.binary(max_size=40), max_size=5)


def read(path: Path, data: bytes, start: int = 0) -> list[framing.Frame]:
    path.write_bytes(data)
    with open_file(str(path)) as file:
        return list(framing.frames(file, start, len(data)))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("framing") / "frames"


@given(st.binary(max_size=100))
def test_a_frame_is_tensorboards(payload: bytes) -> None:
    assert framing.frame(payload) == oracles.frame(payload)


@given(payloads, st.data())
def test_a_cut_file_gives_its_whole_frames_and_then_the_rest(
    path: Path, written: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(map(framing.frame, written))
    cut = data.draw(st.integers(0, len(whole)))
    before = read(path, whole[:cut])
    assert [frame.end for frame in before] == oracles.whole_frames(whole[:cut])
    after = read(path, whole, before[-1].end if before else 0)
    assert [frame.payload for frame in before + after] == written


@given(payloads.filter(bool), st.data())
def test_no_flipped_bit_goes_unseen(path: Path, written: list[bytes], data: st.DataObject) -> None:
    whole = bytearray(b"".join(map(framing.frame, written)))
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8
    starts = [0, *oracles.whole_frames(b"".join(map(framing.frame, written)))][:-1]
    if any(start <= bit // 8 < start + framing.HEADER.size for start in starts):
        with pytest.raises(FormatError, match="length at byte"):
            read(path, bytes(whole))
        return
    found = [frame.payload for frame in read(path, bytes(whole))]
    assert len(found) == len(written)
    assert [(new, old) for new, old in zip(found, written, strict=True) if new != old] == [
        (None, written[found.index(None)])
    ]


def test_a_length_beyond_all_reason_is_refused_without_reading_it(path: Path) -> None:
    length = struct.pack("<Q", 1 << 60)
    data = length + struct.pack("<I", framing.masked(framing.crc32c(length))) + bytes(100)
    with pytest.raises(FormatError, match="length at byte 0 is damaged"):
        read(path, data)


def test_a_record_that_no_reader_would_take_is_not_written() -> None:
    with pytest.raises(FormatError, match="33,554,433 bytes"):
        framing.frame(bytes(framing.LONGEST_PAYLOAD + 1))
