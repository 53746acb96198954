"""What one session directory holds, found by arithmetic and followed as its files grow."""

from __future__ import annotations

import calendar
import hashlib
import math
import os
import re
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from dgm_tb.errors import FormatError
from dgm_tb.records import Graph, Manifest, SessionEnd, StepTable, Thinned
from dgm_tb.store import codec
from dgm_tb.store.logs import Log
from dgm_tb.store.losses import combine
from dgm_tb.store.partindex import PartIndex, part_of
from dgm_tb.store.recording import Recording
from dgm_tb.store.snapshots import SnapshotFormat, snapshot_format

_SEGMENT: Final = re.compile(r"segment-([0-9]{5,9})")
#: A listing is made anew where a file of it went before it was read: its journal became a block.
_MOST_LISTINGS: Final = 4
#: So many flushes are kept apart before they become one table: a day of them is 43,000.
_MOST_TABLES: Final = 256


class SessionIndex:
    """Follows one ``<session>-rank<r>`` directory; not thread safe, the run's lock guards it."""

    def __init__(self, path: Path, session: str, rank: int, inode: int, pool: Executor) -> None:
        self.session, self.rank, self.inode = session, rank, inode
        self._path, self._pool = path, pool
        self._made_anew = 0
        self._forget()

    def _forget(self) -> None:
        self._logs: dict[str, Log] = {}
        self._parts = PartIndex(self._path, self._pool)
        self._holes: frozenset[str] = frozenset()
        self._seen: dict[str, int] = {}  # the listing of which everything was read
        self._thinned: list[Thinned] = []
        self._manifests: dict[int, Manifest] = {}
        self._forms: dict[int, SnapshotFormat] = {}
        self._graph: Graph | None = None
        self._graph_id: str | None = None
        self._tables: list[StepTable] = []
        self._end: SessionEnd | None = None
        self._problems: tuple[str, ...] = ()

    def refresh(self) -> bool:
        """Reads what is new; whether there was anything. Raises nothing: what cannot be read is a problem."""
        changed = False
        for _ in range(_MOST_LISTINGS):
            try:
                sizes = self._list()
            except OSError as error:
                return self._note((f"{self._path.name} cannot be listed: {error.strerror}",))
            if sizes == self._seen and not self._problems:  # what could not be read is tried again
                return changed
            if self._lost(sizes):
                self._made_anew += 1
                self._forget()
                changed = True
            changed = self._read_logs(sizes) or changed
            try:
                changed = self._parts.refresh(sizes, self._forms) or changed
                self._seen = sizes
                break
            except FileNotFoundError:  # a journal became a block since, or a block was thinned
                changed = True
        return self._note(tuple(self._find_problems())) or changed

    def recording(self) -> Recording | None:
        """All that was read so far; None before there is a whole record."""
        if not (self._manifests or self._tables or self._end):
            return None
        files, levels = self._parts.written(self._made_anew + self.inode)
        table = combine(self._tables)
        created = min((manifest.created for manifest in self._manifests.values()), default=_named_time(self.session))
        times = [created, *levels[0].context[-1:, 0], *table.values[-1:, 1]]
        if self._end is not None:
            times.append(self._end.wall_time)
        return Recording(
            session=self.session,
            rank=self.rank,
            created=created,
            sequence=max((manifest.sequence for manifest in self._manifests.values()), default=0),
            manifests=tuple(self._manifests[number] for number in sorted(self._manifests)),
            graph=self._graph,
            graph_id=self._graph_id,
            files=files,
            levels=levels,
            table=table,
            thinned=tuple(self._thinned),
            end=self._end,
            last_wall_time=max(float(time) for time in times if math.isfinite(time)),
        )

    @property
    def problems(self) -> tuple[str, ...]:
        return self._problems

    def _note(self, problems: tuple[str, ...]) -> bool:
        changed, self._problems = problems != self._problems, problems
        return changed

    def _list(self) -> dict[str, int]:
        """The directory's files with their sizes, twice where the first listing may lack a part between two names.

        A journal goes when its block is there; a listing may pass the place of both at the wrong moments. What the
        second listing lacks too is gone, since it began when the block was there.
        """
        sizes = _sizes(self._path)
        if sizes == self._seen:
            return sizes
        holes = frozenset(_holes(sizes))
        if not holes <= self._holes or self._parts.missing(sizes):
            sizes = _sizes(self._path)
            holes = frozenset(_holes(sizes))
        self._holes = holes
        return sizes

    def _lost(self, sizes: dict[str, int]) -> bool:
        """Whether a file has less than was read of it: somebody put other files in the place of these."""
        logs = any(sizes.get(name, 0) < log.offset for name, log in self._logs.items())
        return logs or self._parts.lost(sizes)

    def _read_logs(self, sizes: dict[str, int]) -> bool:
        changed = False
        for name in sorted(sizes):  # segments in their order
            if name in ("steps", "end", "thinned") or _SEGMENT.fullmatch(name):
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
        elif isinstance(entry, Thinned) and name == "thinned":
            self._thinned.append(entry)
        else:
            log.foreign = f"holds a {type(entry).__name__.lower()}, which does not belong there"

    def _find_problems(self) -> Iterator[str]:
        for name, log in self._logs.items():
            for trouble in filter(None, (log.stuck, log.foreign)):
                yield f"{self._path.name}/{name}: {trouble}"
            if log.damaged:
                yield f"{self._path.name}/{name}: damaged records, skipped: {log.damaged}"
        yield from self._parts.problems()


def _sizes(path: Path) -> dict[str, int]:
    """Regular files with their sizes; 0 for blocks, which never grow: a system call each would be for nothing."""
    sizes = {}
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):  # a journal that became a block since it was listed
                    sizes[entry.name] = 0 if _is_block(entry.name) else entry.stat(follow_symlinks=False).st_size
    return sizes


def _is_block(name: str) -> bool:
    part = part_of(name)
    return part is not None and name == part.block


def _holes(names: Iterable[str]) -> Iterator[str]:
    """Parts before which one is missing."""
    there = {part for name in names if (part := part_of(name)) is not None}
    for part in there:
        if part.part and replace(part, part=part.part - 1) not in there:
            yield part.journal


def _named_time(session: str) -> float:
    """The UTC time in a session's name; 0 where it is none."""
    try:
        return float(calendar.timegm(time.strptime(session[:16], "%Y%m%dT%H%M%SZ")))
    except ValueError:
        return 0.0
