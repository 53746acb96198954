"""Records to and from ``Event`` protos, all kinds but snapshots (those: `dgm_tb.store.snapshots`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_DOUBLE

from dgm_tb.errors import FormatError
from dgm_tb.records import PLUGIN_NAME, Graph, Manifest, SessionEnd, StepTable, Thinned
from dgm_tb.store import headers

#: A record that stands in a file of its own kind, beside the journals of snapshots.
Entry: TypeAlias = Manifest | Graph | StepTable | SessionEnd | Thinned

#: Headers of at most so many bytes are parsed once: a run of a day has 40,000 tables of steps with the same one.
_SMALL: Final = 1 << 14


def encode(record: Entry, wall_time: float) -> bytes:
    """The record as a serialized ``Event``; ``wall_time`` in seconds since the epoch."""
    kind, keys, step = _ENCODERS[type(record)](record)
    event = Event(wall_time=wall_time, step=step)
    value = event.summary.value.add(tag=f"dgm/{kind}")
    value.metadata.plugin_data.plugin_name = PLUGIN_NAME
    value.metadata.plugin_data.content = headers.dump(kind, **keys)
    if isinstance(record, StepTable):
        table = np.ascontiguousarray(record.values, "<f8")
        value.tensor.dtype = DT_DOUBLE
        for size in table.shape:
            value.tensor.tensor_shape.dim.add(size=size)
        value.tensor.tensor_content = table.tobytes()
    return bytes(event.SerializeToString())


def decode(payload: bytes) -> Entry | None:
    """The record of a serialized ``Event``; None for kinds that this release does not know.

    Raises `FormatError` for anything that is not a record of ours, or is one of a newer format.
    """
    try:
        event = Event.FromString(payload)
    except DecodeError as error:
        raise FormatError("a record is not a TensorBoard event") from error
    if not event.summary.value or event.summary.value[0].metadata.plugin_data.plugin_name != PLUGIN_NAME:
        raise FormatError("a record is not one of DGM's")
    first = event.summary.value[0]
    keys = _header(first.metadata.plugin_data.content)
    decoder = _DECODERS.get(keys["kind"])
    return decoder(keys, event) if decoder else None


def _header(content: bytes) -> headers.Json:
    return _small_header(content) if len(content) <= _SMALL else headers.load(content)


@lru_cache(maxsize=64)
def _small_header(content: bytes) -> headers.Json:
    return MappingProxyType(headers.load(content))


def _step_table(keys: headers.Json, event: Event) -> StepTable:
    value = event.summary.value[0]
    content = value.metadata.plugin_data.content
    columns = _small_columns(content) if len(content) <= _SMALL else _columns(keys)
    return StepTable(columns, _table(value.tensor, len(columns)))


@lru_cache(maxsize=64)
def _small_columns(content: bytes) -> tuple[str, ...]:
    return _columns(_small_header(content))


def _columns(keys: headers.Json) -> tuple[str, ...]:
    columns = headers.texts(keys.get("columns"), "columns")
    if columns[:2] != ("step", "wall_time") or len(set(columns)) != len(columns):
        raise FormatError(
            f"the columns of a table of steps are {columns[:9]}, expected step, wall_time, … without repeats"
        )
    return columns


def _table(tensor: TensorProto, columns: int) -> NDArray[np.float64]:
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    content = tensor.tensor_content
    rows = len(content) // (8 * columns)
    if tensor.dtype != DT_DOUBLE or shape != [rows, columns] or len(content) != 8 * rows * columns:
        raise FormatError(f"a table of steps has shape {shape[:9]} and {len(content):,} bytes for {columns} columns")
    table = np.frombuffer(content, "<f8").reshape(rows, columns)
    steps = table[:, 0]
    if not ((np.abs(steps) < 2**53) & (steps == np.floor(steps))).all():  # NaN fails too
        raise FormatError("a table of steps has steps that are not whole numbers")
    return table


_ENCODERS: Final[Mapping[type, Callable[..., tuple[str, dict[str, object], int]]]] = {
    Manifest: lambda record: ("manifest", headers.manifest_keys(record), 0),
    Graph: lambda record: ("graph", headers.graph_keys(record), record.step),
    StepTable: lambda record: ("steps", {"columns": list(record.columns)},
                               int(record.values[-1, 0]) if len(record.values) else 0),
    SessionEnd: lambda record: ("end", {"reason": record.reason}, 0),
    Thinned: lambda record: ("thinned", headers.thinned_keys(record), record.last_step),
}  # fmt: skip

_DECODERS: Final[Mapping[str, Callable[[headers.Json, Event], Entry]]] = {
    "manifest": lambda keys, event: headers.manifest(keys),
    "graph": lambda keys, event: headers.graph(keys),
    "steps": _step_table,
    "thinned": lambda keys, event: headers.thinned(keys),
    "end": lambda keys, event: SessionEnd(headers.text(keys.get("reason"), "reason"), event.wall_time),
}
