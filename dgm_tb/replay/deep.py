"""Deep snapshots on disk: a directory a step, with its tape and the tensors that the step read; no PyTorch here."""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import FormatError
from dgm_tb.records import DEEP
from dgm_tb.replay.tape import LONGEST, Tape, load

#: ``<session>/deep/<step>/`` holds these; it appears whole, by a rename of a directory whose name begins with a dot.
FOLDER: Final = DEEP
TAPE: Final = "tape.json"
TENSORS: Final = "tensors.safetensors"
#: Beside the steps: why there are none, or no more, in so many characters at most.
REASON: Final = "reason.txt"
LONGEST_REASON: Final = 500
_STEP: Final = re.compile(r"[0-9]{12}")
_MOST_HEADER: Final = 1 << 26
_NO_LINKS: Final = getattr(os, "O_NOFOLLOW", 0)

#: What NumPy can show of safetensors' dtypes; half precisions are widened.
_NUMPY: Final = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1",
    "BOOL": "u1",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Deep:
    """A deep snapshot that lies in ``path``; ``size`` in bytes. ``identity`` differs for one made anew."""

    step: int
    path: Path
    size: int
    identity: tuple[int, int]


def name(step: int) -> str:
    """The directory's name of a step."""
    return f"{step:012d}"


def listing(session: Path) -> tuple[Deep, ...]:
    """The deep snapshots of a session directory, by step; links are not followed, what cannot be read is left out."""
    try:
        with os.scandir(session / FOLDER) as entries:
            named = sorted(
                entry.name for entry in entries if _STEP.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            )
    except OSError:
        return ()
    return tuple(found for entry in named for found in _deep(session / FOLDER / entry))


def read_reason(session: Path) -> str | None:
    """Why a session has no deep snapshots, or no later ones; None where it does not say."""
    try:
        with _open(session / FOLDER / REASON) as file:
            return file.read(4 * LONGEST_REASON).decode(errors="replace")
    except (FormatError, OSError):
        return None


def read_tape(deep: Deep) -> Tape:
    """Raises `FormatError` where it is missing, damaged, or calls what must not be called."""
    return load(_read(deep.path / TAPE, LONGEST))


def read_array(deep: Deep, key: str) -> NDArray[np.generic]:
    """One of the tensors, bfloat16 as float32. Raises `FormatError` where there is none such or the file is damaged."""
    with _open(deep.path / TENSORS) as file:
        header, begin = _header(file.fileno(), deep.path)
        entry = header.get(key)
        if not isinstance(entry, Mapping):
            raise FormatError(f"{deep.path} holds no tensor {key!r}")
        try:
            first, last = (int(offset) for offset in entry["data_offsets"])
            shape = tuple(int(size) for size in entry["shape"])
            data = os.pread(file.fileno(), last - first, begin + first)
            if entry["dtype"] == "BF16":
                bits = np.frombuffer(data, "<u2").astype(np.uint32) << 16
                return bits.view(np.float32).reshape(shape)
            return np.frombuffer(data, _NUMPY[entry["dtype"]]).reshape(shape)
        except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
            raise FormatError(f"{deep.path / TENSORS} is damaged at {key!r}: {error}") from None


def check_tensors(deep: Deep) -> int:
    """How many bytes of numbers its file holds. Raises `FormatError` where header and length of the file disagree."""
    with _open(deep.path / TENSORS) as file:
        header, begin = _header(file.fileno(), deep.path)
        try:
            ends = [int(entry["data_offsets"][1]) for key, entry in header.items() if key != "__metadata__"]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise FormatError(f"{deep.path / TENSORS} is damaged: {error}") from None
        size = os.fstat(file.fileno()).st_size - begin
        if max(ends, default=0) != size:
            raise FormatError(
                f"{deep.path / TENSORS} has {size:,} bytes of numbers, its header tells of {max(ends, default=0):,}"
            )
        return size


def _deep(path: Path) -> Iterator[Deep]:
    try:
        sizes = [os.stat(path / file, follow_symlinks=False).st_size for file in (TAPE, TENSORS)]
        found = path.stat()
    except OSError:
        return
    yield Deep(int(path.name), path, sum(sizes), (found.st_ino, found.st_mtime_ns))


def _open(path: Path) -> FileIO:
    """The file itself, never what a link in its place leads to. Raises `FormatError` where there is none."""
    try:
        return open(path, "rb", buffering=0, opener=lambda file, flags: os.open(file, flags | _NO_LINKS))
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}") from None


def _header(descriptor: int, path: Path) -> tuple[dict[str, Any], int]:
    """safetensors' header and where the numbers begin: eight bytes of length, then JSON."""
    try:
        (length,) = struct.unpack("<Q", os.pread(descriptor, 8, 0))
        if length > _MOST_HEADER:
            raise ValueError(f"a header of {length:,} bytes")
        found = json.loads(os.pread(descriptor, length, 8))
    except (struct.error, ValueError, RecursionError, OSError) as error:
        raise FormatError(f"{path / TENSORS} is no safetensors file: {error}") from None
    if not isinstance(found, dict):
        raise FormatError(f"{path / TENSORS} is no safetensors file")
    return found, 8 + length


def _read(path: Path, most: int) -> bytes:
    with _open(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise FormatError(f"{path} is longer than {most:,} bytes")
        return file.read()
