"""Losses on their way to the host: the training thread sends them off and later finds them there, and never waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor

#: Losses under way to the host at most: a device that is so many steps behind its host is not watched meanwhile.
UNDER_WAY: Final = 64


class Arrivals:
    """Each step's loss, on the host as soon as it is known there.

    On the CPU that is at once. On CUDA each is copied to pinned memory behind the step's kernels and an event says when
    it is there. On other devices `late` brings it, from the thread that reads the losses anyway.
    """

    def __init__(self) -> None:
        self._arrived: deque[tuple[int, float]] = deque()  # `late` appends from another thread
        self._under_way: deque[tuple[int, int, Any]] = deque()  # step, slot, event
        self._slots: Tensor | None = None
        self._copies = 0
        self._sent = -1  # the last step that needs no `late`

    def send(self, step: int, loss: Tensor | float) -> None:
        """Takes the loss of a step, in the order of the steps: detached, and nobody will change it."""
        if isinstance(loss, Tensor) and loss.numel() != 1:  # there is no telling what it means
            return
        if not isinstance(loss, Tensor) or loss.is_cpu:
            self._sent = step
            self._arrived.append((step, value_of(loss)))
        elif loss.is_cuda and len(self._under_way) < UNDER_WAY:
            self._sent = step
            if self._slots is None:
                self._slots = torch.empty(UNDER_WAY, pin_memory=True)
            slot, self._copies = self._copies % UNDER_WAY, self._copies + 1  # first in, first out: this one is free
            self._slots[slot].copy_(loss.reshape(()), non_blocking=True)
            event = torch.cuda.Event()
            event.record(torch.cuda.current_stream(loss.device))
            self._under_way.append((step, slot, event))

    def late(self, step: int, loss: float) -> None:
        """Brings a loss that was not sent, or could not be."""
        if step > self._sent:
            self._arrived.append((step, loss))

    def take(self) -> Iterator[tuple[int, float]]:
        """The (step, loss) that have arrived since."""
        while self._under_way and self._under_way[0][2].query():
            step, slot, _ = self._under_way.popleft()
            assert self._slots is not None
            self._arrived.append((step, float(self._slots.numpy()[slot])))
        while self._arrived:
            yield self._arrived.popleft()


def value_of(loss: Tensor | float) -> float:
    """The number in a loss on the CPU."""
    if not isinstance(loss, Tensor):
        return float(loss)
    if loss.requires_grad:
        loss = loss.detach()
    if loss.dtype is torch.bfloat16:
        loss = loss.float()
    return float(loss.numpy().item())  # NumPy's: torch's is what the tests look for where something waits for a device
