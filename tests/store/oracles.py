"""Slow readers of a session's files by TensorBoard's own code: what the fast ones must agree with."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.util.tensor_util import make_ndarray

from dgm_tb.records import RowKey


def events(path: Path, scratch: Path) -> list[Event]:
    """The whole records of a file, loaded by TensorBoard under a name that it would pick up."""
    copy = scratch / "events.out.tfevents.0.host"
    shutil.copyfile(path, copy)
    return [Event.FromString(raw) for raw in RawEventFileLoader(str(copy)).Load()]


def rows(event: Event) -> dict[str, NDArray[np.float64]]:
    """A record's tensors by tag."""
    return {value.tag: make_ndarray(value.tensor) for value in event.summary.value if value.HasField("tensor")}


def row(event: Event, key: RowKey) -> NDArray[np.float64]:
    return rows(event)[key.tag]


def frame(payload: bytes) -> bytes:
    """A TFRecord frame by TensorBoard's CRC in pure Python."""
    length = struct.pack("<Q", len(payload))
    return length + struct.pack("<I", masked_crc32c(length)) + payload + struct.pack("<I", masked_crc32c(payload))


def whole_frames(data: bytes) -> list[int]:
    """Where each whole frame of ``data`` ends."""
    ends, at = [], 0
    while at + 12 <= len(data):
        at += struct.unpack_from("<Q", data, at)[0] + 16
        if at > len(data):
            break
        ends.append(at)
    return ends


def rolled(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """``(ROLLS, ...)`` of ``values`` ``(snapshots, ...)``, one series after the other."""
    series = values.reshape(len(values), -1).T
    out = np.empty((4, len(series)))
    for place, numbers in enumerate(series.tolist()):
        finite = [number for number in numbers if np.isfinite(number)]
        nothing = np.nan, np.nan, np.nan, 0
        out[:, place] = (min(finite), max(finite), sum(finite) / len(finite), len(finite)) if finite else nothing
    return out.reshape(4, *values.shape[1:])


def headers(path: Path, scratch: Path) -> list[dict[str, object]]:
    """The JSON headers of a file's records."""
    contents = (event.summary.value[0].metadata.plugin_data.content for event in events(path, scratch))
    return [json.loads(content) for content in contents]
