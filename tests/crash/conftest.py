"""Recording processes that start in milliseconds: forked from a server that has imported everything."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess

import pytest

from tests.crash import child

#: Seconds after which a child that says nothing is taken for stuck.
DEADLINE = 60.0


@dataclass
class Recording:
    """A child at work."""

    process: ForkServerProcess
    pipe: Connection
    said: bytes = b""

    @property
    def acknowledged(self) -> list[int]:
        return child.acknowledged(self.said[: len(self.said) // 8 * 8])

    def hear(self, count: int) -> None:
        """Reads acknowledgements until there are ``count`` or the child has ended."""
        deadline = time.monotonic() + DEADLINE
        while len(self.said) < 8 * count:
            assert self.pipe.poll(max(0.0, deadline - time.monotonic())), "the child is stuck"
            data = os.read(self.pipe.fileno(), 1 << 16)
            if not data:
                return
            self.said += data

    def kill(self) -> None:
        self.process.kill()
        self.finish()

    def finish(self) -> None:
        """Waits for the end and hears the rest; what stands in the pipe was acknowledged before the death."""
        self.hear(1 << 40)
        self.process.join(DEADLINE)
        assert self.process.exitcode is not None


class Recorder:
    """Starts children."""

    def __init__(self, context: ForkServerContext) -> None:
        self._context = context
        self.started: list[Recording] = []

    def start(self, task: child.Task) -> Recording:
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(target=child.record, args=(task, theirs))
        process.start()
        theirs.close()
        recording = Recording(process, ours)
        self.started.append(recording)
        return recording


@pytest.fixture(scope="session")
def fork_server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.crash.child", "dgm_tb.store.writer"])
    return context


@pytest.fixture
def recorder(fork_server: ForkServerContext) -> Iterator[Recorder]:
    recorder = Recorder(fork_server)
    yield recorder
    for recording in recorder.started:
        if recording.process.is_alive():
            recording.kill()
        recording.process.close()
        recording.pipe.close()
