"""Which units, weights, inputs and samples account for a target's change, value or gradient; asked of the worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import UnknownNameError, UsageError
from dgm_tb.queries.deep import find, snapshots, tape_of
from dgm_tb.replay.ask import CreditAsked, Target
from dgm_tb.replay.client import Client
from dgm_tb.replay.deep import Deep
from dgm_tb.replay.parts import unpacked
from dgm_tb.replay.tape import Tape
from dgm_tb.store.run import Run

Files: TypeAlias = tuple[tuple[int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """Credit for the mean of ``units`` (none: all) of a node at deep ``step``, since deep step ``previous``.

    ``method``: ``change`` (since ``previous``, by default the deep snapshot before), ``value``, or ``after``: which
    later units the target's gradient comes through. ``batch``: ``own`` or ``same``. ``asker`` is who wants to know,
    such as one browser tab: of each only the newest question is answered.
    """

    run: str
    step: int
    node: str
    units: tuple[int, ...] = ()
    program: str | None = None
    previous: int | None = None
    quantity: str = "activation"
    method: str = "change"
    batch: str = "own"
    samples: tuple[int, ...] = ()
    asker: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """``state``: ``waiting`` (others come first), ``running`` (``nodes`` of the path were looked at), ``failed``
    (``message``) or ``done``.

    ``credit`` holds arrays by ``group/name`` as `dgm_tb.replay.credit.Credit` describes them: ``units/<node>``
    ``(units,)``, ``maps/<node>`` ``(units, height, width)``, ``parameters/<name>``, ``buffers/<name>``,
    ``inputs/<key>``, ``samples``; float32.
    """

    state: str
    message: str
    nodes: int
    step: int
    previous: int | None
    node: str
    program: str
    converged: bool = True
    before: float | None = None
    after: float | None = None
    gap: float | None = None
    noise: float | None = None
    discrete: float | None = None
    credit: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


def answer(run: Run, request: Request, client: Client) -> View:
    """What is known now; ask again while it is ``running``. UnknownNameError for a step or node that is not there."""
    asked, files = resolve(run, request)
    reply = client.ask(asked, files, request.asker)
    previous = int(PurePath(asked.earlier).name) if asked.earlier is not None else None
    empty = View(reply.state, reply.message, reply.nodes, request.step, previous, request.node, asked.target.program)
    return empty if reply.answer is None else _done(empty, reply.answer.fields, reply.answer.arrays)


def resolve(run: Run, request: Request) -> tuple[CreditAsked, Files]:
    """What the worker is asked, and the identity of the files that its answer depends on."""
    found = snapshots(run)
    later = find(found, request.step)
    previous = _previous(found, request)
    earlier = None if previous is None else find(found, previous)
    program = program_of(tape_of(later), request.node, request.program, request.quantity)
    target = Target(request.node, program, request.units, request.quantity, request.samples or None)
    path = None if earlier is None else str(earlier.path)
    return CreditAsked(target, str(later.path), path, request.method, request.batch), identity(later, earlier)


def program_of(tape: Tape, node: str, program: str | None, quantity: str = "activation") -> str:
    """The program that is meant: the one named, else the first that the node served."""
    if program is not None:
        return program
    served = [out.program for out in tape.outputs if out.node == node]
    if served:
        return served[0]
    if quantity == "loss" and tape.programs:
        return tape.programs[0].name
    raise UnknownNameError(
        f"node {node!r} is not on the tape of step {tape.step}: it was not called there, or has no units"
    )


def identity(*deep: Deep | None) -> Files:
    """What an answer depends on beside the request: the very files."""
    return tuple(None if one is None else one.identity for one in deep)


def _previous(found: Mapping[int, Deep], request: Request) -> int | None:
    if request.method != "change":
        return None
    if request.previous is not None:
        if request.previous >= request.step:
            raise UsageError(f"previous={request.previous} must be a deep step before step={request.step}")
        return request.previous
    before = [step for step in found if step < request.step]
    if not before:
        raise UnknownNameError(f"there is no deep snapshot before step {request.step}; ask with method=value")
    return before[-1]


def _done(empty: View, fields: Mapping[str, Any], arrays: Mapping[str, NDArray[np.generic]]) -> View:
    credit = {name: np.asarray(part, np.float32) for name, part in arrays.items() if name != "numbers"}
    if "numbers" not in arrays:  # of a gradient that is followed onwards there are only units
        return replace(empty, state="done", credit=credit)
    found = unpacked(Target(empty.node, empty.program), fields, arrays)
    return replace(
        empty, state="done", nodes=found.nodes, converged=found.converged, before=found.before, after=found.after,
        gap=found.gap, noise=found.noise, discrete=found.discrete, credit=credit,
    )  # fmt: skip
