"""A recorded tape before its outputs have names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from dgm_tb.replay.tape import Tape


class UnrecordableError(Exception):
    """The step does something that a tape cannot hold; the message says what."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Whose an output is: the ``occurrence``-th call of module ``path``; ``output`` is "" for the first of several."""

    path: str
    occurrence: int
    output: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """A tape whose outputs, ``seen`` one by one, have no nodes' names yet, and the numbers of its sources by key."""

    tape: Tape
    seen: tuple[Seen, ...]
    tensors: Mapping[str, Tensor]

    def named(self, nodes: Mapping[Seen, Sequence[tuple[str, str, int]]]) -> Tape:
        """The tape with its outputs named: ``nodes`` says of each the nodes, programs and unit axes it stands for."""
        outputs = tuple(
            replace(out, node=node, program=program, axis=axis)
            for seen, out in zip(self.seen, self.tape.outputs, strict=True)
            for node, program, axis in nodes.get(seen, ())
        )
        return replace(self.tape, outputs=outputs)
