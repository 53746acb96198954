"""A log directory → its runs, found by a thread of its own; nothing outside the log directory is ever opened."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

from dgm_tb.errors import UnknownNameError
from dgm_tb.store.run import Run

#: How many directories below a root a run may lie: grandparents of a run and one more are all seen in practice.
DEPTH: Final = 4
#: Seconds between scans: a new run is in the tab before its first snapshots are looked for by hand.
_PAUSE: Final = 5.0
#: A scan of a huge or slow directory takes at most this share of a processor.
_SHARE: Final = 0.1

_log = logging.getLogger(__name__)


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
        self._directories: dict[str, Path] | None = None
        self._runs: dict[str, Run] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def names(self) -> tuple[str, ...]:
        """The runs found by the last scan, in the order of their names."""
        return tuple(self._found())

    @property
    def active(self) -> bool:
        """Whether the last scan found a run; never looks itself."""
        return bool(self._directories)

    def open(self, name: str) -> Run:
        """A run as it is now (`Run.pinned`, so its positions do not move). Raises `UnknownNameError`."""
        directory = self._found().get(name)
        if directory is None:
            known = ", ".join(list(self._found())[:5]) or "none yet"
            raise UnknownNameError(f"there is no run {name!r}; the runs are: {known}")
        with self._lock:
            run = self._runs.get(name)
        if run is None:  # opened outside the lock: a large run must not keep the others waiting
            opened = Run(directory, name, listed=True, clock=self._clock)
            with self._lock:
                run = self._runs.setdefault(name, opened)
        else:
            run.refresh()
        return run.pinned()

    def scan(self) -> None:
        """Looks for runs that are new or gone."""
        found = {
            name: directory for prefix, root in self._roots.items() for name, directory in sorted(_runs(prefix, root))
        }
        with self._lock:
            self._directories = found
            gone = [run for name, run in self._runs.items() if name not in found]
        for run in gone:
            # Emptied, but kept: made anew under its name, a run must not begin at the generation that a tab holds.
            run.refresh()

    def start(self) -> None:
        """Scans now and again on a thread, until `close`."""
        if self._thread is None:
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

    def _found(self) -> dict[str, Path]:
        if self._directories is None:
            self.scan()
        assert self._directories is not None
        return self._directories

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


def _runs(prefix: str, root: Path) -> Iterator[tuple[str, Path]]:
    """Names and directories of the runs at and below ``root``."""
    for path, relative in _directories(root, root, "", DEPTH):
        if _inside(os.path.join(path, "plugins", "dgm"), root):
            yield "/".join(filter(None, (prefix, relative or "."))), Path(path)


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
