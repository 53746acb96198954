"""The JSON headers of records to and from their dataclasses; everything wrong in them is a `FormatError`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final, TypeVar

from dgm_tb.errors import FormatError
from dgm_tb.moments import STATISTICS
from dgm_tb.records import FORMAT_VERSION, Edge, Graph, Layout, Manifest, Node, Row, RowKey, Thinned

T = TypeVar("T")
Json = Mapping[str, Any]

#: Bounds of what a header may claim; far beyond any model, and small enough that no arithmetic on them overflows int64.
MOST_UNITS: Final = 1 << 31
MOST_NUMBER: Final = 1 << 62
MOST_LEVEL: Final = 15  # 16^15 snapshots are 2^60


def dump(kind: str, **keys: object) -> bytes:
    """A header as compact JSON. NaN is refused: it is not JSON."""
    return json.dumps({"v": FORMAT_VERSION, "kind": kind, **keys}, separators=(",", ":"), allow_nan=False).encode()


def load(content: bytes) -> Json:
    """A header's keys, with a ``v`` that this release reads and a ``kind``."""
    try:
        keys: Any = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise FormatError(f"a record's header is not JSON ({error})") from error
    keys = _mapping(keys, "header")
    version = integer(keys.get("v"), "v")
    if version > FORMAT_VERSION:
        release = _mapping(keys.get("versions", {}), "versions").get("dgm-tb", "newer than this one")
        raise FormatError(
            f"written in format {version}, this release of dgm-tb reads up to {FORMAT_VERSION}: "
            f"install the release that wrote it ({release})"
        )
    if version < FORMAT_VERSION:
        raise FormatError("recorded by a version before the first release; record anew")
    text(keys.get("kind"), "kind")
    checked: Json = keys
    return checked


def text(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise _wrong(value, key, "a string")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # a lone surrogate: legal in JSON, in no reply
        raise _wrong(value, key, "a string of Unicode characters") from error
    return value


def texts(value: object, key: str) -> tuple[str, ...]:
    return tuple(text(item, key) for item in _sequence(value, key))


def integer(value: object, key: str, *, least: int = 0, most: int = MOST_NUMBER) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _wrong(value, key, f"a whole number of {least:,} to {most:,}")
    return value


def manifest(keys: Json) -> Manifest:
    return Manifest(
        layout=_layout(keys.get("layout")),
        nodes=_many(_node, keys.get("nodes"), "nodes"),
        created=_seconds(keys.get("created"), "created"),
        versions=_texts_by_name(keys.get("versions", {}), "versions"),
        schedule=_schedule(keys.get("schedule", {})),
        sequence=integer(keys.get("sequence", 0), "sequence"),
    )


def manifest_keys(record: Manifest) -> dict[str, object]:
    return {
        "layout": [_row_cells(row) for row in record.layout.rows],
        "nodes": [asdict(node) for node in record.nodes],
        "created": record.created,
        "versions": dict(record.versions),
        "schedule": dict(record.schedule),
        "sequence": record.sequence,
    }


def graph(keys: Json) -> Graph:
    return Graph(
        step=integer(keys.get("step"), "step"),
        nodes=_many(_node, keys.get("nodes"), "nodes"),
        edges=_many(_edge, keys.get("edges"), "edges"),
        groups=_texts_by_name(keys.get("groups", {}), "groups"),
        programs=_texts_by_name(keys.get("programs", {}), "programs"),
    )


def graph_keys(record: Graph) -> dict[str, object]:
    return {
        "step": record.step,
        "nodes": [asdict(node) for node in record.nodes],
        "edges": [asdict(edge) for edge in record.edges],
        "groups": dict(record.groups),
        "programs": dict(record.programs),
    }


def thinned(keys: Json) -> Thinned:
    return Thinned(
        level=integer(keys.get("level"), "level", most=MOST_LEVEL),
        first_step=integer(keys.get("first_step"), "first_step", least=-MOST_NUMBER),
        last_step=integer(keys.get("last_step"), "last_step", least=-MOST_NUMBER),
        snapshots=integer(keys.get("snapshots"), "snapshots"),
        reason=text(keys.get("reason"), "reason"),
    )


def thinned_keys(record: Thinned) -> dict[str, object]:
    return asdict(record)


def _row_cells(row: Row) -> list[object]:
    cells: list[object] = [row.key.node, row.key.program, row.key.quantity, row.units]
    return cells if row.channels == STATISTICS else [*cells, list(row.channels)]


def _layout(value: object) -> Layout:
    rows = _many(_row, value, "layout")
    if len({row.key for row in rows}) != len(rows):
        raise FormatError("the header's layout names a row twice")
    return Layout(rows)


def _row(value: object) -> Row:
    cells = _sequence(value, "layout")
    if len(cells) not in (4, 5):
        raise _wrong(value, "layout", "rows of [node, program, quantity, units] or with [channels] after them")
    node, program, quantity = (text(cell, "layout") for cell in cells[:3])
    channels = _channels(cells[4]) if len(cells) == 5 else STATISTICS
    return Row(RowKey(node, program, quantity), integer(cells[3], "layout", most=MOST_UNITS), channels)


def _channels(value: object) -> tuple[str, ...]:
    channels = texts(value, "layout")
    if "count" not in channels or len(set(channels)) != len(channels) or not set(channels) <= set(STATISTICS):
        raise _wrong(value, "layout", f"channels of {', '.join(STATISTICS)} with count and none twice")
    return channels


def _integers(value: object, key: str) -> tuple[int, ...]:
    return tuple(integer(item, key) for item in _sequence(value, key))


def _flag(value: object, key: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, key, "true or false")
    return value


Fields = Mapping[str, Callable[[object, str], Any]]

_NODE: Final[Fields] = {
    "name": text, "module_type": text, "group": text, "units": integer, "programs": texts, "quantities": texts,
    "parameters": integer, "shape": _integers, "calls": integer, "kind": text, "role": text,
}  # fmt: skip
_EDGE: Final[Fields] = {"source": text, "target": text, "back": _flag}


def _node(value: object) -> Node:
    return _record(Node, _NODE, value, "nodes")


def _edge(value: object) -> Edge:
    return _record(Edge, _EDGE, value, "edges")


def _record(make: Callable[..., T], fields: Fields, value: object, key: str) -> T:
    keys = _mapping(value, key)
    try:
        return make(**{name: parse(keys[name], name) for name, parse in fields.items() if name in keys})
    except TypeError as error:  # a field without a default is missing
        raise _wrong(value, key, f"objects with {', '.join(fields)}") from error


def _many(parse: Callable[[object], T], value: object, key: str) -> tuple[T, ...]:
    return tuple(parse(item) for item in _sequence(value, key))


def _seconds(value: object, key: str) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise _wrong(value, key, "seconds since the epoch")
    return float(value)


def _schedule(value: object) -> dict[str, int | str]:
    return {
        text(key, "schedule"): item if isinstance(item, int) else text(item, "schedule")
        for key, item in _mapping(value, "schedule").items()
    }


def _texts_by_name(value: object, key: str) -> dict[str, str]:
    return {text(name, key): text(item, key) for name, item in _mapping(value, key).items()}


def _mapping(value: object, key: str) -> Json:
    if not isinstance(value, dict):
        raise _wrong(value, key, "an object")
    return value


def _sequence(value: object, key: str) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(value, key, "a list")
    return value


def _wrong(value: object, key: str, expected: str) -> FormatError:
    shown = repr(value)
    return FormatError(f"the header's {key} is {shown[:80]}, expected {expected}")
