"""The same stretch of several equally long frames of a file, read at once."""

from __future__ import annotations

from io import FileIO

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import FormatError


class Frames:
    """Frames ``which`` of ``file``, each ``length`` bytes long; keeps one buffer."""

    def __init__(self, file: FileIO, length: int, which: range) -> None:
        self._file, self._length, self._which = file, length, which
        self._buffer = np.empty((len(which), 0), np.uint8)

    def read(self, start: int, size: int) -> NDArray[np.uint8]:
        """Bytes ``(frames, size)`` from byte ``start`` of each; valid until the next call.

        Raises `FormatError` where the file ends before.
        """
        if size > self._buffer.shape[1]:
            self._buffer = np.empty((len(self._which), size), np.uint8)
        data = self._buffer[:, :size]
        for place, frame in enumerate(self._which):
            self._file.seek(frame * self._length + start)
            if self._file.readinto(data[place]) != size:
                raise FormatError(f"{self._file.name} ended while it was read")
        return data


def aligned(data: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """A copy of ``data`` ``(frames, bytes)`` as whole words: in a frame numbers stand wherever the tags before end."""
    words = np.empty((data.shape[0], data.shape[1] // 4), np.uint32)
    words.view(np.uint8)[:] = data
    return words
