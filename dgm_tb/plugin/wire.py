"""View → bytes: JSON where a view holds no array, else the binary container ``DGM1`` of ``http_api.md``."""

from __future__ import annotations

import dataclasses
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import FormatError

MAGIC: Final = b"DGM1"
_ALIGNMENT: Final = 8  # so that every array is a typed-array view in the browser, float64 included

#: How an array travels. Steps are int64 here and float64 there: a BigInt64Array would be of no use to a chart.
_WIRE: Final[Mapping[str, str]] = {
    "float32": "f4", "float64": "f8", "int64": "f8", "uint32": "u4", "int32": "i4", "uint8": "u1", "bool": "u1",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reply:
    """A body and its media type."""

    body: bytes
    content_type: str


def encode(view: object) -> Reply:
    """The reply that carries a view (a dataclass): its arrays as binary, all other fields as JSON.

    A field that maps names to arrays is sent as an array ``<field>/<name>`` each.
    """
    fields = {field.name: getattr(view, field.name) for field in dataclasses.fields(view)}  # type: ignore[arg-type]  # a dataclass
    arrays = {name: value for name, value in fields.items() if isinstance(value, np.ndarray)}
    named = {name for name, value in fields.items() if _holds_arrays(value)}
    arrays |= {f"{name}/{key}": array for name in sorted(named) for key, array in fields[name].items()}
    header = {name: _plain(value) for name, value in fields.items() if name not in arrays and name not in named}
    if not arrays:
        return Reply(_json(header), "application/json")
    return Reply(pack(header, arrays), "application/octet-stream")


def _holds_arrays(value: object) -> bool:
    return isinstance(value, Mapping) and any(isinstance(item, np.ndarray) for item in value.values())


def pack(header: Mapping[str, object], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """``DGM1`` bytes. One copy of each array, into the result."""
    parts: list[bytes | memoryview] = []
    index: dict[str, object] = {}
    offset = 0
    for name, array in arrays.items():
        dtype = _WIRE[array.dtype.name]
        data = np.ascontiguousarray(array, dtype=np.dtype(dtype).newbyteorder("<"))
        index[name] = {"dtype": dtype, "shape": list(array.shape), "offset": offset}
        padding = -data.nbytes % _ALIGNMENT
        parts += data.reshape(-1).view(np.uint8).data, b"\0" * padding
        offset += data.nbytes + padding
    text = _json({**header, "arrays": index})
    text += b" " * (-len(text) % _ALIGNMENT)
    return b"".join([MAGIC, struct.pack("<I", len(text)), text, *parts])


def unpack(body: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header and arrays of ``DGM1`` bytes, as views of them. A FormatError where they are none."""
    if body[:4] != MAGIC:
        raise FormatError(f"not a DGM1 reply: it begins with {body[:4]!r}")
    (length,) = struct.unpack_from("<I", body, 4)
    header = json.loads(body[8 : 8 + length])
    arrays = {
        name: np.frombuffer(
            body, np.dtype(entry["dtype"]).newbyteorder("<"), math.prod(entry["shape"]), 8 + length + entry["offset"]
        ).reshape(entry["shape"])
        for name, entry in header.pop("arrays").items()
    }
    return header, arrays


def _json(value: object) -> bytes:
    # ASCII: a file name that is not UTF-8 reaches us as a lone surrogate, which UTF-8 cannot carry but "\udc80" can.
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def _plain(value: object) -> object:
    """Data that JSON can hold; a non-finite number is null, since no JSON parser reads NaN."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
