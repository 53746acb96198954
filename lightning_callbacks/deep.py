"""Deep snapshots: at which steps one is recorded, and which of them stay on the disk."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from dgm_tb.replay import deep as stored
from dgm_tb.replay.tape import Tape, dump
from lightning_callbacks.recorded import Recorded

#: How many of the latest stay, and how many of the latest under a warning: a failure is over in a few steps.
RING: Final = 3
WARNED: Final = 16
#: A recorded step takes up to three times as long; so many times its own duration must pass before the next one that
#: nobody asked for, which keeps the cost below 3 %.
REST: Final = 33.0
#: So many steps under warnings are recorded at once, of one warning its first ones: the next may be the one that ends
#: in NaN. Time earns them back at the same rate.
ALLOWANCE: Final = 64
OF_ONE_WARNING: Final = 12

_log = logging.getLogger("lightning_callbacks")


@dataclass
class DeepSchedule:
    """Which captured steps are recorded: geometric ones (0, 1, 2, 4, 8 …), under a warning, every n-th where a person
    wants it, and otherwise as often as it stays cheap.

    ``every_n_steps``: ``"auto"``, a number (0: none at all). ``clock`` in seconds.
    """

    every_n_steps: int | str
    clock: Callable[[], float]
    _ready: float = field(default=0.0, init=False)
    _geometric: int = field(default=0, init=False)
    _left: float = field(default=ALLOWANCE, init=False)
    _warning: int = field(default=-1, init=False)  # the latest, by its first step
    _of_it: int = field(default=0, init=False)  # were recorded
    _earned: float = field(default=0.0, init=False)  # up to when
    _seconds: float = field(default=0.0, init=False)  # that the last one took

    def wants(self, step: int, *, warning: int | None) -> bool:
        """Whether a captured step is recorded too; ``warning``: the first step of the one that lasts."""
        if self.every_n_steps == 0:
            return False
        self._earn()
        spared = self.every_n_steps == "auto" and self.clock() >= self._ready
        few = warning != self._warning or self._of_it < OF_ONE_WARNING
        return self.lasting(step) or spared or (warning is not None and few and self._left >= 1)

    def lasting(self, step: int) -> bool:
        """Whether a step's deep snapshot stays although later ones follow."""
        regular = isinstance(self.every_n_steps, int) and step % self.every_n_steps == 0
        return regular or step >= self._geometric

    def recorded(self, step: int, seconds: float, *, warning: int | None) -> None:
        """Tells that a step was recorded, and how long it took."""
        if step >= self._geometric:
            self._geometric = max(1, 2 * step)
        if warning is not None:
            self._of_it = self._of_it + 1 if warning == self._warning else 1
            self._warning = warning
            self._left -= 1
        self._seconds = seconds
        self._ready = self.clock() + REST * seconds

    def _earn(self) -> None:
        now = self.clock()
        if self._seconds > 0:
            self._left = min(ALLOWANCE, self._left + (now - self._earned) / (REST * self._seconds))
        self._earned = now


class Keeper:
    """The deep snapshots of a session directory, at most ``most`` bytes of them, on the writer's thread."""

    def __init__(self, session: Path, most: int) -> None:
        self.most = most
        self._folder = session / stored.FOLDER
        self._sizes: dict[int, int] = {}
        self._ring: list[int] = []
        self._warned: list[int] = []

    def keep(self, tape: Tape, tensors: Mapping[str, Tensor], *, lasting: bool, warned: bool = False) -> int:
        """Writes one, whole or not at all, and removes what no longer belongs there; by how many bytes they grew.

        Raises `OSError` where it cannot be written; nothing half written is left.
        """
        before = sum(self._sizes.values())
        self._sizes[tape.step] = self._write(tape, tensors)
        if not lasting:
            ring, most = (self._warned, WARNED) if warned else (self._ring, RING)
            ring.append(tape.step)
            while len(ring) > most:
                self._remove(ring.pop(0))
        self._fit()
        return sum(self._sizes.values()) - before

    def explain(self, reason: str) -> int:
        """Notes why no more will come; the note's size. Raises `OSError`."""
        self._folder.mkdir(exist_ok=True)
        return (self._folder / stored.REASON).write_text(reason[: stored.LONGEST_REASON], errors="replace")

    def _write(self, tape: Tape, tensors: Mapping[str, Tensor]) -> int:
        name = stored.name(tape.step)
        scratch = self._folder / f".{name}"
        try:
            self._folder.mkdir(exist_ok=True)  # not its parents: a session's directory that vanished stays gone
            scratch.mkdir()
            (scratch / stored.TAPE).write_bytes(dump(tape))
            _save(tensors, scratch / stored.TENSORS)
            size = sum(file.stat().st_size for file in scratch.iterdir())
            os.replace(scratch, self._folder / name)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        return size

    def _fit(self) -> None:
        """Removes the oldest, those under warnings last; the newest and the one before it stay: a change needs two."""
        spare = sorted(self._sizes)[:-2]
        for step in sorted(spare, key=lambda step: (step in self._warned, step)):
            if sum(self._sizes.values()) <= self.most:
                return
            self._remove(step)

    def _remove(self, step: int) -> None:
        shutil.rmtree(self._folder / stored.name(step), ignore_errors=True)
        self._sizes.pop(step, None)


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    try:
        save_file({key: tensor.contiguous().cpu() for key, tensor in tensors.items()}, path)
    except SafetensorError as error:  # a full disk, or a directory that vanished
        kind = OSError if path.parent.exists() else FileNotFoundError
        raise kind(f"{path} cannot be written: {error}") from error


class Deep:
    """What a recording asks at each captured step: is it deep, and what is to be written of it."""

    def __init__(
        self, every_n_steps: int | str, most_each: int, keeper: Keeper, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._schedule = DeepSchedule(every_n_steps, clock)
        # A change needs two of them: both must fit.
        self._most_each, self._keeper, self._clock = min(most_each, keeper.most // 2), keeper, clock
        self._begun = 0.0
        self._warning: int | None = None
        self._failed = self._given_up = False

    def begin(self, step: int, *, warning: int | None) -> int:
        """How many bytes the tape of a step that is about to run may take; 0 where none is recorded."""
        if self._given_up or not self._schedule.wants(step, warning=warning):
            return 0
        self._begun, self._warning = self._clock(), warning
        return self._most_each

    def end(self, step: int, made: Recorded, versions: Mapping[str, str]) -> Callable[[], int]:
        """What writes the step, for the writer's thread."""
        lasting, warned = self._schedule.lasting(step), self._warning is not None
        self._schedule.recorded(step, self._clock() - self._begun, warning=self._warning)
        tape = replace(made.tape, step=step, versions=versions)

        def write() -> int:
            return self._keeper.keep(tape, made.tensors, lasting=lasting, warned=warned)

        return write

    def give_up(self, reason: str) -> Callable[[], int]:
        """No more are recorded once a second step failed: the first may only have made its lazy parameters.

        What writes the reason, for the tab.
        """
        self._given_up, self._failed = self._failed, True
        if self._given_up:
            _log.info("DGM: no weights and batches are kept for credit and replay: %s", reason)
        return lambda: self._keeper.explain(reason)
