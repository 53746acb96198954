"""Steps of a training with a method that records them, each right after one of an untouched copy; what they cost."""

from __future__ import annotations

import copy
import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.peers import PEERS, Method
from benchmarks.trainings import CASES, Step, adam, plain_step
from dgm_tb.records import QUANTITIES
from dgm_tb.store.run import Run
from lightning_callbacks import Recorder, kernels
from lightning_callbacks.options import ALL

INTERVALS: Final = (1, 10, 100)
OURS: Final = "**every unit, all statistics, written**"
DEEP: Final = "the same, with deep snapshots (`auto`)"
#: Kernels whose time is taken apart in `profile`.
KERNELS: Final = ("reduce", "keep", "change_of")


@dataclass(frozen=True, slots=True)
class Pace:
    """How long is measured; an interval's steps are a multiple of it, so that its captures have their share."""

    warm: int = 70  # steps before the clock starts: our schedule's dense start and all first calls are over
    peer_warm: int = 3  # peers have no dense start
    steps: Mapping[int, int] = field(default_factory=lambda: {1: 50, 10: 100, 100: 100})
    profiled: int = 30
    patience: float = 3.0  # a peer that has taken so many seconds is measured to its next captured step


@dataclass(frozen=True, slots=True)
class Spent:
    """Time with a method over time without: of all steps by the clock and on all processors, of those not captured."""

    wall: float
    cpu: float
    between: float  # NaN where every step is captured
    kilobytes: tuple[float, float]  # a snapshot on disk, the numbers of its rows alone; NaN for peers


@dataclass(frozen=True, slots=True)
class Profile:
    """Milliseconds of a plain step; what each quantity alone and all together add; what of all are the kernels."""

    plain: float
    added: tuple[float, ...]
    kernels: float


@contextmanager
def ours(
    model: nn.Module,
    batch: Tensor,
    every: int,
    directory: Path,
    quantities: Collection[str] = ALL,
    deep: int | str = 0,
) -> Iterator[Step]:
    optimizer = adam(model)
    with Recorder(model, directory, every_n_steps=every, quantities=quantities, deep_every_n_steps=deep) as recorder:

        def step() -> None:
            with recorder.step(batch):
                optimizer.zero_grad()
                loss = model(batch)
                recorder.log(loss=loss)
                loss.backward()
                optimizer.step()

        yield step


@contextmanager
def with_deep(model: nn.Module, batch: Tensor, every: int, directory: Path) -> Iterator[Step]:
    with ours(model, batch, every, directory, deep="auto") as step:
        yield step


METHODS: Final[dict[str, Method]] = {OURS: ours, DEEP: with_deep, **{n: peer.method for n, peer in PEERS.items()}}


def spent(name: str, case: int, every: int, pace: Pace) -> Spent:
    """Measures a method."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, batch = CASES[case].model(), CASES[case].batch()
    without = plain_step(copy.deepcopy(model), batch)
    own = name in (OURS, DEEP)
    warm, most = pace.warm if own else pace.peer_warm, np.inf if own else pace.patience
    times: list[tuple[float, float, float, float]] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with METHODS[name](model, batch, every, Path(folder, "run")) as with_it:
            for _ in range(warm):
                without()
                with_it()
            gc.collect()
            begun = time.perf_counter()
            # Any so many steps as the interval have one capture among them.
            while len(times) < pace.steps[every]:
                if times and len(times) % every == 0 and time.perf_counter() - begun > most:
                    break
                times.append((*_timed(without), *_timed(with_it)))
        size = kilobytes(Path(folder, "run")) if own else (np.nan, np.nan)
    table = np.array(times)
    total, rest = table.sum(axis=0), table[(warm + np.arange(len(table))) % every != 0].sum(axis=0)
    between = float(rest[2] / rest[0]) if every > 1 else np.nan
    return Spent(float(total[2] / total[0]), float(total[3] / total[1]), between, size)


def _timed(step: Step) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - wall, time.process_time() - cpu


def kilobytes(directory: Path) -> tuple[float, float]:
    """Of a recording: kB a snapshot on disk, all its files together, and of the rows' own numbers."""
    with Run(directory) as run:
        rows = sum(run.keys.values()) * 8 * 4
        disk = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
        return disk / len(run.steps) / 1e3, rows / 1e3


def profile(case: int, pace: Pace) -> Profile:
    """Where a captured step's time goes, capturing at every step.

    Medians of the training thread's own processor time: neither the writer's thread nor what else runs counts.
    """
    added = [_extra(case, (quantity,), pace) for quantity in QUANTITIES]
    whole = _extra(case, QUANTITIES, pace)
    return Profile(whole[0], (*(each[1] for each in added), whole[1]), whole[2])


def _extra(case: int, quantities: Collection[str], pace: Pace) -> tuple[float, float, float]:
    """Milliseconds of a plain step, of what is added where only these quantities are captured, and of the kernels."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, batch = CASES[case].model(), CASES[case].batch()
    without = plain_step(copy.deepcopy(model), batch)
    times = []
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        ours(model, batch, 1, Path(folder, "run"), quantities) as with_it,
        _in_kernels() as taken,
    ):
        for _ in range(pace.peer_warm + pace.profiled):
            taken.clear()
            begun = time.thread_time()
            without()
            between = time.thread_time()
            with_it()
            times.append((between - begun, time.thread_time() - between, sum(taken)))
    plain, recorded, inside = 1e3 * np.median(times[pace.peer_warm :], axis=0)
    return float(plain), float(recorded - plain), float(inside)


@contextmanager
def _in_kernels() -> Iterator[list[float]]:
    """The seconds of each kernel call, on the thread that made it."""
    taken: list[float] = []

    def timed(kernel: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> None:
            begun = time.thread_time()
            kernel(*arguments)
            taken.append(time.thread_time() - begun)

        return run

    originals = {name: getattr(kernels, name) for name in KERNELS}
    for name, kernel in originals.items():
        setattr(kernels, name, timed(kernel))
    try:
        yield taken
    finally:
        for name, kernel in originals.items():
            setattr(kernels, name, kernel)


def main(arguments: Sequence[str]) -> None:
    """Tells what a method costs, ``name case interval …``, a line each; peers print lines of their own."""
    name, case, *intervals = arguments
    for every in map(int, intervals):
        print("SPENT", every, json.dumps(asdict(spent(name, int(case), every, Pace()))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
