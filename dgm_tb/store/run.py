"""One run: its sessions followed as they grow, its rows read by offset."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import FormatError, UnknownNameError
from dgm_tb.moments import DERIVED, STATISTICS
from dgm_tb.records import Graph, Node, RowKey, Thinned
from dgm_tb.store import levels
from dgm_tb.store.bulk import SESSION_DIRECTORY, bulk_directory, modified, nothing_in, sessions
from dgm_tb.store.index import SessionIndex
from dgm_tb.store.journals import Damage
from dgm_tb.store.levels import Points
from dgm_tb.store.losses import Losses
from dgm_tb.store.pool import pool
from dgm_tb.store.reading import Reader
from dgm_tb.store.timeline import Timeline, empty_timeline, timeline

Indices: TypeAlias = slice | NDArray[np.integer]

#: Problems that are told apart; a thousandth damaged file says nothing new.
_MOST_PROBLEMS = 20


class Run:
    """Reads a recorded run, finished or still growing; a context manager, safe between threads.

    ``directory`` is a run directory or its ``plugins/dgm``. Nothing is held open between reads. A row whose checksum is
    wrong reads as absent and is told in `problems`; a snapshot whose beginning is damaged is left out.

    Raises `UnknownNameError` where there is no such directory or no recording in it, `FormatError` where there is
    something but nothing of it can be read; with ``listed`` both become `problems` of an empty run instead.
    """

    def __init__(
        self, directory: Path, name: str = "", *, listed: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        self.name = name
        self.directory = bulk_directory(Path(directory))
        self._clock = clock
        self._lock = threading.RLock()
        self._sessions: dict[str, SessionIndex] = {}
        self._damage = Damage()
        self._pinned = False
        self.generation = 0
        self._timeline = empty_timeline(0.0)
        self._listing: tuple[str, ...] = ()
        self.refresh()
        self.generation = max(1, len({index.session for index in self._sessions.values()}))
        if not listed and not self._timeline.keys and not len(self._timeline.losses.steps):
            self._refuse()

    def refresh(self) -> bool:
        """Looks for growth; True if anything changed. A pinned run never changes."""
        if self._pinned:
            return False
        with self._lock:
            changed = self._follow()
            if changed or self._timeline.held_back:
                changed = self._assemble() or changed
            return changed

    def pinned(self) -> Run:
        """The run as it is now, with the same steps at the same positions however much is written meanwhile."""
        with self._lock:
            other = copy.copy(self)
        other._pinned = True
        return other

    @property
    def steps(self) -> NDArray[np.int64]:
        """``(snapshots,)``, ascending."""
        return self._timeline.steps

    @property
    def context(self) -> NDArray[np.float64]:
        """``(snapshots, CONTEXT)``."""
        return self._timeline.context

    @property
    def nodes(self) -> tuple[Node, ...]:
        return self._timeline.nodes

    @property
    def keys(self) -> Mapping[RowKey, int]:
        """How many units each recorded row has."""
        return self._timeline.keys

    @property
    def graph(self) -> Graph | None:
        return self._timeline.graph

    @property
    def graph_id(self) -> str | None:
        return self._timeline.graph_id

    @property
    def losses(self) -> Losses:
        return self._timeline.losses

    @property
    def started(self) -> float:
        """Seconds since the epoch."""
        return self._timeline.started

    @property
    def last_wall_time(self) -> float:
        """When the newest record was made, in seconds since the epoch."""
        return self._timeline.last_wall_time

    @property
    def end_reason(self) -> str | None:
        """Why the newest session ended; None while it records, or where it was killed."""
        return self._timeline.end_reason

    @property
    def problems(self) -> tuple[str, ...]:
        """Sentences for a person."""
        found = tuple(dict.fromkeys((*self._timeline.problems, *self._damage.problems())))
        more = len(found) - _MOST_PROBLEMS
        return found if more <= 0 else (*found[:_MOST_PROBLEMS], f"and {more} more problems of this kind")

    @property
    def schedule(self) -> Mapping[str, int | str]:
        """How often was captured, as the newest segment says."""
        return self._timeline.schedule

    @property
    def ranks(self) -> int:
        """How many processes recorded together."""
        return self._timeline.ranks

    @property
    def thinned(self) -> tuple[Thinned, ...]:
        """What was given up to keep the disk budget, ascending by first step; of ranks each."""
        return self._timeline.thinned

    def read(
        self,
        key: RowKey,
        indices: Indices,
        *,
        units: NDArray[np.integer] | None = None,
        statistics: Sequence[str] = STATISTICS,
    ) -> NDArray[np.float32]:
        """One row over snapshots ``(statistics, snapshots, units)``; `dgm_tb.moments.absent` where it was not recorded.

        ``indices`` are positions in `steps`; only what is asked is read. A statistic that a restricted row does not
        store is NaN. Raises `UnknownNameError` for a key that the run has not.
        """
        reader = self._reader()
        return reader.rows(key, np.arange(len(self.steps))[indices], units, statistics)

    def pieces(
        self, key: RowKey, indices: Indices, statistics: Sequence[str], most: int
    ) -> Iterator[tuple[NDArray[np.int64], slice, NDArray[np.float32]]]:
        """As `read` of all units, in pieces of about ``most`` values: which of ``indices``, which units, the rows.

        In the order in which they stand in the files, so that a layer of any width is read once and in bounded memory.
        """
        return self._reader().pieces(key, np.arange(len(self.steps))[indices], statistics, most)

    def aggregates(self, keys: Sequence[RowKey], indices: Indices) -> NDArray[np.float32]:
        """Layer summaries ``(keys, snapshots, DERIVED, REDUCTIONS)``; NaN where a row was not recorded."""
        reader = self._reader()
        return reader.aggregates(keys, np.arange(len(self.steps))[indices])

    def points(self, first: int, last: int, most: int) -> Points:
        """What the steps ``first`` to ``last`` are drawn from, in at most ``most`` columns: `dgm_tb.store.levels.plan`.

        The snapshots themselves where they are few enough and none was thinned, else points of which each has a first
        and a last step. Valid for this run as it is now: of one that may grow, ask `pinned`.
        """
        now = self._timeline
        lost = [(of.first_step, of.last_step) for of in now.thinned if of.level == 0]
        return levels.plan(now.levels, first, last, most, lost)

    def rolled(
        self,
        key: RowKey,
        points: Points,
        statistic: str,
        units: NDArray[np.integer] | None = None,
        *,
        rolls: Sequence[str] = ("mean", "min", "max"),
    ) -> NDArray[np.float32]:
        """A statistic (`DERIVED`) over each point's snapshots ``(rolls, points, units)``; NaN where nowhere finite.

        All the same at level 0. Of several ranks' rolled-up points ``min`` and ``max`` are the least and greatest of
        any rank, ``mean`` is weighted by how many snapshots of each rank it was finite in; where the ranks' points do
        not cover the same steps, single snapshots are read and merged.
        """
        return self._reader().rolled(key, points, statistic, rolls, units)

    def rolled_aggregates(
        self, keys: Sequence[RowKey], points: Points, statistics: Sequence[str] = DERIVED
    ) -> NDArray[np.float32]:
        """Layer summaries over each point's snapshots ``(keys, points, statistics, REDUCTIONS, 3)``: mean, min, max.

        NaN where a row was nowhere recorded; several ranks as in `rolled`.
        """
        return self._reader().rolled_aggregates(keys, points, statistics)

    def close(self) -> None:
        """Forgets what was read. No file is open between reads, so nothing is lost by not closing."""
        if not self._pinned:
            with self._lock:
                self._sessions.clear()
                self._timeline = empty_timeline(self._timeline.last_wall_time)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _follow(self) -> bool:
        found, listing = sessions(self.directory)
        changed = listing != self._listing
        self._listing = listing
        for name in [name for name, index in self._sessions.items() if found.get(name) != index.inode]:
            del self._sessions[name]
            changed = True
        for name, inode in found.items():
            if name not in self._sessions:
                match = SESSION_DIRECTORY.fullmatch(name)
                assert match is not None
                self._sessions[name] = SessionIndex(
                    self.directory / name, match["session"], int(match["rank"]), inode, pool()
                )
                changed = True
            changed = self._sessions[name].refresh() or changed
        return changed

    def _assemble(self) -> bool:
        recordings = [found for index in self._sessions.values() if (found := index.recording()) is not None]
        old = self._timeline
        new = timeline(recordings, self._clock()) if recordings else empty_timeline(modified(self.directory))
        troubles = [problem for index in self._sessions.values() for problem in index.problems]
        self._timeline = new = replace(new, problems=(*self._listing, *troubles, *new.problems))
        if new.replaced > old.replaced or not _extends(new, old):
            self.generation += 1
        return len(new.steps) != len(old.steps)

    def _refuse(self) -> None:
        if not self.directory.is_dir():
            raise UnknownNameError(nothing_in(self.directory))
        if self.problems:
            raise FormatError(f"{self.directory}: " + "; ".join(self.problems))
        raise UnknownNameError(f"{self.directory} holds no recording yet")

    def _reader(self) -> Reader:
        return Reader(self._timeline, self._damage)


def _extends(new: Timeline, old: Timeline) -> bool:
    """Whether each of the old snapshots is still the same frame of the same file."""
    count = len(old.steps)
    return not count or (count <= len(new.steps) and bool(np.array_equal(_places(old, count), _places(new, count))))


def _places(line: Timeline, count: int) -> NDArray[np.int64]:
    # The last, for a rank's missing part, is what the index -1 finds.
    files = np.array([file.identity for file in line.files] + [-1], np.int64)
    return np.array([[files[track.part[:count]], track.frame[:count]] for track in line.tracks], np.int64).reshape(
        -1, count
    )
