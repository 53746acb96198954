"""Logs: files of records of any length (segments, steps, end), read on from where the last reading stopped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dgm_tb.errors import FormatError
from dgm_tb.store import codec, framing
from dgm_tb.store.journals import open_file


@dataclass(slots=True)
class Log:
    """A file of frames of any length.

    ``damaged`` counts frames with a wrong checksum; ``foreign`` says what a frame was that is not a record for us;
    ``stuck`` why reading cannot go on.
    """

    path: Path
    offset: int = 0
    damaged: int = 0
    foreign: str | None = None
    stuck: str | None = None

    def advance(self, size: int) -> Iterator[codec.Entry]:
        """The records between the last reading and ``size``, the file's bytes now."""
        if size <= self.offset:
            return
        self.stuck = None  # what could not be read is tried again: a remote file's last bytes may come late
        try:
            with open_file(str(self.path)) as file:
                for frame in framing.frames(file, self.offset, size):
                    if frame.payload is None and frame.end == size:
                        self.stuck = "the last record is damaged, or has not arrived yet"
                        return
                    self.offset = frame.end
                    entry = self._decode(frame.payload)
                    if entry is not None:
                        yield entry
        except FormatError as error:
            self.stuck = str(error)
        except OSError as error:
            self.stuck = f"cannot be read: {error.strerror}"

    def _decode(self, payload: bytes | None) -> codec.Entry | None:
        if payload is None:
            self.damaged += 1
            return None
        try:
            return codec.decode(payload)
        except FormatError as error:
            self.foreign = str(error)
            return None
