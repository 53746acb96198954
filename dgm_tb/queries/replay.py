"""What a target and the loss of a deep snapshot become with something undone or forced; asked of the worker."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from dgm_tb.queries.credit import Files, identity, program_of
from dgm_tb.queries.deep import find, snapshots, tape_of
from dgm_tb.replay.ask import Change, ReplayAsked, Target
from dgm_tb.replay.client import Client
from dgm_tb.store.run import Run


@dataclass(frozen=True, slots=True)
class Request:
    """The target as in `dgm_tb.queries.credit`; ``change`` of ``at`` (a node; empty: the model) and its ``of`` units.

    ``change``: ``clamp`` to [``low``, ``high``], or ``restore-units``, ``restore-weights``, ``restore-samples`` (then
    ``of`` are batch positions) as they were at deep step ``previous``.
    """

    run: str
    step: int
    node: str
    change: str
    units: tuple[int, ...] = ()
    program: str | None = None
    quantity: str = "activation"
    previous: int | None = None
    at: str = ""
    of: tuple[int, ...] = ()
    low: float = 0.0
    high: float = 0.0
    asker: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """``state`` and ``message`` as in `dgm_tb.queries.credit`; then the numbers, None where not finite.

    ``loss_finite_before`` and ``…_after`` tell that apart from no answer yet.
    """

    state: str
    message: str
    step: int
    program: str
    target_before: float | None = None
    target_after: float | None = None
    loss_before: float | None = None
    loss_after: float | None = None
    loss_finite_before: bool | None = None
    loss_finite_after: bool | None = None


def answer(run: Run, request: Request, client: Client) -> View:
    """What is known now; ask again while it is ``running``."""
    change = Change(request.change, request.at, request.of, request.low, request.high)
    asked, files = resolve(
        run, request.step, request.node, request.units, (change,), request.previous, request.quantity, request.program
    )
    reply = client.ask(asked, files, request.asker)
    if reply.answer is None:
        return View(reply.state, reply.message, request.step, asked.target.program)
    numbers: dict[str, Any] = {name: float(value) for name, value in reply.answer.arrays.items()}
    numbers |= {f"loss_finite_{when}": math.isfinite(numbers[f"loss_{when}"]) for when in ("before", "after")}
    return View("done", "", request.step, asked.target.program, **numbers)


def resolve(
    run: Run,
    step: int,
    node: str,
    units: tuple[int, ...],
    changes: tuple[Change, ...],
    previous: int | None,
    quantity: str,
    program: str | None,
) -> tuple[ReplayAsked, Files]:
    """What the worker is asked, and the identity of the files that its answer depends on."""
    found = snapshots(run)
    later = find(found, step)
    earlier = None if previous is None else find(found, previous)
    target = Target(node, program_of(tape_of(later), node, program, quantity), units, quantity)
    path = None if earlier is None else str(earlier.path)
    return ReplayAsked(target, str(later.path), changes, path), identity(later, earlier)
