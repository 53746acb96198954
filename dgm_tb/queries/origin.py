"""The first op of a deep snapshot that makes a non-finite value of finite ones; asked of the worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dgm_tb.errors import UnknownNameError
from dgm_tb.queries.credit import Files, identity
from dgm_tb.queries.deep import find, snapshots, tape_of
from dgm_tb.replay.ask import OriginAsked
from dgm_tb.replay.client import Client
from dgm_tb.store.run import Run


@dataclass(frozen=True, slots=True)
class Request:
    """In ``program`` of deep ``step``; without it the step's first."""

    run: str
    step: int
    program: str | None = None
    asker: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """``origin``: ``op``, ``module``, ``site``, ``inputs`` and ``output`` as `dgm_tb.replay.origin.Origin` has them.

    None where everything the loss follows from is finite, or before ``state`` is ``done``.
    """

    state: str
    message: str
    step: int
    program: str
    origin: Mapping[str, Any] | None = None


def answer(run: Run, request: Request, client: Client) -> View:
    """What is known now; ask again while it is ``running``."""
    asked, files = resolve(run, request.step, request.program)
    reply = client.ask(asked, files, request.asker)
    found = reply.answer.fields["origin"] if reply.answer is not None else None
    return View(reply.state, reply.message, request.step, asked.program, found)


def resolve(run: Run, step: int, program: str | None) -> tuple[OriginAsked, Files]:
    """What the worker is asked, and the identity of the files that its answer depends on."""
    deep = find(snapshots(run), step)
    programs = tape_of(deep).program_names
    if not programs:
        raise UnknownNameError(f"no backward ran at step {step}, so its tape has no program")
    return OriginAsked(str(deep.path), program or programs[0]), identity(deep)
