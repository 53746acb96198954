"""Appending records to a run on a thread of its own; nothing that goes wrong here reaches the training."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from dgm_tb.errors import UsageError
from dgm_tb.records import Record
from dgm_tb.store.budget import Budget
from dgm_tb.store.parts import SESSION
from dgm_tb.store.session import SessionFiles

_log = logging.getLogger(__name__)


def new_session(clock: Callable[[], float] = time.time, *, draw: Callable[[], uuid.UUID] = uuid.uuid4) -> str:
    """A name for this process start's recording: UTC time, then eight hex digits against equal times."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(clock())) + "-" + draw().hex[:8]


class RunWriter:
    """Writes one rank's session below ``directory`` (``<run>/plugins/dgm``); a context manager.

    `submit` takes functions that make records; they run in order on the writer's thread. A function that raises, like
    a disk that is full or a directory that vanished, stops the writer for good: `failure` holds the exception,
    ``on_failure`` is called with it once (from the writer's thread) and `submit` answers False from then on.
    Full journals are made blocks and rolled up on the same thread, a few megabytes at a time and mostly without
    Python's lock. ``after`` is called on the writer's thread with each record that was written; if it raises, it is not
    called again.

    ``max_disk`` (bytes; None: no limit) is for all that this rank recorded in ``directory``: as it fills `stretch`
    grows, then what is old and unprotected is kept rolled up only, and where even that does not help snapshots are
    dropped and counted. ``half`` rounds the means and extremes of activations to float16 in blocks.

    Raises `OSError` where the session's directory cannot be made and `UsageError` for a ``session`` that no reader
    would recognise or a ``max_disk`` of nothing.
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
        max_disk: int | None = None,
        half: bool = False,
    ) -> None:
        if not SESSION.fullmatch(session):
            raise UsageError(f"session={session!r} is not like 20261124T061530Z-1a2b3c4d: take new_session()")
        if max_disk is not None and max_disk < 1:
            raise UsageError(f"max_disk={max_disk!r} leaves no room to record: give more bytes, or None for no limit")
        self.directory = Path(directory) / f"{session}-rank{rank}"
        self.directory.mkdir(parents=True)  # not exist_ok: no file is ever appended to by another process start
        self.dropped = 0
        self.failure: Exception | None = None
        self._capacity, self._on_failure = capacity, on_failure
        self._queue: deque[Callable[[], Record | int]] = deque()
        self._changed = threading.Condition()
        self._closing: str | None = None
        self._budget = Budget(Path(directory), rank, max_disk)
        self._session = SessionFiles(self.directory, self._budget, clock, after, half=half)
        self._thread = threading.Thread(target=self._work, name=f"dgm-writer-{self.directory.name}", daemon=True)
        self._thread.start()

    @property
    def stretch(self) -> int:
        """How many times as rarely as asked snapshots should be taken, that the budget lasts; it only grows."""
        return self._budget.stretch

    def protect(self, first_step: int, last_step: int) -> None:
        """Keeps the snapshots of ``first_step`` to ``last_step`` longest when the budget is full; from any thread."""
        self._budget.protect(first_step, last_step)

    def submit(self, produce: Callable[[], Record], *, essential: bool = False) -> bool:
        """Queues ``produce``; False where it was dropped, since the queue is full or the writer stopped.

        Never raises and never waits for the disk. ``essential`` records (manifests, graphs) are queued even when the
        queue is full: without them the snapshots that follow could not be read.
        """
        return self._enqueue(produce, essential)

    def also(self, work: Callable[[], int]) -> bool:
        """Queues ``work`` on files of its own in the session's directory; it answers by how many bytes they grew.

        As `submit`: False where it was dropped, and what it raises stops the writer.
        """
        return self._enqueue(work, essential=False)

    def _enqueue(self, produce: Callable[[], Record | int], essential: bool) -> bool:
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
                made = produce()
                if isinstance(made, int):
                    self._budget.changed(made)
                elif not self._session.write(made):
                    with self._changed:
                        self.dropped += 1
                del produce, made  # they hold a snapshot's buffer while we wait for the next
            self._session.end(self._closing or "finished")
        except BaseException as error:
            self._stop(error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__} in the writer"))
        finally:
            self._session.close()

    def _next(self) -> Callable[[], Record | int] | None:
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
