"""The live heartbeat: which runs there are and which of them changed since the last time."""

from __future__ import annotations

import math
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from dgm_tb.errors import DgmError
from dgm_tb.queries.graph import graph_id
from dgm_tb.store.catalog import Catalog
from dgm_tb.store.run import Run

State: TypeAlias = Literal["live", "ended", "silent"]

# A recording writes at least its losses every two seconds (docs of the recorder); this is many times that, so a slow
# step or a validation epoch does not look like a death.
SILENCE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Request:
    """``since``: the cursor of an earlier reply; without it every run is listed."""

    since: str | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """One run at a glance; times in seconds since the epoch, steps None before the first snapshot.

    ``losses`` counts the steps whose loss or metrics are known."""

    name: str
    state: State
    snapshots: int
    first_step: int | None
    last_step: int | None
    generation: int
    started: float | None
    last_wall_time: float | None
    losses: int
    graph: str | None
    reason: str | None
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class View:
    """``runs`` changed and ``gone`` vanished since the request's cursor; ``now`` is this machine's clock."""

    cursor: str
    now: float
    logdir: str
    runs: tuple[Summary, ...]
    gone: tuple[str, ...]


class Heartbeat:
    """Remembers when each run last changed, counted in replies, so that a client need hear only what is new.

    ``clock`` gives seconds since the epoch. A cursor is ``<this server's mark>-<count>``: one of another server, or
    none, gets everything.
    """

    def __init__(self, catalog: Catalog, logdir: str, clock: Callable[[], float]) -> None:
        self._catalog, self._logdir, self._clock = catalog, logdir, clock
        self._mark = secrets.token_hex(4)
        self._count = 0
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Summary | None, int]] = {}  # None: gone

    def beat(self, request: Request) -> View:
        """All runs looked at once; those that changed after the cursor."""
        with self._lock:  # one at a time, or an older look could overwrite a newer one
            now = self._clock()
            self._note({name: _summarise(self._catalog, name, now) for name in self._catalog.names()})
            since = self._since(request.since)
            changed = [(name, summary) for name, (summary, count) in self._known.items() if count > since]
            return View(
                cursor=f"{self._mark}-{self._count}",
                now=now,
                logdir=self._logdir,
                runs=tuple(summary for _, summary in changed if summary),
                gone=tuple(name for name, summary in changed if not summary) if since else (),
            )

    def _note(self, summaries: dict[str, Summary]) -> None:
        current: dict[str, Summary | None] = dict.fromkeys(self._known)
        current.update(summaries)
        changed = {name: new for name, new in current.items() if name not in self._known or self._known[name][0] != new}
        if changed:
            self._count += 1
            self._known.update((name, (new, self._count)) for name, new in changed.items())

    def _since(self, cursor: str | None) -> int:
        mark, _, count = (cursor or "").partition("-")
        return int(count) if mark == self._mark and count.isascii() and count.isdigit() else 0


def answer(heartbeat: Heartbeat, request: Request) -> View:
    """What changed since the request's cursor."""
    return heartbeat.beat(request)


def _summarise(catalog: Catalog, name: str, now: float) -> Summary:
    try:
        return _summary(catalog.open(name), name, now)
    except (DgmError, OSError) as error:  # one foreign folder must not hide the other runs
        return Summary(name, "silent", 0, None, None, 0, None, None, 0, None, None, (str(error),))


def _summary(run: Run, name: str, now: float) -> Summary:
    steps = run.steps
    return Summary(
        name=name,
        state=_state(run, now),
        snapshots=len(steps),
        first_step=int(steps[0]) if len(steps) else None,
        last_step=int(steps[-1]) if len(steps) else None,
        generation=run.generation,
        started=_finite(run.started),
        last_wall_time=_finite(run.last_wall_time),
        losses=len(run.losses.steps),
        graph=graph_id(run) if run.nodes else None,
        reason=run.end_reason,
        problems=run.problems,
    )


def _finite(seconds: float) -> float | None:
    """A NaN, as damaged bytes may hold, would make a summary differ from itself at every beat."""
    return seconds if math.isfinite(seconds) else None


def _state(run: Run, now: float) -> State:
    if run.end_reason is not None:
        return "ended"
    return "live" if now - run.last_wall_time <= SILENCE else "silent"
