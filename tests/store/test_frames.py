from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dgm_tb.errors import FormatError
from dgm_tb.store.frames import Frames, aligned


def test_a_stretch_of_some_frames_is_read(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 256, (9, 40), np.uint8)
    (tmp_path / "file").write_bytes(data.tobytes())
    with open(tmp_path / "file", "rb", buffering=0) as file:
        frames = Frames(file, 40, range(3, 8))
        for start, size in ((0, 4), (7, 33), (5, 8), (40, 0)):
            np.testing.assert_array_equal(frames.read(start, size), data[3:8, start : start + size])
        with pytest.raises(FormatError, match="ended while it was read"):
            Frames(file, 40, range(7, 10)).read(0, 4)


def test_words_are_whole_wherever_the_bytes_stood() -> None:
    data = np.arange(60, dtype=np.uint8).reshape(3, 20)
    words = aligned(data[:, 3:15])
    assert words.tobytes() == data[:, 3:15].tobytes()
    assert words.shape == (3, 3)
