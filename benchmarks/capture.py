"""What recording costs a training step, beside its peers and beside one read of the same tensors."""

from __future__ import annotations

import copy
import gc
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import limits
from benchmarks.peers import OUT, PEERS, Method
from benchmarks.trainings import CASES, Step, adam, plain_step
from dgm_tb.records import QUANTITIES
from dgm_tb.store.run import Run
from lightning_callbacks import Recorder
from lightning_callbacks.options import ALL

HEADING: Final = "Capture"
PACKAGES: Final = ("torch", "numpy", "numba", "tensorboard")
INTERVALS: Final = (1, 10, 100)
#: Steps before the clock starts: the dense start of our schedule and the first calls of everything are over.
WARM: Final = 70
#: Of a peer, which has no dense start.
PEER_WARM: Final = 3
#: Measured steps of each interval: at least two captures.
STEPS: Final = {1: 60, 10: 100, 100: 200}
#: A peer that has taken so many seconds is measured no longer than to the next multiple of its interval.
PATIENCE: Final = 6.0
REPEATS: Final = 3
OURS: Final = "**every unit, all statistics, written**"


@dataclass(frozen=True, slots=True)
class Spent:
    """Time with a method over time without: of all steps by the clock and on all processors, of those not captured."""

    wall: float
    cpu: float
    between: float  # NaN where every step is captured
    kilobytes: tuple[float, float]  # a snapshot on disk, the numbers of its rows alone; NaN for peers


@contextmanager
def ours(
    model: nn.Module, batch: Tensor, every: int, directory: Path, quantities: Collection[str] = ALL
) -> Iterator[Step]:
    optimizer = adam(model)
    # Without deep snapshots, whose cost comes once in a while and is another table's.
    with Recorder(model, directory, every_n_steps=every, quantities=quantities, deep_every_n_steps=0) as recorder:

        def step() -> None:
            with recorder.step(batch):
                optimizer.zero_grad()
                loss = model(batch)
                recorder.log(loss=loss)
                loss.backward()
                optimizer.step()

        yield step


def spent(name: str, case: int, every: int) -> Spent:
    """Measures a method, each of its steps right after one of an untouched copy."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, batch = CASES[case].model(), CASES[case].batch()
    method: Method = ours if name == OURS else PEERS[name].method
    warm = WARM if name == OURS else PEER_WARM
    without = plain_step(copy.deepcopy(model), batch)
    times: list[tuple[float, float, float, float]] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with method(model, batch, every, Path(folder, "run")) as with_it:
            # Measured from a captured step on: ours are the multiples of the interval, as are the peers'.
            for _ in range(-(-warm // every) * every):
                without()
                with_it()
            gc.collect()
            begun = time.perf_counter()
            while len(times) < STEPS[every]:
                if name != OURS and len(times) % every == 0 and time.perf_counter() - begun > PATIENCE:
                    break
                times.append((*_timed(without), *_timed(with_it)))
        size = kilobytes(Path(folder, "run")) if name == OURS else (np.nan, np.nan)
    table = np.array(times)
    total, rest = table.sum(axis=0), table[np.arange(len(table)) % every != 0].sum(axis=0)
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


#: What `in_own_process` runs; some peers print of their own.
_CHILD: Final = (
    "import dataclasses, json, sys; from benchmarks.capture import spent; "
    "name, case, every = sys.argv[1:]; "
    "print('SPENT', json.dumps(dataclasses.asdict(spent(name, int(case), int(every)))), flush=True)"
)


def in_own_process(name: str, case: int, every: int) -> Spent | str:
    """`spent`, or why it could not be measured; in a process of its own, since some peers patch torch for good.

    No child of `multiprocessing`, in which TorchLens refuses to work.
    """
    command = [sys.executable, "-W", "ignore", "-c", _CHILD, name, str(case), str(every)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"^SPENT (.*)$", result.stdout, re.MULTILINE)
    if found is not None:
        numbers = json.loads(found[1])
        return Spent(**numbers | {"kilobytes": tuple(numbers["kilobytes"])})
    missing = re.search(r"^ModuleNotFoundError: No module named '(\w+)", result.stderr, re.MULTILINE)
    if missing is not None:
        return f"not installed: {missing[1]}"
    errors = re.findall(r"^([\w.]*(?:Error|Exception))\b", result.stderr, re.MULTILINE)
    return f"fails: {errors[-1]}" if errors else "the process died"


def extra(case: int, quantities: Collection[str]) -> tuple[float, float]:
    """Milliseconds of a plain step, and what is added where only these quantities are captured at every step.

    Medians of the training thread's own processor time: neither the writer's thread nor what else runs counts.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, batch = CASES[case].model(), CASES[case].batch()
    without = plain_step(copy.deepcopy(model), batch)
    times = []
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        ours(model, batch, 1, Path(folder, "run"), quantities) as with_it,
    ):
        for index in range(WARM + STEPS[1]):
            begun = time.thread_time()
            without()
            between = time.thread_time()
            with_it()
            if index >= WARM:
                times.append((between - begun, time.thread_time() - between))
    plain, recorded = 1e3 * np.median(times, axis=0)
    return float(plain), float(recorded - plain)


def parts(case: int) -> str:
    """Where a captured step's time goes: each quantity alone, and all."""
    cells = []
    for quantities in (*((quantity,) for quantity in QUANTITIES), QUANTITIES):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            plain, added = pool.submit(extra, case, quantities).result()
            cells.append(f"{added:.2f}")
    return f"| {CASES[case].name} | {plain:.1f} | {' | '.join(cells)} |"


def _cell(found: list[Spent], read: Callable[[Spent], float]) -> str:
    values = [read(one) for one in found]
    spread = f" ({min(values):.2f} … {max(values):.2f})" if len(values) > 1 else ""
    return f"{np.median(values):.2f}{spread}"


def _row(case: int, name: str, kept: str, intervals: tuple[int, ...], repeats: int) -> str | None:
    """A line of the table; None where the peer is not installed."""
    cells = dict.fromkeys(INTERVALS, "–")
    cpu = between = size = "–"
    for every in intervals:
        tries = [in_own_process(name, case, every) for _ in range(repeats)]
        found = [one for one in tries if isinstance(one, Spent)]
        if not found:
            cells[every] = str(tries[0])
            if cells[every].startswith("not installed"):
                return None
            continue
        cells[every] = _cell(found, lambda one: one.wall)
        if every == 1:
            cpu = _cell(found, lambda one: one.cpu)
        if every == INTERVALS[-1]:
            between = _cell(found, lambda one: one.between)
        if name == OURS and every == INTERVALS[0]:
            size = "{:.0f} ({:.0f})".format(*found[0].kilobytes)
    line = " | ".join([CASES[case].name, name, kept, *cells.values(), cpu, between, size])
    print(line, file=sys.stderr)
    return f"| {line} |"


def run() -> str:
    table = ["| model | method | what is kept | " + " | ".join(f"every {n}" for n in INTERVALS)]
    table[0] += " | CPU, every 1 | steps between, every 100 | kB a capture (rows alone) |"
    table.append("| --- | --- | --- |" + " ---: |" * (len(INTERVALS) + 3))
    skipped = dict(OUT)
    for case in range(len(CASES)):
        line = _row(case, OURS, "", INTERVALS, REPEATS)
        table.append(line or "")
        for name, peer in PEERS.items():
            if name in skipped:
                continue
            line = _row(case, name, peer.kept, INTERVALS[:1] if peer.every_step else INTERVALS, 1)
            if line is None:
                skipped[name] = "not installed"
            else:
                table.append(line)
    reads = [
        "| model | ms, kernels | ms, `sum` | ratio |",
        "| --- | ---: | ---: | ---: |",
        *map(limits.against_a_read, CASES),
    ]
    profile = [
        f"| model | plain step | {' | '.join(QUANTITIES)} | all |",
        "| --- |" + " ---: |" * (len(QUANTITIES) + 2),
        *map(parts, range(len(CASES))),
    ]
    missing = "\n".join(f"- {name}: {why}" for name, why in skipped.items())
    return (
        "Step time with recording over step time without, capturing every 1, 10, 100 steps: plain loop, Adam, one "
        "torch thread, an untouched copy stepped before every step, every method in a process of its own. Ours: "
        "without deep snapshots, median "
        f"(least … greatest) of {REPEATS}; peers: once. CPU: the same ratio of processor time, our writer's thread "
        "counted. Steps between: the ratio of those that are not captured. kB: all files of the recording.\n\n"
        + "\n".join(table)
        + f"\n\nSkipped:\n\n{missing}\n\n"
        "Milliseconds that a captured step adds in the training's thread, by its own processor time (medians): each "
        "quantity alone, and all:\n\n"
        + "\n".join(profile)
        + "\n\nThe kernels over every tensor of a captured step (activations, their gradients, weights copied and "
        "read, their gradients, updates), and `torch.sum` of the same, both the quickest of 30:\n\n"
        + "\n".join(reads)
        + f"\n\nOne module call of next to no numbers, forward and backward, costs {limits.per_call() * 1e6:.0f} µs "
        "more; a unit of 128 samples in layers of 1,024, 4,096 and 16,384 units "
        + ", ".join(f"{each:.0f}" for each in limits.growth())
        + " ns."
    )
