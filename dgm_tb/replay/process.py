"""The worker as a process of its own: requests on stdin, answers on stdout; without PyTorch it says so."""

from __future__ import annotations

import argparse
import resource
import sys
from typing import IO, Final

from dgm_tb.replay import ask
from dgm_tb.replay.ask import Answer
from dgm_tb.replay.client import MEMORY, NO_TORCH


def main() -> None:
    """Limits itself, then serves; whatever libraries print goes to stderr, not among the answers."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--memory", type=int, default=0, help="bytes of data this process may hold; 0: no limit")
    options = parser.parse_args()
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    try:
        import torch

        from dgm_tb.replay.worker import Worker
    except Exception as error:  # an installation can be broken in many ways, each with an exception of its own
        told = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        _refuse(sys.stdin.buffer, answers, f"{NO_TORCH} (Here importing it fails: {told})")
        return
    if options.memory:
        resource.setrlimit(resource.RLIMIT_DATA, (options.memory, options.memory))
        if (taken := _taken()) >= options.memory:
            _refuse(sys.stdin.buffer, answers, _SMALL.format(taken, MEMORY, options.memory))
            return
    torch.set_num_threads(max(1, (torch.get_num_threads() + 1) // 2))
    Worker(sys.stdin.buffer, answers).run()


_SMALL: Final = "PyTorch alone takes {:,} bytes of memory: raise {} above {:,} (bytes) where TensorBoard is started."


def _taken() -> int:
    """Bytes of data that this process holds already; 0 where the system does not tell."""
    try:
        with open("/proc/self/status") as status:
            return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmData"))
    except (OSError, StopIteration):
        return 0


def _refuse(requests: IO[bytes], answers: IO[bytes], message: str) -> None:
    """Tells the first request why; the process ends, so that the next one tries what was mended meanwhile."""
    number, _ = ask.read_asked(requests.readline())
    ask.write_answer(answers, Answer(number, "failed", {"message": message}, {}))


if __name__ == "__main__":
    main()
