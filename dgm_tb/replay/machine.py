"""Running a tape: its ops again on given sources, in the recorded precision or a finer one, with edits where asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from dgm_tb.errors import FormatError
from dgm_tb.replay import tape as tapes
from dgm_tb.replay.kinks import KINKED, Kinks
from dgm_tb.replay.substitutes import DRAWN, SUBSTITUTES, UnknownOpError
from dgm_tb.replay.tape import Json, Op, Output, Tape

#: What takes the place of a value when it is made: (value, position) -> function of it.
Edits: TypeAlias = Mapping[tuple[int, int], Callable[[Tensor], Tensor]]


@dataclass(frozen=True)
class Machine:
    """A tape ready to run.

    ``precise``: everything floating in ``dtype``, and through `detach` and `no_grad` as if they were not there – for
    credit, which asks for causes; otherwise exactly as recorded, so that loss and gradients have the recorded bits.
    """

    tape: Tape
    precise: bool = False
    dtype: torch.dtype = torch.float64
    _needed: dict[tuple[tuple[int, int], ...], list[int]] = field(default_factory=dict)

    @property
    def epsilon(self) -> float:
        """What rounding is of a number that this computes."""
        return torch.finfo(self.dtype).eps

    def has_kinks(self, wanted: Sequence[tuple[int, int]]) -> bool:
        """Whether a derivative jumps in what the ``wanted`` are computed by."""
        return any(self.tape.ops[at].name in KINKED for at in tapes.needed(self.tape, wanted))

    def sources(self, tensors: Mapping[str, Tensor]) -> dict[int, Tensor]:
        """The sources' values from a deep snapshot's tensors; raises `FormatError` where one is missing or misfits."""
        found: dict[int, Tensor] = {}
        for source in self.tape.sources:
            tensor = tensors.get(source.key)
            if tensor is None or tuple(tensor.shape) != source.shape or _name(tensor.dtype) != source.dtype:
                raise FormatError(f"the deep snapshot lacks the tensor {source.key!r} as its tape describes it")
            found[source.value] = self._cast(tensor)
        return found

    def run(
        self,
        sources: Mapping[int, Tensor],
        wanted: Sequence[tuple[int, int]],
        *,
        edits: Edits | None = None,
        observe: Callable[[Op, dict[int, Tensor]], None] | None = None,
        kinks: Kinks | None = None,
    ) -> dict[tuple[int, int], Tensor]:
        """The ``wanted`` (value, position) pairs: a value as it is before the op at that position.

        ``sources`` may require grad; they are not changed. A value that an op writes into after its position stays as
        it was there, and in the graph. ``observe`` is shown each op and the values after it. ``kinks`` runs the ops
        whose derivative jumps. Raises `UnknownOpError`.
        """
        edits = edits or {}
        at_once = (*wanted, *edits)
        steps = self._needed.setdefault(tuple(at_once), tapes.needed(self.tape, at_once))
        written = {self.tape.memory[value]: at for at in steps for value in self.tape.ops[at].writes}
        overwritten = {one for one in at_once if one[1] <= written.get(self.tape.memory[one[0]], -1)}
        marks = _marks(at_once, overwritten)
        values = self._own(sources, steps, at_once)
        results: dict[tuple[int, int], Tensor] = {}
        last: list[int] = sorted({position for _, position in at_once})
        with _default_dtype(self.dtype if self.precise else torch.get_default_dtype()):
            for at in steps:
                while last and last[0] <= at:
                    self._stop(last.pop(0), marks, edits, values, results)
                self._step(at, values, kinks)
                if observe is not None:
                    observe(self.tape.ops[at], values)
            for position in last:
                self._stop(position, marks, edits, values, results)
        return {pair: results[pair] for pair in wanted}

    def _own(
        self, sources: Mapping[int, Tensor], steps: Sequence[int], pairs: Iterable[tuple[int, int]]
    ) -> dict[int, Tensor]:
        """The sources, copied where the program writes into them."""
        written = {self.tape.memory[value] for at in steps for value in self.tape.ops[at].writes}
        written |= {self.tape.memory[value] for at in steps for value in _silently_written(self.tape.ops[at])}
        with torch.enable_grad():
            return {
                value: tensor.clone() if self.tape.memory[value] in written else tensor
                for value, tensor in sources.items()
            }

    def _stop(
        self,
        position: int,
        marks: Mapping[int, Sequence[tuple[int, bool]]],
        edits: Edits,
        values: dict[int, Tensor],
        results: dict[tuple[int, int], Tensor],
    ) -> None:
        for value, overwritten in marks[position]:
            edit = edits.get((value, position))
            if edit is not None:
                values[value] = edit(values[value])
            results[value, position] = values[value]
            if overwritten:
                with torch.enable_grad():
                    values[value] = values[value].clone()

    def _step(self, at: int, values: dict[int, Tensor], kinks: Kinks | None) -> None:
        op = self.tape.ops[at]
        if self.precise and op.name.startswith("aten.detach."):
            values[_output(op)] = values[next(tapes.reads(op))]
            return
        with torch.set_grad_enabled(op.grad or self.precise):
            results = self._fixed(op, values) if op.fixed else tree_leaves(self._call(at, values, kinks))
        made = zip(op.outputs, results, strict=False)
        values.update((number, tensor) for number, tensor in made if number is not None and isinstance(tensor, Tensor))

    def _fixed(self, op: Op, values: dict[int, Tensor]) -> list[Tensor | None]:
        """What a random op drew when it was recorded."""
        drawn = [values[number] for number in op.fixed]
        if op.name in DRAWN:
            return DRAWN[op.name]([self._decode(argument, values) for argument in op.args], drawn)
        if not op.writes:
            return _spread(op, drawn)
        with torch.no_grad() if not self.precise else torch.enable_grad():
            for number, tensor in zip(op.writes, drawn, strict=False):
                values[number].copy_(tensor)
        return [values[number] for number in op.writes]

    def _call(self, at: int, values: dict[int, Tensor], kinks: Kinks | None) -> Any:
        op = self.tape.ops[at]
        args = [self._decode(argument, values) for argument in op.args]
        kwargs = {name: self._decode(argument, values) for name, argument in op.kwargs.items()}
        substitute = SUBSTITUTES.get(op.name) if self.precise else None
        try:
            run = substitute or _overload(op.name)
            if kinks is not None and op.name in KINKED and not kwargs:
                return kinks.call(at, op.name, run, args)
            return run(*args, **kwargs)
        # What a foreign tape's arguments can make an op raise.
        except (RuntimeError, TypeError, IndexError, ValueError, AttributeError, NotImplementedError) as error:
            raise UnknownOpError(f"{op.name} of the tape cannot be run again: {str(error).splitlines()[0]}") from error

    def _decode(self, argument: Json, values: Mapping[int, Tensor]) -> Any:
        if isinstance(argument, list):
            return [self._decode(item, values) for item in argument]
        if not isinstance(argument, dict):
            return argument
        kind, content = next(iter(argument.items()))
        if kind == "value":
            return values[content]
        if kind == "dtype":
            return self._dtype(content)
        return _CONSTANTS[kind](content)

    def _dtype(self, name: str) -> torch.dtype:
        dtype = _torch(name, torch.dtype)
        return self.dtype if self.precise and dtype.is_floating_point else dtype

    def _cast(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.dtype) if self.precise and tensor.is_floating_point() else tensor


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """What tensors that a program makes from nothing are of."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def pair(output: Output) -> tuple[int, int]:
    """An output as what `Machine.run` is asked for."""
    return output.value, output.at


def _marks(pairs: Iterable[tuple[int, int]], overwritten: set[tuple[int, int]]) -> dict[int, list[tuple[int, bool]]]:
    """By position: the values to look at there, and whether an op writes into each of them later."""
    marks: dict[int, list[tuple[int, bool]]] = {}
    for value, position in dict.fromkeys(pairs):
        marks.setdefault(position, []).append((value, (value, position) in overwritten))
    return marks


def _output(op: Op) -> int:
    number = op.outputs[0]
    assert number is not None
    return number


def _spread(op: Op, drawn: Sequence[Tensor]) -> list[Tensor | None]:
    """A random op's results among its outputs; what was no tensor stays None."""
    rest = iter(drawn)
    return [None if number is None else next(rest) for number in op.outputs]


def _silently_written(op: Op) -> tuple[int, ...]:
    """Running statistics, which batch norm changes without its schema saying so."""
    return tuple(tapes.reads(op)) if "batch_norm" in op.name else ()


@lru_cache(maxsize=4096)
def _overload(name: str) -> Any:
    _, base, overload = name.split(".")
    try:
        return getattr(getattr(torch.ops.aten, base), overload)
    except AttributeError:
        raise UnknownOpError(f"this PyTorch {torch.__version__} has no {name}, which the tape needs") from None


def _torch(name: object, kind: type) -> Any:
    found = getattr(torch, name, None) if isinstance(name, str) else None
    if not isinstance(found, kind):
        raise FormatError(f"the tape names {str(name)[:40]!r}, which is no {kind.__name__}")
    return found


_CONSTANTS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "layout": lambda name: _torch(name, torch.layout),
    "memory_format": lambda name: _torch(name, torch.memory_format),
    "device": lambda _: torch.device("cpu"),
    "float": lambda text: {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}[text],
    "complex": lambda parts: complex(*parts),
}


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
