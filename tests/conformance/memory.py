"""What a recording leaves in memory from snapshot to snapshot."""

from __future__ import annotations

import ctypes
import gc
import os
from itertools import pairwise
from pathlib import Path
from statistics import median

from torch import Tensor

from tests.waiting import until


class Watch:
    """Called after every step; measures before and after each of ``windows`` windows of as many steps."""

    def __init__(self, warm_up: int, window: int, windows: int) -> None:
        self.steps = warm_up + window * windows
        self._marks = range(warm_up, self.steps + 1, window)
        self._window, self._seen = window, 0
        self._resident: list[int] = []
        self._tensors: list[int] = []

    def __call__(self) -> None:
        self._seen += 1
        if self._seen in self._marks:
            if self._seen in (self._marks[0], self._marks[-1]):
                self._tensors.append(_tensors())
            self._resident.append(_resident())

    def bytes_per_snapshot(self) -> float:
        """Of the middle window: what leaks does so in each, a heap that settles grows or shrinks only now and then."""
        assert len(self._resident) == len(self._marks), "the training was too short"
        return median(after - before for before, after in pairwise(self._resident)) / self._window

    def tensors(self) -> int:
        """How many more tensors lived at the end than after the warm-up."""
        before, after = self._tensors
        return after - before


def _tensors() -> int:
    """How many tensors are alive once it is the same twice: the writer's thread is still at work for a while."""
    last = [-1, -2]

    def same() -> bool:
        last[:] = last[1], sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())
        return last[0] == last[1]

    gc.collect()
    until(same)
    return last[0]


def _resident() -> int:
    """Bytes of this process in memory, without what the heap only holds for later."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
