"""One run: its sessions followed as they grow, its rows read by offset."""

from __future__ import annotations

import copy
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import FormatError, UnknownNameError
from dgm_tb.moments import DERIVED, REDUCTIONS, STATISTICS, absent, aggregate_rows, merge
from dgm_tb.records import Graph, Node, RowKey
from dgm_tb.store.index import SESSION_DIRECTORY, SessionIndex
from dgm_tb.store.journals import Damage, Journal, open_file, read_checked
from dgm_tb.store.losses import Losses
from dgm_tb.store.timeline import Timeline, Track, empty_timeline, timeline

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

    def read(self, key: RowKey, indices: Indices, *, units: NDArray[np.integer] | None = None) -> NDArray[np.float32]:
        """One row over snapshots ``(STATISTICS, snapshots, units)``; `dgm_tb.moments.absent` where it was not recorded.

        ``indices`` are positions in `steps`. Raises `UnknownNameError` for a key that the run has not.
        """
        now = self._timeline
        if key not in now.keys:
            raise UnknownNameError(f"the run has no {key.quantity} of {key.node!r} in {key.program!r}")
        positions = np.arange(len(now.steps))[indices]
        parts = [self._read_track(now, track, key, positions, units) for track in now.tracks]
        if not parts:
            parts = [_absent(now.keys[key], len(positions), units)]
        merged = parts[0]
        for part in parts[1:]:
            merged = merge(merged, part)
        return merged

    def aggregates(self, keys: Sequence[RowKey], indices: Indices) -> NDArray[np.float32]:
        """Layer summaries ``(keys, snapshots, DERIVED, REDUCTIONS)``; NaN where a row was not recorded."""
        now = self._timeline
        positions = np.arange(len(now.steps))[indices]
        out = np.full((len(keys), len(positions), len(DERIVED), len(REDUCTIONS)), np.nan, np.float32)
        ranks = sum((track.journal[positions] >= 0).astype(int) for track in now.tracks) if now.tracks else 0
        for track in now.tracks:
            for places, journal, file in self._files(now, track, positions):
                rows = [journal.form.layout.index.get(key, -1) for key in keys]
                there = [place for place, row in enumerate(rows) if row >= 0]
                for place, frame in places:
                    table = self._checked_aggregates(journal, file, frame)
                    if table is not None:
                        out[there, place] = table[[rows[index] for index in there]]
        several = np.flatnonzero(np.asarray(ranks) > 1)
        if len(several):  # the extremes of merged units follow from the units only
            for index, key in enumerate(keys):
                if key in now.keys:
                    here = positions[several]
                    before = self.read(key, np.maximum(here - 1, 0))
                    before[:, here == 0] = absent(before.shape[2])[:, None]
                    out[index, several] = _aggregate(self.read(key, here), before)
        return out

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
        found, listing = _sessions(self.directory)
        changed = listing != self._listing
        self._listing = listing
        for name in [name for name, index in self._sessions.items() if found.get(name) != index.inode]:
            del self._sessions[name]
            changed = True
        for name, inode in found.items():
            if name not in self._sessions:
                match = SESSION_DIRECTORY.fullmatch(name)
                assert match is not None
                self._sessions[name] = SessionIndex(self.directory / name, match["session"], int(match["rank"]), inode)
                changed = True
            changed = self._sessions[name].refresh() or changed
        return changed

    def _assemble(self) -> bool:
        recordings = [found for index in self._sessions.values() if (found := index.recording()) is not None]
        old = self._timeline
        new = timeline(recordings, self._clock()) if recordings else empty_timeline(_modified(self.directory))
        troubles = [problem for index in self._sessions.values() for problem in index.problems]
        self._timeline = new = replace(new, problems=(*self._listing, *troubles, *new.problems))
        if new.replaced > old.replaced or not _extends(new, old):
            self.generation += 1
        return len(new.steps) != len(old.steps)

    def _refuse(self) -> None:
        if not self.directory.is_dir():
            raise UnknownNameError(_nothing(self.directory))
        if self.problems:
            raise FormatError(f"{self.directory}: " + "; ".join(self.problems))
        raise UnknownNameError(f"{self.directory} holds no recording yet")

    def _read_track(
        self, now: Timeline, track: Track, key: RowKey, positions: NDArray[np.int64], units: NDArray[np.integer] | None
    ) -> NDArray[np.float32]:
        out = _absent(now.keys[key], len(positions), units)
        chosen: slice | NDArray[np.integer] = slice(None) if units is None else units
        for places, journal, file in self._files(now, track, positions):
            row = journal.form.layout.index.get(key)
            if row is None or journal.form.layout.rows[row].units != now.keys[key]:
                continue
            at, size = int(journal.form.rows_at[row]), 4 * len(STATISTICS) * now.keys[key]
            for place, frame in places:
                data = read_checked(file, journal, frame, int(journal.form.row_crcs_at[row]), at, size)
                self._damage.note((journal.path, frame, row), data is None)
                if data is not None:
                    out[:, place] = data.reshape(len(STATISTICS), -1)[:, chosen]
        return out

    def _checked_aggregates(self, journal: Journal, file: FileIO, frame: int) -> NDArray[np.float32] | None:
        form = journal.form
        shape = (len(form.layout.rows), len(DERIVED), len(REDUCTIONS))
        data = read_checked(file, journal, frame, form.aggregates_crc_at, form.aggregates_at, 4 * int(np.prod(shape)))
        self._damage.note((journal.path, frame, -1), data is None)
        return None if data is None else data.reshape(shape)

    def _files(
        self, now: Timeline, track: Track, positions: NDArray[np.int64]
    ) -> Iterator[tuple[list[tuple[int, int]], Journal, FileIO]]:
        """Each journal that ``positions`` touch, open, with (place in ``positions``, frame) pairs."""
        journals, frames = track.journal[positions], track.frame[positions]
        for number in np.unique(journals[journals >= 0]):
            journal = now.journals[number]
            places = np.flatnonzero(journals == number)
            with open_file(journal.path) as file:
                yield [*zip(places.tolist(), frames[places].tolist(), strict=True)], journal, file


def bulk_directory(path: Path) -> Path:
    """``<run>/plugins/dgm`` of a run directory, or the path itself where it is that."""
    path = Path(os.path.abspath(path.expanduser()))
    is_bulk = path.parts[-2:] == ("plugins", "dgm") and not (path / "plugins" / "dgm").is_dir()
    return path if is_bulk else path / "plugins" / "dgm"


def _nothing(directory: Path) -> str:
    run = directory.parent.parent
    if not run.exists():
        return f"there is no {run}; give a run directory, the one with the recording's plugins/dgm in it"
    beneath = sorted(path.parent.parent for depth in ("*", "*/*") for path in run.glob(f"{depth}/plugins/dgm"))[:3]
    hint = f"; did you mean {' or '.join(map(str, beneath))}?" if beneath else ""
    return f"{run} has no plugins/dgm, so DynamicsMonitor() recorded nothing there{hint}"


def _sessions(directory: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    """Session directories with their inodes, and problems."""
    try:
        with os.scandir(directory) as entries:
            found = list(entries)
    except OSError as error:
        return {}, (f"{directory} cannot be listed: {error.strerror}",)
    ours = [entry for entry in found if SESSION_DIRECTORY.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)]
    problems = (
        () if ours or not found else (f"{directory} holds {found[0].name!r} and nothing that was recorded by DGM",)
    )
    return {entry.name: entry.inode() for entry in ours}, problems


def _absent(units: int, snapshots: int, chosen: NDArray[np.integer] | None) -> NDArray[np.float32]:
    count = units if chosen is None else len(chosen)
    if chosen is not None and len(chosen) and not (chosen.min() >= 0 and chosen.max() < units):
        raise UnknownNameError(f"units {chosen.min()} to {chosen.max()} were asked for, the row has 0 to {units - 1}")
    return np.repeat(absent(count)[:, None], snapshots, axis=1)


def _aggregate(rows: NDArray[np.float32], before: NDArray[np.float32]) -> NDArray[np.float32]:
    """Aggregates ``(snapshots, DERIVED, REDUCTIONS)`` of rows ``(STATISTICS, snapshots, units)`` and those before."""
    statistics, snapshots, units = rows.shape
    flat, earlier = (np.ascontiguousarray(part.transpose(1, 0, 2)).reshape(-1) for part in (rows, before))
    return aggregate_rows(flat, np.arange(snapshots + 1, dtype=np.int64) * (statistics * units), earlier)


def _extends(new: Timeline, old: Timeline) -> bool:
    """Whether each of the old snapshots is still the same frame of the same file."""
    count = len(old.steps)
    return not count or (count <= len(new.steps) and bool(np.array_equal(_places(old, count), _places(new, count))))


def _places(line: Timeline, count: int) -> NDArray[np.int64]:
    # The last, for a rank's missing part, is what the index -1 finds.
    files = np.array([hash((journal.path, journal.identity)) for journal in line.journals] + [-1], np.int64)
    return np.array([[files[track.journal[:count]], track.frame[:count]] for track in line.tracks], np.int64).reshape(
        -1, count
    )


def _modified(directory: Path) -> float:
    try:
        return directory.stat().st_mtime
    except OSError:
        return 0.0
