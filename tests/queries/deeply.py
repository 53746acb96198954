"""A run with deep snapshots, and a client that says what it is told to instead of a worker."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from dgm_tb.replay.ask import Asked
from dgm_tb.replay.client import Client, Reply
from lightning_callbacks.deep import Keeper
from tests.callbacks.networks import Mlp
from tests.replay.steps import two_steps
from tests.store.made import LAYOUT, SESSION, manifest, snapshot, table, write

#: The deep steps.
EARLIER, LATER = 0, 3


def deep_run(directory: Path, session: str = SESSION) -> Path:
    """Writes it; where its session lies."""
    made = write(
        directory, [manifest(), *(snapshot(step, LAYOUT) for step in range(4)), table(range(4))], session=session
    )
    keep(made)
    return made


def keep(session: Path) -> None:
    keeper = Keeper(session, 1 << 30)
    for step in two_steps(Mlp):
        keeper.keep(step.tape, step.tensors, lasting=True)


@dataclass
class Told:
    """Answers every question with ``reply`` and notes what it was asked, and by whom."""

    reply: Reply
    asked: list[tuple[Asked, str]] = field(default_factory=list)

    def ask(self, asked: Asked, key: Hashable = None, asker: str = "") -> Reply:
        self.asked.append((asked, asker))
        return self.reply


def told(state: str, **fields: Any) -> Client:
    """As `Client` where only `ask` is called; its ``asked`` are the questions."""
    return cast("Client", Told(Reply(state, **fields)))
