"""The course of a recorded step: its ops, module calls, inputs and losses in their order, used or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from dgm_tb.replay.tape import Op
from lightning_callbacks.values import Part


@dataclass(frozen=True, slots=True)
class Came:
    """A tensor of the step's batch, by its path in it."""

    path: str
    part: Part


@dataclass(frozen=True, slots=True)
class Began:
    """A module's call; with its ``inputs`` where the module may be a node of the graph."""

    call: int
    leaf: bool
    inputs: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """The call that ended, not by an exception, and what the module returned."""

    call: int
    outputs: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Minimised:
    """What the backward of a program is called on."""

    program: int
    part: Part


Entry: TypeAlias = Op | Came | Began | Ended | Minimised


@dataclass(frozen=True, slots=True)
class Course:
    """``entries`` without what ran in a backward pass; ``parts`` of the ops' values, ``calls`` the modules' paths."""

    entries: tuple[Entry, ...]
    parts: tuple[Part, ...]
    calls: tuple[str, ...]
