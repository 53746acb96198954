"""How much disk a run may take: lengthening the interval as it fills, and giving up what is old when it is full."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dgm_tb.records import Thinned
from dgm_tb.store.thinning import Shelf, choose, give_up, sessions

#: The interval doubles when half of the budget is taken, when half of the rest is, and so on: each stretch then covers
#: about as many steps. It does so up to this, for what is old is given up in the end; and beyond, by the same rule, as
#: the budget fills with what cannot be given up (a rolled-up journal is as large as hundreds of snapshots).
_EASY_STRETCH: Final = 8
#: Where hardly anything fits, one snapshot of so many, times `_EASY_STRETCH`, is still tried.
_SLOWEST: Final = 1024
#: So much of the budget is freed at once, so that small parts go by the dozen and not one at each snapshot.
_FREED: Final = 64
#: So much of it is given up at most for what is gone again in a moment: a block beside the journal that it replaces.
#: A fifth of small budgets, that rolled-up journals of 64 points take, would else be empty each time.
_PASSING: Final = 10


class Budget:
    """The bytes that one rank's sessions in ``bulk`` take, of at most ``most`` (None: as many as there are).

    Belongs to the writer's thread, but for `protect` and `stretch`.
    """

    def __init__(self, bulk: Path, rank: int, most: int | None) -> None:
        self.stretch = 1
        self._bulk, self._rank, self._most = bulk, rank, most
        self._shelves: dict[Path, Shelf] = {}
        self._protected: list[tuple[int, int]] = []
        self._lock = threading.Lock()
        self._taken = 0
        if most is not None:
            self.changed(self._count())

    def protect(self, first_step: int, last_step: int) -> None:
        """Keeps what was recorded from ``first_step`` to ``last_step`` longest; from any thread."""
        with self._lock:
            self._protected.append((first_step, last_step))

    def changed(self, size: int) -> None:
        """Takes note of bytes that were written, or deleted where ``size`` is negative."""
        self._taken += size
        if self._most is not None:
            self._lengthen(min(_doubled(self._taken, self._most), _EASY_STRETCH))

    def room(self, size: int, *, passing: bool = False) -> bool:
        """Whether ``size`` bytes more fit, after giving up what is old if need be; little of it for ``passing`` ones.

        Raises `OSError`.
        """
        if self._most is None or self._taken + size <= self._most:
            return True
        self._taken = self._count()
        need = self._taken + size - self._most
        if need > 0 and not (passing and need > self._most // _PASSING):
            with self._lock:
                protected = list(self._protected)
            held = [part for shelf in self._shelves.values() for part in shelf.held()]
            fixed = self._taken - sum(part.size for part in held)
            self._lengthen(_EASY_STRETCH * _doubled(fixed, self._most))
            chosen = choose(held, need + self._most // _FREED, self._most, protected)
            if sum(part.size for part in chosen) >= need:
                give_up(chosen, f"a disk budget of {self._most:,} bytes")
                self._taken = self._count()
        return self._taken + size <= self._most

    def _lengthen(self, stretch: int) -> None:
        self.stretch = max(self.stretch, stretch)

    def _count(self) -> int:
        directories = sessions(self._bulk, self._rank)
        self._shelves = {path: self._shelves.get(path) or Shelf(path) for path in directories}
        return sum(shelf.size() for shelf in self._shelves.values())


def _doubled(taken: int, most: int) -> int:
    """2 from half of ``most`` on, 4 from three quarters, and so on; at most `_SLOWEST`."""
    stretch = 1
    while stretch < _SLOWEST and taken >= most - most / (2 * stretch):
        stretch *= 2
    return stretch


@dataclass(frozen=True, slots=True)
class Pruned:
    """What `prune` did: bytes before and after, and what was given up."""

    before: int
    after: int
    thinned: tuple[Thinned, ...]


def prune(
    bulk_directory: Path,
    max_bytes: int,
    *,
    protected: Sequence[tuple[int, int]] = (),
    clock: Callable[[], float] = time.time,
) -> Pruned:
    """Gives up what is old in all sessions and ranks of ``bulk_directory`` until they take at most ``max_bytes``.

    Parts that touch ``protected`` stretches ``(first_step, last_step)`` go last. What cannot be given up without losing
    steps altogether stays, so ``after`` may be more than ``max_bytes``. Unfinished files that a crash left behind go
    in any case. Raises `OSError`.
    """
    shelves = [Shelf(path) for path in sessions(bulk_directory)]
    before = sum(shelf.size() for shelf in shelves)
    for path in (path for shelf in shelves for path in shelf.left_behind(clock())):
        path.unlink(missing_ok=True)
    held = [part for shelf in shelves for part in shelf.held()]
    taken = sum(shelf.size() for shelf in shelves)
    chosen = choose(held, taken - max_bytes, max_bytes, protected)
    notes = give_up(chosen, f"pruned to {max_bytes:,} bytes")
    return Pruned(before, sum(shelf.size() for shelf in shelves), tuple(notes))
