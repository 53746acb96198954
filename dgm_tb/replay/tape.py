"""The tape of one training step as data: every ATen call in order, what entered it and which modules it served."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

from dgm_tb.errors import FormatError
from dgm_tb.replay.allowed import is_allowed

TAPE_VERSION: Final = 1

#: A tape beyond these is refused: a step of a large network has some ten thousand ops and as many values.
MOST_OPS: Final = 1_000_000
MOST_DIMENSIONS: Final = 64
LONGEST: Final = 1 << 28  # bytes of JSON
LONGEST_SITE: Final = 600  # characters: a file system's longest name, twice, and a number

#: How arguments are written: numbers, strings, lists and None as they are, the rest as ``{kind: value}``.
Json: TypeAlias = bool | int | float | str | list[Any] | dict[str, Any] | None

#: What may enter a tape from outside, as kinds of `Source`.
KINDS: Final = ("parameter", "buffer", "input", "constant", "random")
#: The keys of argument objects: a value of the tape, a float JSON has no name for, a complex number, torch's own words.
ARGUMENTS: Final = ("value", "float", "complex", "dtype", "layout", "memory_format", "device")


@dataclass(frozen=True, slots=True)
class Source:
    """A tensor that the step read and did not make.

    ``name`` is the path of a parameter or buffer, of an input its path in the batch, else empty. ``key`` names its
    numbers among the deep snapshot's tensors: a parameter that an optimizer changed within the step (the discriminator
    of a GAN) has a source, and a key, for each state in which it was read.
    """

    value: int
    kind: str
    name: str
    key: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Op:
    """One ATen call.

    ``outputs`` are the values it returned (None: not a tensor), in flattened order; ``writes`` the values whose memory
    it changed. ``fixed`` are the sources of a random op's outputs: it is not drawn again. ``grad`` says whether grad
    mode was on, ``call`` in which module call it ran (-1: in none), ``site`` the line of the user's code, as
    ``file:line``, where that is known.
    """

    name: str
    args: list[Json]
    kwargs: dict[str, Json]
    outputs: tuple[int | None, ...]
    writes: tuple[int, ...] = ()
    fixed: tuple[int, ...] = ()
    grad: bool = True
    call: int = -1
    site: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """A recorded node's output: the ``value`` as it is before op ``at``; ``axis`` counts its units.

    ``program`` names the program it served; a node that a loop calls often has many outputs.
    """

    node: str
    program: str
    value: int
    at: int
    axis: int


@dataclass(frozen=True, slots=True)
class Program:
    """What one ``backward`` was called on: ``loss``, a value before op ``at``."""

    name: str
    loss: int
    at: int


@dataclass(frozen=True, slots=True)
class Tape:
    """A straight-line program. ``memory[value]`` numbers the storage a value lies in: views share it."""

    step: int
    sources: tuple[Source, ...]
    ops: tuple[Op, ...]
    calls: tuple[str, ...]  # module paths, in order of their calls
    outputs: tuple[Output, ...]
    programs: tuple[Program, ...]
    memory: tuple[int, ...]
    versions: Mapping[str, str]  # package -> version

    @property
    def program_names(self) -> tuple[str, ...]:
        return tuple(program.name for program in self.programs)

    def outputs_of(self, node: str, program: str) -> tuple[Output, ...]:
        """A node's outputs in a program, in order of its calls; empty where there are none."""
        return tuple(out for out in self.outputs if out.node == node and out.program == program)


def value(number: int) -> dict[str, Json]:
    """A reference to a value, as an argument."""
    return {"value": number}


def number(argument: float) -> Json:
    """A float as an argument."""
    return argument if math.isfinite(argument) else {"float": repr(argument)}


def values_in(argument: Json) -> Iterator[int]:
    """The values that an argument refers to."""
    if isinstance(argument, list):
        for item in argument:
            yield from values_in(item)
    elif isinstance(argument, dict) and "value" in argument:
        yield argument["value"]


def reads(op: Op) -> Iterator[int]:
    """The values an op is given."""
    yield from values_in(op.args)
    for argument in op.kwargs.values():
        yield from values_in(argument)


def needed(tape: Tape, wanted: Sequence[tuple[int, int]]) -> list[int]:
    """The positions of the ops, ascending, that the ``wanted`` (value, position) pairs depend on.

    Memory counts, not values: who writes to a storage that is needed is needed, so views and in-place ops are right.
    """
    return [at for at, kept, _ in _backwards(tape, wanted) if kept][::-1]


def feeding(tape: Tape, wanted: Sequence[tuple[int, int]], those: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    """Which of ``those`` (value, position) pairs the ``wanted`` ones depend on, by memory; themselves included."""
    at_position: dict[int, list[int]] = {}
    for number, position in those:
        at_position.setdefault(position, []).append(number)
    return {
        (number, position)
        for position, _, storages in _backwards(tape, wanted)
        for number in at_position.get(position, ())
        if tape.memory[number] in storages
    }


def _backwards(tape: Tape, wanted: Sequence[tuple[int, int]]) -> Iterator[tuple[int, bool, set[int]]]:
    """From the end: a position, whether its op is needed, and the storages whose content before that op is needed."""
    last = max((at for _, at in wanted), default=0)
    due: dict[int, list[int]] = {}
    for number, at in wanted:
        due.setdefault(at, []).append(tape.memory[number])
    storages: set[int] = set(due.pop(last, ()))
    yield last, False, storages
    for at in range(last - 1, -1, -1):
        op = tape.ops[at]
        touched = [out for out in op.outputs if out is not None] + list(op.writes)
        kept = any(tape.memory[out] in storages for out in touched)
        if kept:
            storages.update(tape.memory[number] for number in reads(op))
        storages.update(due.pop(at, ()))
        yield at, kept, storages


def dump(tape: Tape) -> bytes:
    """The tape as JSON."""
    return json.dumps({"v": TAPE_VERSION, **asdict(tape)}, separators=(",", ":"), allow_nan=False).encode()


def load(data: bytes) -> Tape:
    """The tape that ``data`` describes, every part checked.

    Raises `FormatError` that says what is wrong: it may come from anywhere, and what passes here will be run.
    """
    if len(data) > LONGEST:
        raise FormatError(f"a tape of {len(data):,} bytes is longer than {LONGEST:,}")
    try:
        fields = json.loads(data)
        if fields.pop("v") != TAPE_VERSION:
            raise FormatError("the tape was recorded by another version of dgm-tb: record anew, or install that one")
        tape = Tape(
            step=_whole(fields.pop("step"), None),
            sources=tuple(Source(**{**found, "shape": _shape(found["shape"])}) for found in fields.pop("sources")),
            ops=tuple(
                Op(**{**found, **{name: tuple(found[name]) for name in ("outputs", "writes", "fixed")}})
                for found in fields.pop("ops")
            ),
            calls=tuple(fields.pop("calls")),
            outputs=tuple(Output(**found) for found in fields.pop("outputs")),
            programs=tuple(Program(**found) for found in fields.pop("programs")),
            memory=tuple(fields.pop("memory")),
            versions=dict(fields.pop("versions")),
            **fields,
        )
        _check(tape)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise FormatError(f"the tape is damaged or no tape: {type(error).__name__}: {str(error)[:200]}") from None
    return tape


def _check(tape: Tape) -> None:
    """Every number in its range and every op on the list."""
    if len(tape.ops) > MOST_OPS or len(tape.memory) > 8 * MOST_OPS:
        raise FormatError(
            f"the tape has {len(tape.ops):,} ops and {len(tape.memory):,} values, too many to be one step"
        )
    known = len(tape.memory)
    for storage in tape.memory:
        _whole(storage, known)
    made: set[int] = set()
    for source in tape.sources:
        if source.kind not in KINDS or not all(
            isinstance(text, str) for text in (source.name, source.key, source.dtype)
        ):
            raise FormatError(f"a source of the tape is of kind {source.kind!r}: there are {', '.join(KINDS)}")
        made.add(_whole(source.value, known))
    for op in tape.ops:
        _check_op(op, known, made)
        if op.call != -1:
            _whole(op.call, len(tape.calls))
    for out in tape.outputs:
        _whole(out.at, len(tape.ops) + 1)
        if _whole(out.value, known) not in made:
            raise FormatError(f"node {out.node!r} of the tape has an output that nothing makes")
        _whole(out.axis, MOST_DIMENSIONS)
    for program in tape.programs:
        _whole(program.at, len(tape.ops) + 1)
        if _whole(program.loss, known) not in made:
            raise FormatError(f"program {program.name!r} of the tape has a loss that nothing makes")


def _check_op(op: Op, known: int, made: set[int]) -> None:
    if not isinstance(op.name, str) or not is_allowed(op.name):
        raise FormatError(f"the tape calls {str(op.name)[:80]!r}, which is not among the ops that are run")
    if not isinstance(op.args, list) or not isinstance(op.kwargs, dict):
        raise FormatError(f"the arguments of {op.name} are damaged")
    if not isinstance(op.site, str) or len(op.site) > LONGEST_SITE:
        raise FormatError(f"the tape has {str(op.site)[:40]!r} where the line of code of {op.name} belongs")
    for argument in (*op.args, *op.kwargs.values()):
        _check_argument(argument, op.name)
    unknown = [number for number in (*reads(op), *op.writes, *op.fixed) if _whole(number, known) not in made]
    if unknown:
        raise FormatError(f"{op.name} of the tape reads value {unknown[0]} before anything makes it")
    made.update(_whole(out, known) for out in op.outputs if out is not None)


def _check_argument(argument: Json, name: str, depth: int = 0) -> None:
    if isinstance(argument, list) and depth < 8 and len(argument) <= MOST_OPS:
        for item in argument:
            _check_argument(item, name, depth + 1)
    elif isinstance(argument, dict):
        if len(argument) != 1 or next(iter(argument)) not in ARGUMENTS:
            raise FormatError(f"{name} of the tape has an argument of an unknown kind: {str(argument)[:80]}")
    elif not (argument is None or isinstance(argument, bool | int | float | str)):
        raise FormatError(f"{name} of the tape has an argument that is nested too deeply")


def _whole(number: object, end: int | None) -> int:
    """A whole number of at least 0, below ``end``."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 0 or (end is not None and number >= end):
        raise FormatError(f"the tape has {str(number)[:40]!r} where a number from 0 to {end} belongs")
    return number


def _shape(sizes: Sequence[object]) -> tuple[int, ...]:
    if len(sizes) > MOST_DIMENSIONS:
        raise FormatError(f"the tape has a tensor of {len(sizes)} dimensions")
    return tuple(_whole(size, 1 << 40) for size in sizes)
