"""The deep snapshots of a run, and what the tape of one of them holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dgm_tb.errors import UnknownNameError
from dgm_tb.replay.deep import Deep, listing, read_reason, read_tape
from dgm_tb.replay.tape import Tape
from dgm_tb.store.bulk import sessions
from dgm_tb.store.recent import Recent
from dgm_tb.store.run import Run

# Tapes that stay parsed; one of a large network is some megabytes.
_TAPES: Final[Recent[tuple[str, tuple[int, int]], Tape]] = Recent(8)


@dataclass(frozen=True, slots=True)
class Request:
    """All of them, or with ``step`` what is in that one."""

    run: str
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """A deep snapshot and how many bytes it takes."""

    step: int
    size: int


@dataclass(frozen=True, slots=True)
class Input:
    """A tensor of the step's batch, by the ``key`` that `sample` is asked with."""

    key: str
    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """``nodes``: the nodes of each program of the tape; ``weights``: names of parameters."""

    step: int
    programs: tuple[str, ...]
    nodes: Mapping[str, tuple[str, ...]]
    inputs: tuple[Input, ...]
    weights: tuple[str, ...]
    ops: int


@dataclass(frozen=True, slots=True)
class View:
    """``contents`` of the step that was asked for; ``reason``: why there are none, or no later ones."""

    generation: int
    deep: tuple[Summary, ...]
    reason: str | None
    contents: Contents | None


def answer(run: Run, request: Request) -> View:
    """UnknownNameError for a step that is not deep, FormatError where its tape cannot be used."""
    found = snapshots(run)
    contents = None if request.step is None else _contents(tape_of(find(found, request.step)))
    summaries = tuple(Summary(one.step, one.size) for one in found.values())
    reasons = [read_reason(run.directory / session) for session in sorted(sessions(run.directory)[0])]
    return View(run.generation, summaries, next(filter(None, reversed(reasons)), None), contents)


def snapshots(run: Run) -> dict[int, Deep]:
    """The deep snapshots by step, ascending; a resumed session replaces what earlier ones recorded from there on."""
    found: dict[int, Deep] = {}
    for session in sorted(sessions(run.directory)[0]):
        own = {one.step: one for one in listing(run.directory / session)}
        first = min(own, default=None)
        found = {step: one for step, one in found.items() if first is None or step < first} | own
    return found


def find(found: Mapping[int, Deep], step: int) -> Deep:
    """The deep snapshot of a step; UnknownNameError tells the nearest ones."""
    if step not in found:
        near = sorted(found, key=lambda other: abs(other - step))[:3]
        there = f"; the nearest deep snapshots are at steps {', '.join(map(str, sorted(near)))}" if near else ""
        none = "" if near else "; this run has none: record with deep_every_n_steps=, or see why in the training's log"
        raise UnknownNameError(f"step {step} is no deep snapshot{there}{none}")
    return found[step]


def tape_of(deep: Deep) -> Tape:
    """Its tape, checked; raises FormatError."""
    key = str(deep.path), deep.identity
    tape = _TAPES.get(key)
    if tape is None:
        tape = read_tape(deep)
        _TAPES.put(key, tape)
    return tape


def _contents(tape: Tape) -> Contents:
    nodes = {
        program: tuple(dict.fromkeys(out.node for out in tape.outputs if out.program == program))
        for program in tape.program_names
    }
    return Contents(
        tape.step,
        tape.program_names,
        nodes,
        tuple(Input(one.key, one.name, one.dtype, one.shape) for one in tape.sources if one.kind == "input"),
        tuple(dict.fromkeys(one.name for one in tape.sources if one.kind == "parameter")),
        len(tape.ops),
    )
