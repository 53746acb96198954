"""Starting the processes of a distributed training, and what they left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]
#: Seconds; the processes import PyTorch at once on whatever cores there are.
LIMIT = 180.0


@pytest.fixture(scope="session")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """The bare loops, all in one pair of processes: importing PyTorch takes longer than they do."""
    directory = tmp_path_factory.mktemp("ranks")
    return directory, launched("bare", directory, 2)


def launched(training: str, directory: Path, ranks: int) -> list[Any]:
    """What each rank of `tests.conformance.ranks` saved; they meet at a file, so that no port has to be free."""
    started = [
        _start(training, directory, {"RANK": str(rank), "WORLD_SIZE": str(ranks), "DGM_MEET": str(directory / "meet")})
        for rank in range(ranks)
    ]
    return _ended(started, directory, ranks)


def launched_once(training: str, directory: Path, ranks: int) -> list[Any]:
    """The same for a training that starts its further processes itself."""
    return _ended([_start(training, directory, {})], directory, ranks)


def _start(training: str, directory: Path, variables: dict[str, str]) -> subprocess.Popen[str]:
    taken = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
    environment = {name: value for name, value in os.environ.items() if name not in taken} | variables
    environment |= {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    if sys.platform == "linux":
        environment["GLOO_SOCKET_IFNAME"] = "lo"  # a host need not be able to resolve its own name
    return subprocess.Popen(
        [sys.executable, "-m", "tests.conformance.ranks", training, str(directory)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # so that what it starts ends with it
    )


def _ended(started: Sequence[subprocess.Popen[str]], directory: Path, ranks: int) -> list[Any]:
    said: list[str] = []
    try:
        said = [process.communicate(timeout=LIMIT)[0] for process in started]
    finally:
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                said.append(process.communicate()[0])
    assert all(process.returncode == 0 for process in started), "\n\n".join(said)
    return [torch.load(directory / f"rank{rank}.pt", weights_only=False) for rank in range(ranks)]
