"""What integration and browser tests share: the demo, trained for real once a session."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Demo:
    """The demo's log directory and what its command said."""

    logdir: Path
    said: str


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """``dgm-tb demo`` without serving: both trainings, one after the other (about two minutes on two cores)."""
    logdir = tmp_path_factory.mktemp("demo") / "runs"
    return Demo(logdir, run_demo("--logdir", str(logdir), "--no-serve"))


def run_demo(*arguments: str) -> str:
    """Runs the installed command to its end; what it printed."""
    command = [str(Path(sys.executable).with_name("dgm-tb")), "demo", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    assert done.returncode == 0, done.stdout
    return done.stdout
