"""The inputs of a deep snapshot's batch, as numbers that can be drawn as images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import UnknownNameError, UsageError
from dgm_tb.queries.deep import find, snapshots, tape_of
from dgm_tb.replay.deep import Deep, read_array
from dgm_tb.store.run import Run

#: One reply carries at most this many values (16 MiB of float32).
_MOST_VALUES: Final = 2**22


@dataclass(frozen=True, slots=True)
class Request:
    """Samples at batch ``positions`` (none: all that fit) of the batch's tensor ``key`` (none: its first)."""

    run: str
    step: int
    key: str | None = None
    positions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """``values`` float32 ``(samples, …)`` of the batch positions ``position``; ``batch`` is how many there are."""

    step: int
    key: str
    name: str
    batch: int
    position: NDArray[np.uint32]
    values: NDArray[np.float32]


def answer(run: Run, request: Request) -> View:
    """UnknownNameError for a step, tensor or position that is not there; UsageError where it is too much at once."""
    deep = find(snapshots(run), request.step)
    inputs = [source for source in tape_of(deep).sources if source.kind == "input"]
    chosen = [source for source in inputs if request.key in (None, source.key)]
    if not chosen:
        there = ", ".join(source.key for source in inputs) or "none"
        raise UnknownNameError(
            f"key={request.key!r} is no tensor of the batch of step {request.step}; there are: {there}"
        )
    array = _batched(deep, chosen[0].key)
    positions = _positions(request.positions, array)
    return View(
        request.step, chosen[0].key, chosen[0].name, len(array), positions.astype(np.uint32),
        np.ascontiguousarray(array[positions], np.float32),
    )  # fmt: skip


def _batched(deep: Deep, key: str) -> NDArray[np.generic]:
    array = read_array(deep, key)
    return array if array.ndim else array.reshape(1)


def _positions(asked: tuple[int, ...], array: NDArray[np.generic]) -> NDArray[np.int64]:
    each = max(1, array[:1].size)
    if not asked:
        return np.arange(min(len(array), max(1, _MOST_VALUES // each)))
    beyond = [position for position in asked if position >= len(array)]
    if beyond:
        raise UnknownNameError(f"positions: the batch has no sample {beyond[0]}; it has 0 to {len(array) - 1}")
    if len(asked) * each > _MOST_VALUES:
        raise UsageError(f"positions: {len(asked)} samples of {each:,} values are too many; ask for fewer at once")
    return np.asarray(asked, np.int64)
