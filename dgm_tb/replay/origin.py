"""Where non-finite values come from: the first op that makes one of finite inputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dgm_tb.replay import tape as tapes
from dgm_tb.replay.credit import Step
from dgm_tb.replay.machine import Machine
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

    ``site`` is the line of the user's code that called it, ``file:line``; empty where nobody noted it.
    """

    op: str
    module: str
    inputs: tuple[Range, ...]
    output: Range
    site: str = ""


def origin(step: Step, program: str) -> Origin | None:
    """The first op of a program, in its recorded precision, with a non-finite output and finite inputs; None: none.

    A non-finite weight or batch is told as an origin of its own: the op is then the kind of source.
    """
    tape = step.tape
    machine = Machine(tape)
    sources = machine.sources(step.tensors)
    for source in tape.sources:
        if source.kind != "random" and not _finite(sources[source.value]):
            return Origin(source.kind, source.name, (), _range(source.name or source.key, sources[source.value]))
    found: list[Origin] = []
    made = {source.value: source.name or source.key for source in tape.sources}

    def look(op: tapes.Op, values: dict[int, Tensor]) -> None:
        made.update({number: _short(op.name) for number in op.outputs if number is not None})
        bad = [number for number in op.outputs if number is not None and not _finite(values[number])]
        # What masks is meant to be infinite: only sums and products count that stay so.
        if bad and not found and all(_finite(values[number]) for number in tapes.reads(op) if number not in op.writes):
            module = tape.calls[op.call] if op.call >= 0 else ""
            inputs = tuple(_range(made[number], values[number]) for number in dict.fromkeys(tapes.reads(op)))
            found.append(Origin(_short(op.name), module, inputs, _range(_short(op.name), values[bad[0]]), op.site))

    loss = loss_of(tape, program)
    with torch.no_grad():
        result = machine.run(sources, [loss], observe=look)[loss]
    return found[0] if found and not _finite(result) else None


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
