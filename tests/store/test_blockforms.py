from __future__ import annotations

import numpy as np
import pytest

from dgm_tb.errors import FormatError
from dgm_tb.records import Layout, Row, rolled_layout
from dgm_tb.store.blockforms import Directory, block_form, directory_frame, directory_length, entries, read_directory
from tests.store import made


def test_a_directory_comes_back_and_no_other_bytes_are_one() -> None:
    form = block_form(made.LAYOUT, 3)
    count = entries(made.LAYOUT)
    directory = Directory(
        np.array([5, -1, 7]),
        np.arange(24.0).reshape(3, 8),
        np.arange(count) * 1000,
        np.arange(count, dtype=np.uint8) % 3,
    )
    frame = directory_frame(form, directory)
    assert len(frame) == directory_length(count, 3)
    assert len({directory_length(count, snapshots) for snapshots in range(65)}) == 65  # how many is told by the length
    back = read_directory(form, frame)
    for field in ("steps", "context", "places", "kinds"):
        np.testing.assert_array_equal(getattr(back, field), getattr(directory, field))
    for bit in range(8 * len(frame)):
        flipped = bytearray(frame)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError, match="directory is damaged"):
            read_directory(form, bytes(flipped))


def test_layouts_are_told_apart() -> None:
    rows = made.LAYOUT.rows
    others = [Layout(rows[::-1]), Layout(rows[:1]), Layout((Row(made.A, 4), rows[1])), rolled_layout(made.LAYOUT),
              Layout((Row(made.A, 3, ("count", "mean")), rows[1]))]  # fmt: skip
    assert len({block_form(layout, 64).fingerprint for layout in (made.LAYOUT, *others)}) == 6


def test_channels_beyond_what_a_record_holds_are_refused() -> None:
    with pytest.raises(FormatError, match="their journal stays as it is"):
        block_form(Layout((Row(made.A, 1 << 23),)), 64)
