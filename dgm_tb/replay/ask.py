"""What the worker can be asked, and what it answers, as data that both sides of the pipe know; no PyTorch here."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import IO, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import FormatError

Array: TypeAlias = NDArray[np.float64]

METHODS: Final = ("change", "value", "after")
BATCHES: Final = ("own", "same")
TARGETS: Final = ("activation", "gradient", "loss")
CHANGES: Final = ("clamp", "restore-units", "restore-weights", "restore-samples")


@dataclass(frozen=True, slots=True)
class Target:
    """The mean of ``units`` (none: all) of a node's output over its batch and positions.

    ``quantity`` is ``activation``, ``gradient`` (of the program's loss with respect to it) or ``loss`` (the program's
    own; node and units do not matter). ``samples``: batch positions to look at alone.
    """

    node: str
    program: str
    units: tuple[int, ...] = ()
    quantity: str = "activation"
    samples: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class CreditAsked:
    """Credit for a target at the deep snapshot in directory ``later``; a change also has an ``earlier`` one."""

    target: Target
    later: str
    earlier: str | None = None
    method: str = "change"
    batch: str = "own"


@dataclass(frozen=True, slots=True)
class Change:
    """Something undone or forced in a replay.

    ``restore-units``: ``units`` (none: all) of ``node`` as they were with the earlier snapshot's weights on this batch;
    ``restore-weights``: the parameters of ``node`` (empty: all) from the earlier snapshot; ``restore-samples``: the
    batch positions in ``units`` from the earlier snapshot's batch; ``clamp``: ``units`` of ``node`` kept in
    [``low``, ``high``].
    """

    kind: str
    node: str = ""
    units: tuple[int, ...] = ()
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True, slots=True)
class ReplayAsked:
    """What the target and the program's loss become with ``changes``, in the recorded precision."""

    target: Target
    later: str
    changes: tuple[Change, ...]
    earlier: str | None = None


@dataclass(frozen=True, slots=True)
class OriginAsked:
    """The first op of a program whose output is not finite while its inputs are."""

    later: str
    program: str


Asked: TypeAlias = CreditAsked | ReplayAsked | OriginAsked
_KINDS: Final[Mapping[str, type]] = {kind.__name__: kind for kind in (CreditAsked, ReplayAsked, OriginAsked)}


@dataclass(frozen=True, slots=True)
class Answer:
    """``state``: ``done``, ``failed`` (``fields`` has the message) or ``progress``; numbers in ``arrays``."""

    number: int
    state: str
    fields: Mapping[str, Any]
    arrays: Mapping[str, NDArray[np.generic]]


def write_asked(pipe: IO[bytes], number: int, asked: Asked) -> None:
    """One line of JSON."""
    line = json.dumps({"number": number, "kind": type(asked).__name__, "asked": asdict(asked)})
    pipe.write(line.encode() + b"\n")
    pipe.flush()


def read_asked(line: bytes) -> tuple[int, Asked]:
    """The request of a line that `write_asked` wrote."""
    found = json.loads(line)
    fields = found["asked"]
    for name in ("target",):
        if name in fields:
            fields[name] = Target(**{key: _tuples(value) for key, value in fields[name].items()})
    if "changes" in fields:
        fields["changes"] = tuple(
            Change(**{key: _tuples(value) for key, value in change.items()}) for change in fields["changes"]
        )
    return found["number"], _KINDS[found["kind"]](**fields)


def write_answer(pipe: IO[bytes], answer: Answer) -> None:
    """Length, JSON header with the arrays' types and shapes, their bytes."""
    arrays = {name: np.asarray(array, order="C") for name, array in answer.arrays.items()}
    header = json.dumps(
        {
            "number": answer.number,
            "state": answer.state,
            "fields": answer.fields,
            "arrays": [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()],
        }
    ).encode()
    pipe.write(struct.pack("<Q", len(header)) + header)
    for array in arrays.values():
        pipe.write(array.tobytes())
    pipe.flush()


def read_answer(pipe: IO[bytes]) -> Answer | None:
    """The next answer; None at the end of the pipe. Raises `FormatError` where it breaks off."""
    start = pipe.read(8)
    if not start:
        return None
    header = json.loads(_exactly(pipe, struct.unpack("<Q", start)[0]))
    arrays = {}
    for name, dtype, shape in header["arrays"]:
        kind = np.dtype(dtype)
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(_exactly(pipe, count * kind.itemsize), kind).reshape(shape)
    return Answer(header["number"], header["state"], header["fields"], arrays)


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) != size:
        raise FormatError("the worker's answer broke off")
    return data


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
