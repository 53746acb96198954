"""The server's side of the worker: started on the first request, restarted when it dies, asked without waiting."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import TracebackType
from typing import Final

from dgm_tb.errors import UsageError
from dgm_tb.replay import ask
from dgm_tb.replay.ask import Answer, Asked
from dgm_tb.replay.line import Line, Question

#: Data memory of the worker, and seconds after which a request is given up; both from the environment.
MEMORY: Final = "DGM_REPLAY_MEMORY"
SECONDS: Final = "DGM_REPLAY_SECONDS"
_DEFAULT_MEMORY: Final = 4 << 30
_DEFAULT_SECONDS: Final = 120.0
#: Answers that are kept: a walk back along the blame is some ten targets long.
_KEPT: Final = 32

#: Said where PyTorch is missing or broken.
NO_TORCH: Final = (
    "Credit and replay need PyTorch where TensorBoard runs: pip install torch safetensors. "
    "All other views work without it."
)


@dataclass(frozen=True, slots=True)
class Reply:
    """``state``: ``done``, ``failed`` (with ``message``), ``running`` (``nodes`` of the path were looked at), or
    ``waiting``: questions of others come first.
    """

    state: str
    message: str = ""
    nodes: int = 0
    answer: Answer | None = None


@dataclass
class Client:
    """One worker process at most; a context manager, safe between threads.

    ``command`` starts it. Questions stand in `Line`, and the first is with the worker. What was answered is kept by its
    key.
    """

    command: Sequence[str] = (sys.executable, "-m", "dgm_tb.replay.process")
    memory: int = 0
    seconds: float = 0.0
    clock: Callable[[], float] = time.monotonic
    _process: subprocess.Popen[bytes] | None = None
    _listener: threading.Thread | None = None
    _line: Line = field(default_factory=Line)
    _count: int = 0
    _done: OrderedDict[Hashable, Reply] = field(default_factory=OrderedDict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.memory = self.memory or int(_from_environment(MEMORY, _DEFAULT_MEMORY))
        self.seconds = self.seconds or _from_environment(SECONDS, _DEFAULT_SECONDS)

    def ask(self, asked: Asked, key: Hashable = None, asker: str = "") -> Reply:
        """What is known of a request now; the first time it joins the line. Never waits for the answer.

        ``key`` is what the answer depends on beside the request itself, such as the identity of the files.
        """
        key = (asked, key)
        with self._changed:
            self._give_up_late()
            if key in self._done:
                self._done.move_to_end(key)
                reply = self._done[key]
                if reply.state == "failed":  # asked again it is tried again
                    del self._done[key]
                return reply
            if not all(find_spec(name) for name in ("torch", "safetensors")):
                return Reply("failed", NO_TORCH)
            question = self._line.join(asked, key, asker, self.clock())
            self._advance()
            return Reply("running" if question.number else "waiting", nodes=question.nodes)

    def wait(self, asked: Asked, key: Hashable = None) -> Answer:
        """The answer, waited for. Raises `UsageError` with the worker's message where there is none."""
        while True:
            reply = self.ask(asked, key)
            if reply.answer is not None:
                return reply.answer
            if reply.state == "failed":
                raise UsageError(reply.message)
            with self._changed:
                self._changed.wait(0.5)

    def close(self) -> None:
        """Ends the worker."""
        with self._changed:
            process, self._process = self._process, None
        if process is not None:
            process.kill()
        if self._listener is not None:
            self._listener.join()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _advance(self) -> None:
        """Sends the first in line to the worker, which drops what it was at."""
        first = self._line.first
        if first is None or first.number:
            return
        self._count += 1
        first.number, first.begun = self._count, self.clock()
        self._write(first)

    def _write(self, question: Question) -> None:
        process = self._alive()
        assert process.stdin is not None
        with suppress(OSError):  # it has died: who listens to it will say so
            ask.write_asked(process.stdin, question.number, question.asked)

    def _alive(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [*self.command, "--memory", str(self.memory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            self._listener = threading.Thread(target=self._listen, args=(self._process,), daemon=True)
            self._listener.start()
        return self._process

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        """Takes the answers of one process until it ends."""
        assert process.stdout is not None
        try:
            while (answer := ask.read_answer(process.stdout)) is not None:
                with self._changed:
                    self._take(answer)
                    self._changed.notify_all()
        except Exception:  # it died in the middle of an answer
            process.kill()
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was not sent is lost with it
                    pipe.close()
        with self._changed:
            if self._process is process:
                self._process = None
                self._died(code)
            self._changed.notify_all()

    def _died(self, code: int) -> None:
        running = self._line.running
        if running is None:
            return
        if running.again:
            self._keep(running, Reply("failed", _DIED.format(_told(code))))
        else:
            running.again = True
            self._write(running)

    def _take(self, answer: Answer) -> None:
        running = self._line.running
        if running is None or running.number != answer.number:
            return
        if answer.state == "progress":
            running.nodes = answer.fields["nodes"]
        elif answer.state == "failed":
            self._keep(running, Reply("failed", answer.fields["message"]))
        else:
            self._keep(running, Reply("done", nodes=running.nodes, answer=answer))

    def _keep(self, question: Question, reply: Reply) -> None:
        self._line.leave(question)
        self._done[question.key] = reply
        while len(self._done) > _KEPT:
            self._done.popitem(last=False)
        self._advance()

    def _give_up_late(self) -> None:
        running = self._line.running
        if running is not None and self.clock() - running.begun > self.seconds:
            if self._process is not None:
                self._process.kill()
                self._process = None
            self._keep(running, Reply("failed", _LATE.format(self.seconds)))


_DIED: Final = (
    f"The worker process ended twice ({{}}): this step may need more memory than it can have. Raise {MEMORY} (bytes) "
    "where TensorBoard is started, or record a smaller batch."
)
_LATE: Final = (
    f"The worker took longer than {{:g}} s and was stopped. Raise {SECONDS} where TensorBoard is started, or record a "
    "smaller batch."
)


def _told(code: int) -> str:
    return f"signal {-code}: out of memory, or killed" if code < 0 else f"exit code {code}"


def _from_environment(name: str, default: float) -> float:
    text = os.environ.get(name, "")
    try:
        return float(text) if text else default
    except ValueError:
        raise UsageError(f"{name}={text!r} is no number") from None
