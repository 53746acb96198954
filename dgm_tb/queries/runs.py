"""The live heartbeat: which runs there are and which of them changed since the last time."""

from __future__ import annotations

import contextlib
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from dgm_tb.errors import DgmError
from dgm_tb.queries.graph import graph_id
from dgm_tb.queries.notes import notes, thinned
from dgm_tb.store.catalog import Catalog
from dgm_tb.store.run import Run

State: TypeAlias = Literal["live", "ended", "silent"]

# A recording writes at least its losses every two seconds (docs of the recorder); this is many times that, so a slow
# step or a validation epoch does not look like a death.
SILENCE: Final = 30.0
#: Seconds that a beat looks at runs; what it does not get to comes with later ones. Opening takes some milliseconds a
#: run, 6 s for a thousand of them, and a tab asks every two seconds.
PATIENCE: Final = 0.4


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
    notes: tuple[str, ...] = ()
    thinned: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """``runs`` changed and ``gone`` vanished since the request's cursor; ``now`` is this machine's clock.

    ``unread`` runs were found and not read yet: they are listed by a later beat, the newest first.
    """

    cursor: str
    now: float
    logdir: str
    runs: tuple[Summary, ...]
    gone: tuple[str, ...]
    unread: int


@dataclass(frozen=True, slots=True)
class _Look:
    """How far a run had come when it was last looked at, and when it was last seen to grow (by ``timer``)."""

    number: int
    progress: tuple[float, int, int]
    grew: float


class Heartbeat:
    """Remembers when each run last changed, counted in replies, so that a client need hear only what is new.

    ``clock`` gives seconds since the epoch, ``timer`` seconds that never jump. A cursor is ``<this server's
    mark>-<count>``: one of another server, or none, gets everything.
    """

    def __init__(
        self,
        catalog: Catalog,
        logdir: str,
        clock: Callable[[], float],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog, self._logdir, self._clock, self._timer = catalog, logdir, clock, timer
        self._mark = secrets.token_hex(4)
        self._count = 0
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Summary | None, int]] = {}  # None: gone
        self._looks: dict[str, _Look] = {}
        self._looked = 0
        self._reader: threading.Thread | None = None
        self._idle = threading.Event()
        self._idle.set()

    def beat(self, request: Request) -> View:
        """As many runs as `PATIENCE` lets looked at, each in its turn; those that changed after the cursor."""
        with self._lock, self._alone():  # one at a time, or an older look could overwrite a newer one
            now = self._clock()
            names = self._catalog.names()
            self._note(names, self._look_round(names, now))
            unread = sum(self._known.get(name, (None,))[0] is None for name in names)
            if unread:
                self._read_soon()
            since = self._since(request.since)
            changed = [(name, summary) for name, (summary, count) in sorted(self._known.items()) if count > since]
            return View(
                cursor=f"{self._mark}-{self._count}",
                now=now,
                logdir=self._logdir,
                runs=tuple(summary for _, summary in changed if summary),
                gone=tuple(name for name, summary in changed if not summary) if since else (),
                unread=unread,
            )

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """The reader rests meanwhile: sharing the interpreter with it, a beat would wait 5 ms at each system call."""
        self._idle.clear()
        try:
            yield
        finally:
            self._idle.set()

    def _read_soon(self) -> None:
        """Opens what waits on a thread of its own, which ends with that."""
        if self._reader is None or not self._reader.is_alive():
            self._reader = threading.Thread(target=self._read_on, name="dgm-read", daemon=True)
            self._reader.start()

    def _read_on(self) -> None:
        for name in self._catalog.waiting():
            self._idle.wait()
            try:
                self._catalog.open(name)
            except (DgmError, OSError):  # gone since, or foreign: the beat that comes to it says so
                continue

    def _look_round(self, names: Sequence[str], now: float) -> dict[str, Summary]:
        """Known runs first, those not looked at for longest before others; then new ones, the opened before others."""
        end = self._timer() + PATIENCE
        waiting = {name: place for place, name in enumerate(self._catalog.waiting(), 1)}
        known = sorted(set(names) & set(self._looks), key=lambda name: self._looks[name].number)
        new = sorted(set(names) - set(self._looks), key=lambda name: waiting.get(name, 0))
        summaries: dict[str, Summary] = {}
        for name in (*known, *new):
            summaries[name] = self._summarise(name, now)
            if self._timer() > end:
                break
        return summaries

    def _summarise(self, name: str, now: float) -> Summary:
        self._looked += 1
        try:
            run = self._catalog.open(name)
            return _summary(run, name, self._state(run, name, now))
        except (DgmError, OSError) as error:  # one foreign folder must not hide the other runs
            return Summary(name, "silent", 0, None, None, 0, None, None, 0, None, None, (str(error),))

    def _state(self, run: Run, name: str, now: float) -> State:
        """A run is live if its newest record is new by this machine's clock, or if we saw it grow just now.

        The recording machine's clock may be wrong, or jump: one that is behind must not hide that a run grows, one that
        is ahead not let a killed run live for as long.
        """
        before, at = self._looks.get(name), self._timer()
        progress = (_finite(run.last_wall_time) or 0.0, len(run.steps), len(run.losses.steps))
        unchanged = before.grew if before else -math.inf
        grew = at if before and progress != before.progress else unchanged
        self._looks[name] = _Look(self._looked, progress, grew)
        if run.end_reason is not None:
            return "ended"
        return "live" if abs(now - run.last_wall_time) <= SILENCE or at - grew <= SILENCE else "silent"

    def _note(self, names: Sequence[str], summaries: dict[str, Summary]) -> None:
        there = set(names)
        current = {name: summary if name in there else None for name, (summary, _) in self._known.items()}
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


def _summary(run: Run, name: str, state: State) -> Summary:
    steps = run.steps
    return Summary(
        name=name,
        state=state,
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
        notes=notes(run),
        thinned=thinned(run),
    )


def _finite(seconds: float) -> float | None:
    """A NaN, as damaged bytes may hold, would make a summary differ from itself at every beat."""
    return seconds if math.isfinite(seconds) else None
