"""A log directory → its runs, found by a thread of its own; nothing outside the log directory is ever opened."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from dgm_tb.errors import UnknownNameError
from dgm_tb.store.memory import give_back_large
from dgm_tb.store.run import Run

#: How many directories below a root a run may lie: grandparents of a run and one more are all seen in practice.
DEPTH: Final = 4
#: Seconds between scans: a new run is in the tab before its first snapshots are looked for by hand.
_PAUSE: Final = 5.0
#: A scan of a huge or slow directory takes at most this share of a processor.
_SHARE: Final = 0.1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class _Place:
    """Where a run lies, and when a session last began in it (seconds since the epoch, by the disk)."""

    directory: Path
    modified: float


class Catalog:
    """The runs below ``roots`` (name prefix → directory; the prefix ``""`` is TensorBoard's plain ``--logdir``).

    Runs are named as TensorBoard names them: the path below the root with ``/``, ``.`` for the root itself, after the
    prefix where there is one. A folder ``plugins/dgm`` of which nothing can be read is listed too; its run is empty and
    says why in `Run.problems`. A context manager between `start` and `close`.
    """

    def __init__(self, roots: Mapping[str, Path], *, clock: Callable[[], float] = time.time) -> None:
        self._roots = {prefix: Path(os.path.realpath(Path(root).expanduser())) for prefix, root in roots.items()}
        self._clock = clock
        self._lock = threading.Lock()
        self._places: dict[str, _Place] | None = None
        self._runs: dict[str, Run] = {}
        self._opening: dict[str, threading.Lock] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def names(self) -> tuple[str, ...]:
        """The runs found by the last scan, in the order of their names."""
        return tuple(self._found())

    @property
    def active(self) -> bool:
        """Whether the last scan found a run; never looks itself."""
        return bool(self._places)

    def open(self, name: str) -> Run:
        """A run as it is now (`Run.pinned`, so its positions do not move). Raises `UnknownNameError`."""
        place = self._found().get(name)
        if place is None:
            known = ", ".join(list(self._found())[:5]) or "none yet"
            raise UnknownNameError(f"there is no run {name!r}; the runs are: {known}")
        self._require_inside(name, place)
        with self._lock:
            run, opening = self._runs.get(name), self._opening.setdefault(name, threading.Lock())
        if run is None:
            with opening:  # one lock a run: a large one is read once and keeps no other waiting
                run = self._runs.get(name)
                if run is None:
                    run = self._runs[name] = Run(place.directory, name, listed=True, clock=self._clock)
        else:
            run.refresh()
        return run.pinned()

    def waiting(self) -> tuple[str, ...]:
        """The runs that nobody opened yet, those first in which a session began last."""
        there = {name: place.modified for name, place in self._found().items() if name not in self._runs}
        return tuple(sorted(there, key=there.__getitem__, reverse=True))

    def scan(self) -> None:
        """Looks for runs that are new or gone."""
        found = dict(run for prefix, root in self._roots.items() for run in sorted(_runs(prefix, root)))
        with self._lock:
            self._places = found
            gone = [run for name, run in self._runs.items() if name not in found]
        for run in gone:
            # Emptied, but kept: made anew under its name, a run must not begin at the generation that a tab holds.
            run.refresh()

    def start(self) -> None:
        """Scans now and again on a thread, until `close`."""
        if self._thread is None:
            give_back_large()
            self._thread = threading.Thread(target=self._scan_on, name="dgm-scan", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Catalog:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _found(self) -> dict[str, _Place]:
        if self._places is None:
            self.scan()
        assert self._places is not None
        return self._places

    def _require_inside(self, name: str, place: _Place) -> None:
        """A directory that became a link since the scan is not followed out of the log directory."""
        real = Path(os.path.realpath(place.directory / "plugins" / "dgm"))
        if not any(real.is_relative_to(root) for root in self._roots.values()):
            raise UnknownNameError(f"the run {name!r} is no longer below the log directory")

    def _scan_on(self) -> None:
        while True:
            begun = time.perf_counter()
            try:
                self.scan()
            except Exception:  # whatever a directory held, the thread lives and looks again
                _log.exception("scanning %s failed", ", ".join(map(str, self._roots.values())))
            spent = time.perf_counter() - begun
            if self._stop.wait(max(_PAUSE, spent / _SHARE)):
                return


def _runs(prefix: str, root: Path) -> Iterator[tuple[str, _Place]]:
    """Names and places of the runs at and below ``root``."""
    for path, relative in _directories(root, root, "", DEPTH):
        bulk = os.path.join(path, "plugins", "dgm")
        if _inside(bulk, root):
            try:
                modified = os.stat(bulk).st_mtime
            except OSError:  # gone while we looked
                continue
            yield "/".join(filter(None, (prefix, relative or "."))), _Place(Path(path), modified)


def _directories(path: Path | str, root: Path, relative: str, depth: int) -> Iterator[tuple[str, str]]:
    """``path`` and the directories below it, with their paths relative to the root."""
    yield str(path), relative
    if not depth:
        return
    try:
        with os.scandir(path) as entries:
            below = [entry for entry in entries if _may_hold_runs(entry, root)]
    except OSError:  # not there yet, not allowed, or gone while we looked
        return
    for entry in below:
        yield from _directories(entry.path, root, f"{relative}/{entry.name}" if relative else entry.name, depth - 1)


def _may_hold_runs(entry: os.DirEntry[str], root: Path) -> bool:
    """A directory, or a link to one below the root; `DEPTH` ends the way round a loop of links."""
    if entry.name == "plugins" or entry.name.startswith("."):
        return False
    if not entry.is_symlink():
        return entry.is_dir(follow_symlinks=False)
    return entry.is_dir() and _inside(entry.path, root)


def _inside(path: str, root: Path) -> bool:
    """Whether ``path`` exists and is really below ``root``."""
    return os.path.isdir(path) and Path(os.path.realpath(path)).is_relative_to(root)
