"""Waiting for something that another thread or process does: asked again and again, up to a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(question: Callable[[], T], *, seconds: float = 30.0, pause: float = 0.05) -> T:
    """The first true answer; an AssertionError with the last one after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"still {answer!r} after {seconds} s"
        time.sleep(pause)
    return answer
