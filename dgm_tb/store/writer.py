"""Appending records to a run on a thread of its own; nothing that goes wrong here reaches the training."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import FormatError, UsageError
from dgm_tb.records import Graph, Manifest, Record, SessionEnd, Snapshot, StepTable
from dgm_tb.store import codec, framing
from dgm_tb.store.snapshots import SnapshotEncoder

#: Snapshots in one journal file: the length of a block, at which cold reads of scattered units are quick.
JOURNAL_SNAPSHOTS: Final = 64

SESSION: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")

_log = logging.getLogger(__name__)


def new_session(clock: Callable[[], float] = time.time, *, draw: Callable[[], uuid.UUID] = uuid.uuid4) -> str:
    """A name for this process start's recording: UTC time, then eight hex digits against equal times."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(clock())) + "-" + draw().hex[:8]


class RunWriter:
    """Writes one rank's session below ``directory`` (``<run>/plugins/dgm``); a context manager.

    `submit` takes functions that make records; they run in order on the writer's thread. A function that raises, like
    a disk that is full or a directory that vanished, stops the writer for good: `failure` holds the exception,
    ``on_failure`` is called with it once (from the writer's thread) and `submit` answers False from then on.
    ``after`` is called on the writer's thread with each record that was written; if it raises, it is not called again.

    Raises `OSError` where the session's directory cannot be made and `UsageError` for a ``session`` that no reader
    would recognise.
    """

    def __init__(
        self,
        directory: Path,
        *,
        session: str,
        rank: int = 0,
        clock: Callable[[], float] = time.time,
        capacity: int = 64,
        on_failure: Callable[[Exception], None] | None = None,
        after: Callable[[Record], None] | None = None,
    ) -> None:
        if not SESSION.fullmatch(session):
            raise UsageError(f"session={session!r} is not like 20261124T061530Z-1a2b3c4d: take new_session()")
        self.directory = Path(directory) / f"{session}-rank{rank}"
        self.directory.mkdir(parents=True)  # not exist_ok: no file is ever appended to by another process start
        self.dropped = 0
        self.failure: Exception | None = None
        self._capacity, self._on_failure = capacity, on_failure
        self._queue: deque[Callable[[], Record]] = deque()
        self._changed = threading.Condition()
        self._closing: str | None = None
        self._session = _Session(self.directory, clock, after)
        self._thread = threading.Thread(target=self._work, name=f"dgm-writer-{self.directory.name}", daemon=True)
        self._thread.start()

    def submit(self, produce: Callable[[], Record], *, essential: bool = False) -> bool:
        """Queues ``produce``; False where it was dropped, since the queue is full or the writer stopped.

        Never raises and never waits for the disk. ``essential`` records (manifests, graphs) are queued even when the
        queue is full: without them the snapshots that follow could not be read.
        """
        with self._changed:
            if self.failure is not None or self._closing is not None:
                return False
            if len(self._queue) >= self._capacity and not essential:
                self.dropped += 1
                return False
            self._queue.append(produce)
            self._changed.notify()
            return True

    def close(self, reason: str = "finished", timeout: float = 30.0) -> None:
        """Writes what is queued and a `SessionEnd` with ``reason``, for at most ``timeout`` seconds; never raises."""
        with self._changed:
            self._closing = self._closing if self._closing is not None else reason
            self._changed.notify()
        if threading.current_thread() is self._thread:  # closed from on_failure
            return
        self._thread.join(timeout)
        if self._thread.is_alive():
            _log.warning("the last records of %s are still being written after %g s", self.directory, timeout)

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close("finished" if kind is None else "exception")

    def _work(self) -> None:
        try:
            while (produce := self._next()) is not None:
                self._session.write(produce())
                del produce  # it holds a snapshot's buffer while we wait for the next
            self._session.end(self._closing or "finished")
        except BaseException as error:
            self._stop(error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__} in the writer"))
        finally:
            self._session.close()

    def _next(self) -> Callable[[], Record] | None:
        """The next function, waited for; None once the writer is closing and nothing is queued."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing is not None)
            return self._queue.popleft() if self._queue else None

    def _stop(self, failure: Exception) -> None:
        with self._changed:
            self.failure = failure
            self.dropped += len(self._queue)
            self._queue.clear()
        try:
            reason = f"{type(failure).__name__}: {failure}"
            # A message may quote a file name that is no Unicode, or a tensor that fills pages.
            self._session.end(reason.encode(errors="replace").decode()[:500])
        except Exception:  # the disk is full or gone; that is said by on_failure
            _log.debug("could not write the end of %s", self.directory, exc_info=True)
        if self._on_failure is not None:
            try:
                self._on_failure(failure)
            except Exception:  # the caller's own function
                _log.exception("on_failure raised")


class _Session:
    """The files of one session directory, on the writer's thread."""

    def __init__(self, directory: Path, clock: Callable[[], float], after: Callable[[Record], None] | None) -> None:
        self._directory, self._clock, self._after = directory, clock, after
        self._segments = self._snapshots = 0
        self._encoder: SnapshotEncoder | None = None
        self._segment: FileIO | None = None
        self._journal: FileIO | None = None
        self._steps: FileIO | None = None
        self._ended = False
        self._write: Mapping[type, Callable[[Any], None]] = {
            Manifest: self._manifest,
            Graph: self._graph,
            Snapshot: self._snapshot,
            StepTable: self._table,
            SessionEnd: self._end,
        }

    def write(self, record: Record) -> None:
        self._write[type(record)](record)
        if self._after is not None:
            try:
                self._after(record)
            except Exception:  # the small plane is not worth the recording
                self._after = None
                _log.warning("the summaries beside %s stop: writing one failed", self._directory, exc_info=True)

    def end(self, reason: str) -> None:
        if not self._ended:
            self.write(SessionEnd(reason, self._clock()))

    def close(self) -> None:
        for file in (self._segment, self._journal, self._steps):
            if file is not None:
                file.close()

    def _manifest(self, manifest: Manifest) -> None:
        encoder = SnapshotEncoder(manifest.layout)
        data = self._frame(manifest)
        self._segment = self._replace(self._segment, f"segment-{self._segments:05d}")
        append(self._segment, data)
        self._segments += 1
        self._snapshots = 0
        self._encoder = encoder

    def _graph(self, graph: Graph) -> None:
        if self._segment is None:
            raise FormatError("a graph was written before any manifest")
        append(self._segment, self._frame(graph))

    def _snapshot(self, snapshot: Snapshot) -> None:
        if self._encoder is None:
            raise FormatError("a snapshot was written before any manifest")
        data = self._encoder.encode(snapshot)
        journal, place = divmod(self._snapshots, JOURNAL_SNAPSHOTS)
        if place == 0:
            self._journal = self._replace(self._journal, f"journal-{self._segments - 1:05d}-{journal:05d}")
        assert self._journal is not None
        append(self._journal, data)
        self._snapshots += 1

    def _table(self, table: StepTable) -> None:
        if self._steps is None:
            self._steps = self._replace(None, "steps")
        append(self._steps, self._frame(table))

    def _end(self, end: SessionEnd) -> None:
        self._ended = True
        with self._replace(None, "end") as file:
            append(file, self._frame(end))

    def _frame(self, record: codec.Entry) -> bytes:
        return framing.frame(codec.encode(record, self._clock()))

    def _replace(self, old: FileIO | None, name: str) -> FileIO:
        if old is not None:
            old.close()
        return open(self._directory / name, "xb", buffering=0)


def append(file: FileIO, data: bytes | NDArray[np.uint8]) -> None:
    """Writes all of ``data`` through to the system. Raises `OSError`, also where the file was deleted meanwhile."""
    if os.fstat(file.fileno()).st_nlink == 0:
        raise FileNotFoundError(f"{file.name} was deleted while it was being written")
    view = memoryview(data)  # type: ignore[arg-type]  # an array is a buffer
    while view:
        view = view[file.write(view) or 0 :]
