"""Where non-finite values come from: the first op on the way to the loss that makes one of finite inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from dgm_tb.replay import tape as tapes
from dgm_tb.replay.credit import Step
from dgm_tb.replay.driver import Driver, driver_of
from dgm_tb.replay.machine import Machine
from dgm_tb.replay.tape import Op, Tape
from dgm_tb.replay.target import loss_of


@dataclass(frozen=True, slots=True)
class Range:
    """An operand: what made it (an op, or a source's name), its least and greatest finite value, how many are not."""

    made_by: str
    low: float
    high: float
    nonfinite: int


@dataclass(frozen=True, slots=True)
class Origin:
    """``op`` is where; ``module`` the module call it ran in, ``inputs`` what it was given, ``output`` what it made.

    ``site`` is the line of the user's code that called it, ``file:line``; empty where nobody noted it. ``driver``:
    the recorded node whose units drove it there; None where that cannot be told.
    """

    op: str
    module: str
    inputs: tuple[Range, ...]
    output: Range
    site: str = ""
    driver: Driver | None = None


def origin(step: Step, program: str) -> Origin | None:
    """The first op, in the recorded precision, by which a program's loss is not finite; None where it is finite.

    What is not finite and does not reach the loss, such as the −∞ of an attention's mask, is no origin. A weight or
    batch that is itself not finite is told as an origin of its own: the op is then the kind of source.
    """
    machine = Machine(step.tape)
    sources = machine.sources(step.tensors)
    loss = loss_of(step.tape, program)
    trace = _Trace(step.tape, {value for value, tensor in sources.items() if not _finite(tensor)})
    with torch.no_grad():
        result = machine.run(sources, [loss], observe=trace.look)[loss]
    if _finite(result):
        return None
    broken, at = trace.roots(loss[0])
    # Weights and batch are never meant to be infinite; a constant or a buffer may be a mask, so an op goes before it.
    for source in sorted(step.tape.sources, key=lambda source: _RANKS[source.kind]):
        if source.value in broken and (at is None or source.kind in ("parameter", "input")):
            return Origin(source.kind, source.name, (), _range(source.name or source.key, sources[source.value]))
    return None if at is None else _at(step, machine, sources, at)


#: Which of several sources that are not finite is told.
_RANKS: Final = {kind: rank for rank, kind in enumerate(("parameter", "input", "buffer", "constant", "random"))}


@dataclass
class _Trace:
    """Which op made what non-finite, and out of what: written while a tape runs, read from the loss backwards.

    What is bad is known by its storage, so that views and in-place ops are right.
    """

    tape: Tape
    bad_sources: set[int]
    _position: int = -1
    _maker: dict[int, int] = field(default_factory=dict)  # storage -> the op that last wrote something bad into it
    _given: dict[int, tuple[set[int], set[int]]] = field(
        default_factory=dict
    )  # op -> ops and sources of its bad inputs

    def look(self, op: Op, values: dict[int, Tensor]) -> None:
        self._position = next(at for at in range(self._position + 1, len(self.tape.ops)) if self.tape.ops[at] is op)
        made = [number for number in _made(op) if not _finite(values[number])]
        if not made:
            return
        # What an op wrote into is seen as it is afterwards: only what was bad before counts.
        given = [number for number in tapes.reads(op) if number in op.writes or not _finite(values[number])]
        memory = self.tape.memory
        makers = {self._maker[memory[number]] for number in given if memory[number] in self._maker}
        self._given[self._position] = makers, {number for number in given if number in self.bad_sources}
        self._maker.update((memory[number], self._position) for number in made)

    def roots(self, value: int) -> tuple[set[int], int | None]:
        """The sources that are not finite, and the first op that made something so of finite inputs."""
        sources: set[int] = {value} & self.bad_sources
        ops: set[int] = set()
        todo = [self._maker[self.tape.memory[value]]] if self.tape.memory[value] in self._maker else []
        seen = set(todo)
        while todo:
            at = todo.pop()
            makers, bad = self._given[at]
            sources |= bad
            if not makers and not bad:
                ops.add(at)
            todo.extend(makers - seen)
            seen |= makers
        return sources, min(ops, default=None)


def _at(step: Step, machine: Machine, sources: dict[int, Tensor], at: int) -> Origin:
    """What the op at a position was given and made."""
    op = step.tape.ops[at]
    made = {source.value: source.name or source.key for source in step.tape.sources}
    for earlier in step.tape.ops[:at]:
        made.update({number: _short(earlier.name) for number in earlier.outputs if number is not None})
    outputs = _made(op)
    given = dict.fromkeys(tapes.reads(op))
    with torch.no_grad():
        before = machine.run(sources, [(number, at) for number in given])
        ranges = tuple(_range(made[number], before[number, at]) for number in given)
        after = machine.run(sources, [(number, at + 1) for number in outputs])
    bad = next(number for number in outputs if not _finite(after[number, at + 1]))
    broken = after[bad, at + 1]
    module = step.tape.calls[op.call] if op.call >= 0 else ""
    return Origin(
        _short(op.name), module, ranges, _range(_short(op.name), broken), op.site,
        driver_of(step, (bad, at + 1), ~torch.isfinite(broken)),
    )  # fmt: skip


def _made(op: Op) -> list[int]:
    """The values an op returns or writes into."""
    return list(dict.fromkeys(number for number in (*op.outputs, *op.writes) if number is not None))


def _finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())


def _range(made_by: str, tensor: Tensor) -> Range:
    values = tensor.detach().double().reshape(-1)
    finite = values[torch.isfinite(values)]
    nothing = not finite.numel()
    return Range(
        made_by,
        float("nan") if nothing else float(finite.min()),
        float("nan") if nothing else float(finite.max()),
        int(values.numel() - finite.numel()),
    )


def _short(name: str) -> str:
    return name.split(".")[1].strip("_")
