"""A process that records until it is done or killed, and says what has been written."""

from __future__ import annotations

import os
import resource
import signal
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from dgm_tb.records import Record, Snapshot
from dgm_tb.store.writer import RunWriter
from tests.store import made

#: An acknowledgement: the step of a snapshot that has been written.
_ACKNOWLEDGEMENT: Final = struct.Struct("<q")
#: Steps whose losses are flushed together.
FLUSH: Final = 50


@dataclass(frozen=True)
class Task:
    """What a child records: snapshots of ``steps`` in one session below ``run``."""

    run: Path
    session: str
    steps: range
    rank: int = 0
    max_disk: int | None = None
    longest_file: int | None = None
    close: bool = True


def records(steps: range) -> Iterable[Record]:
    """A session's records; a step's numbers are the same in every process."""
    yield made.manifest(created=made.BEGAN + steps.start)
    yield made.GRAPH
    for step in steps:
        yield made.plausible(step)
        if step % FLUSH == FLUSH - 1:
            yield made.table(range(max(steps.start, step - FLUSH + 1), step + 1))


def record(task: Task, acknowledgements: Connection) -> None:
    """Runs in the child; acknowledges each snapshot once it is written, and the end by closing."""
    if task.longest_file is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing on is an error then, not a death
        resource.setrlimit(resource.RLIMIT_FSIZE, (task.longest_file, task.longest_file))
    options: dict[str, Any] = {} if task.max_disk is None else {"max_disk": task.max_disk}
    writer = RunWriter(
        task.run / "plugins" / "dgm",
        session=task.session,
        rank=task.rank,
        clock=lambda: made.BEGAN,
        after=acknowledge(acknowledgements),
        **options,
    )
    for made_record in records(task.steps):
        essential = not isinstance(made_record, Snapshot)
        while not writer.submit(lambda made_record=made_record: made_record, essential=essential):  # type: ignore[misc]
            if writer.failure is not None:
                break
            time.sleep(0.0002)  # the queue is full
    if task.close:
        writer.close()
    os._exit(0)  # no cleaning up, as when killed


def acknowledge(acknowledgements: Connection) -> Callable[[Record], None]:
    def after(written: Record) -> None:
        if isinstance(written, Snapshot):
            os.write(acknowledgements.fileno(), _ACKNOWLEDGEMENT.pack(written.step))

    return after


def acknowledged(data: bytes) -> list[int]:
    """The steps in an acknowledgement pipe's bytes."""
    return [step for (step,) in _ACKNOWLEDGEMENT.iter_unpack(data)]
