"""What one session directory holds, found by arithmetic and followed as its files grow."""

from __future__ import annotations

import calendar
import hashlib
import math
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import FormatError
from dgm_tb.records import CONTEXT, Graph, Manifest, SessionEnd, StepTable
from dgm_tb.store import codec
from dgm_tb.store.journals import Journal, JournalFollower
from dgm_tb.store.logs import Log
from dgm_tb.store.losses import combine
from dgm_tb.store.snapshots import SnapshotFormat, snapshot_format
from dgm_tb.store.writer import SESSION

SESSION_DIRECTORY: Final = re.compile(rf"(?P<session>{SESSION.pattern})-rank(?P<rank>[0-9]{{1,6}})")
_SEGMENT: Final = re.compile(r"segment-([0-9]{5,9})")
_JOURNAL: Final = re.compile(r"journal-([0-9]{5,9})-([0-9]{5,9})")
#: So many flushes are kept apart before they become one table: a day of them is 43,000.
_MOST_TABLES: Final = 256


@dataclass(frozen=True, slots=True)
class Recording:
    """What is readable of one session of one rank; snapshots in the order in which they were written."""

    session: str
    rank: int
    created: float
    manifests: tuple[Manifest, ...]  # a segment each
    graph: Graph | None
    graph_id: str | None  # changes with the graph, the same in every process
    journals: tuple[Journal, ...]
    steps: NDArray[np.int64]  # (snapshots,)
    context: NDArray[np.float64]  # (snapshots, CONTEXT)
    journal: NDArray[np.int64]  # (snapshots,), into ``journals``
    frame: NDArray[np.int64]  # (snapshots,), into its journal
    table: StepTable  # ascending
    end: SessionEnd | None
    last_wall_time: float


class SessionIndex:
    """Follows one ``<session>-rank<r>`` directory; not thread safe, the run's lock guards it."""

    def __init__(self, path: Path, session: str, rank: int, inode: int) -> None:
        self.session, self.rank, self.inode = session, rank, inode
        self._path = path
        self._made_anew = 0
        self._forget()

    def _forget(self) -> None:
        self._logs: dict[str, Log] = {}
        self._journals: dict[tuple[int, int], JournalFollower] = {}
        self._manifests: dict[int, Manifest] = {}
        self._forms: dict[int, SnapshotFormat] = {}
        self._graph: Graph | None = None
        self._graph_id: str | None = None
        self._tables: list[StepTable] = []
        self._end: SessionEnd | None = None
        self._problems: tuple[str, ...] = ()
        self._orphans: tuple[str, ...] = ()  # journals without a readable manifest

    def refresh(self) -> bool:
        """Reads what is new; whether there was anything. Raises nothing: what cannot be read is a problem."""
        try:
            sizes = _sizes(self._path)
        except OSError as error:
            return self._note((f"{self._path.name} cannot be listed: {error.strerror}",))
        changed = self._lost(sizes)
        if changed:
            self._made_anew += 1
            self._forget()
        changed = self._read_logs(sizes) or changed
        changed = self._read_journals(sizes) or changed
        return self._note(tuple(self._find_problems())) or changed

    def recording(self) -> Recording | None:
        """All that was read so far; None before there is a whole record."""
        if not (self._manifests or self._tables or self._end):
            return None
        journals = [self._journals[key] for key in sorted(self._journals)]
        heads = [head for journal in journals for head in journal.heads]
        table = combine(self._tables)
        created = min((manifest.created for manifest in self._manifests.values()), default=_named_time(self.session))
        times = [created, *(head.context[0] for head in heads[-1:]), *table.values[-1:, 1]]
        if self._end is not None:
            times.append(self._end.wall_time)
        return Recording(
            session=self.session,
            rank=self.rank,
            created=created,
            manifests=tuple(self._manifests[number] for number in sorted(self._manifests)),
            graph=self._graph,
            graph_id=self._graph_id,
            journals=tuple(
                Journal(str(journal.path), journal.form, self._made_anew + self.inode) for journal in journals
            ),
            steps=np.array([head.step for head in heads], np.int64),
            context=np.array([head.context for head in heads], np.float64).reshape(-1, len(CONTEXT)),
            journal=np.repeat(np.arange(len(journals)), [len(journal.heads) for journal in journals]),
            frame=np.array([frame for journal in journals for frame in journal.frames], np.int64),
            table=table,
            end=self._end,
            last_wall_time=max(float(time) for time in times if math.isfinite(time)),
        )

    @property
    def problems(self) -> tuple[str, ...]:
        return self._problems

    def _note(self, problems: tuple[str, ...]) -> bool:
        changed, self._problems = problems != self._problems, problems
        return changed

    def _lost(self, sizes: dict[str, int]) -> bool:
        """Whether a file has less than was read of it: somebody put other files in the place of these."""
        known = {name: log.offset for name, log in self._logs.items()}
        known.update((journal.path.name, journal.known_size) for journal in self._journals.values())
        return any(sizes.get(name, 0) < size for name, size in known.items())

    def _read_logs(self, sizes: dict[str, int]) -> bool:
        changed = False
        for name in sorted(sizes):  # segments in their order
            if name in ("steps", "end") or _SEGMENT.fullmatch(name):
                log = self._logs.setdefault(name, Log(self._path / name))
                for entry in log.advance(sizes[name]):
                    self._take(name, log, entry)
                    changed = True
        if len(self._tables) > _MOST_TABLES:
            self._tables = [combine(self._tables)]
        return changed

    def _take(self, name: str, log: Log, entry: codec.Entry) -> None:
        segment = _SEGMENT.fullmatch(name)
        if isinstance(entry, Manifest) and segment:
            number = int(segment[1])
            try:
                self._forms[number] = snapshot_format(entry.layout)
            except FormatError as error:
                log.foreign = str(error)
            else:
                self._manifests[number] = entry
        elif isinstance(entry, Graph) and segment:
            self._graph, self._graph_id = entry, hashlib.sha256(repr(entry).encode()).hexdigest()[:12]
        elif isinstance(entry, StepTable) and name == "steps":
            self._tables.append(entry)
        elif isinstance(entry, SessionEnd) and name == "end":
            self._end = entry
        else:
            log.foreign = f"holds a {type(entry).__name__.lower()}, which does not belong there"

    def _read_journals(self, sizes: dict[str, int]) -> bool:
        changed, orphans = False, []
        for name, size in sizes.items():
            match = _JOURNAL.fullmatch(name)
            form = self._forms.get(int(match[1])) if match else None
            if match and form:
                key = int(match[1]), int(match[2])
                journal = self._journals.setdefault(key, JournalFollower(self._path / name, form))
                changed = journal.advance(size) or changed
            elif match:
                orphans.append(name)
        self._orphans = tuple(sorted(orphans))
        return changed

    def _find_problems(self) -> Iterator[str]:
        for name, log in self._logs.items():
            for trouble in filter(None, (log.stuck, log.foreign)):
                yield f"{self._path.name}/{name}: {trouble}"
            if log.damaged:
                yield f"{self._path.name}/{name}: damaged records, skipped: {log.damaged}"
        if self._orphans:
            yield f"{self._path.name}: {', '.join(self._orphans[:3])} cannot be read without a manifest"
        damaged = sum(journal.damaged for journal in self._journals.values())
        if damaged:
            yield f"{self._path.name}: damaged snapshots, skipped: {damaged}"
        for journal in self._journals.values():
            if journal.trouble:
                yield f"{self._path.name}/{journal.path.name}: {journal.trouble}"


def _sizes(path: Path) -> dict[str, int]:
    with os.scandir(path) as entries:
        return {
            entry.name: entry.stat(follow_symlinks=False).st_size
            for entry in entries
            if entry.is_file(follow_symlinks=False)
        }


def _named_time(session: str) -> float:
    """The UTC time in a session's name; 0 where it is none."""
    try:
        return float(calendar.timegm(time.strptime(session[:16], "%Y%m%dT%H%M%SZ")))
    except ValueError:
        return 0.0
