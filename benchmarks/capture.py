"""What recording costs a training step, beside its peers and beside one read of the same tensors."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final

import numpy as np

from benchmarks import limits
from benchmarks.capture_goals import STEP, verdict
from benchmarks.capture_steps import DEEP, INTERVALS, OURS, Pace, Profile, Spent, profile
from benchmarks.peers import OUT, PEERS
from benchmarks.tables import table
from benchmarks.trainings import CASES
from dgm_tb.records import QUANTITIES

HEADING: Final = "Capture"
PACKAGES: Final = ("torch", "numpy", "numba", "tensorboard")
#: Models (indices of `CASES`) on which peers are measured and for which there are goals; the others are ours alone.
COMPARED: Final = tuple(STEP)
#: How often ours is measured, each time in another process: where there are goals, and else.
REPEATS: Final = (3, 1)
#: Seconds after which a process is given up.
TIMEOUT: Final = 180.0

Found = dict[int, Spent | str]  # interval -> what was measured, or why it could not be


def in_own_process(name: str, case: int, intervals: Sequence[int]) -> Found:
    """`spent` at each interval; in a process of its own, since some peers patch torch for good.

    No child of `multiprocessing`, in which TorchLens refuses to work.
    """
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.capture_steps", name, str(case), *map(str, intervals)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return dict.fromkeys(intervals, f"longer than {TIMEOUT:.0f} s")
    found: Found = {}
    for every, told in re.findall(r"^SPENT (\d+) (.*)$", result.stdout, re.MULTILINE):
        numbers = json.loads(told)
        found[int(every)] = Spent(**numbers | {"kilobytes": tuple(numbers["kilobytes"])})
    return {every: found.get(every, _failure(result.stderr)) for every in intervals}


def _failure(stderr: str) -> str:
    missing = re.search(r"^ModuleNotFoundError: No module named '(\w+)", stderr, re.MULTILINE)
    if missing is not None:
        return f"not installed: {missing[1]}"
    errors = re.findall(r"^([\w.]*(?:Error|Exception))\b", stderr, re.MULTILINE)
    return f"fails: {errors[-1]}" if errors else "the process died"


def _cell(tries: Sequence[Found], every: int, read: Callable[[Spent], float]) -> str:
    found = [one[every] for one in tries if every in one]
    values = [read(one) for one in found if isinstance(one, Spent)]
    if not values:
        return str(found[0]) if found else "–"
    spread = f" ({min(values):.2f} … {max(values):.2f})" if len(values) > 1 else ""
    return f"{np.median(values):.2f}{spread}"


def _row(case: int, name: str, kept: str, tries: Sequence[Found]) -> list[str] | None:
    """A line of the table; None where the peer is not installed."""
    cells = [_cell(tries, every, lambda one: one.wall) for every in INTERVALS]
    if any(cell.startswith("not installed") for cell in cells):
        return None
    size, first = "–", tries[0].get(1)
    if isinstance(first, Spent) and not np.isnan(first.kilobytes[0]):
        size = "{:.0f} ({:.0f})".format(*first.kilobytes)
    cpu, between = _cell(tries, 1, lambda one: one.cpu), _cell(tries, INTERVALS[-1], lambda one: one.between)
    line = [CASES[case].name, name, kept, *cells, cpu, between, size]
    print(" | ".join(line), file=sys.stderr, flush=True)
    return line


def _median(tries: Sequence[Found], every: int, read: Callable[[Spent], float]) -> float:
    return float(np.median([read(one) for found in tries if isinstance(one := found[every], Spent)]))


def _profiled(case: int) -> Profile:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(profile, case, Pace()).result()


def run() -> str:
    lines: list[list[str] | None] = []
    own: dict[int, list[Found]] = {}
    skipped = dict(OUT)
    for case in range(len(CASES)):
        repeats = REPEATS[case not in COMPARED]
        own[case] = [in_own_process(OURS, case, INTERVALS) for _ in range(repeats)]
        lines.append(_row(case, OURS, "", own[case]))
        if case not in COMPARED:
            continue
        lines.append(_row(case, DEEP, "", [in_own_process(DEEP, case, INTERVALS)]))
        for name, peer in PEERS.items():
            if name in skipped:
                continue
            row = _row(case, name, peer.kept, [in_own_process(name, case, INTERVALS[: 1 if peer.every_step else None])])
            lines.append(row)
            if row is None:
                skipped[name] = "not installed"
    profiles = {case: _profiled(case) for case in COMPARED}
    reads = {case: limits.against_a_read(CASES[case]) for case in range(len(CASES))}
    call = limits.per_call() * 1e6
    measured = {c: tries for c, tries in own.items() if any(isinstance(each.get(1), Spent) for each in tries)}
    goals = verdict(
        {case: CASES[case].name for case in own},
        {c: {n: _median(tries, n, lambda one: one.wall) for n in INTERVALS} for c, tries in measured.items()},
        {c: _median(tries, INTERVALS[-1], lambda one: one.between) for c, tries in measured.items()},
        {c: _median(tries, 1, lambda one: one.kilobytes[0] / one.kilobytes[1]) for c, tries in measured.items()},
        profiles,
        {case: fused / once for case, (fused, once) in reads.items()},
        call,
    )
    columns = ["model", "method", "what is kept", *(f"every {n}" for n in INTERVALS)]
    columns += ["CPU, every 1", "steps between, every 100", "kB a capture (rows alone)"]
    missing = "\n".join(f"- {name}: {why}" for name, why in skipped.items())
    return (
        "Step time with recording over step time without, capturing every 1, 10, 100 steps: plain loop, Adam, one "
        "torch thread, an untouched copy stepped before every step, every method in a process of its own. Ours: "
        f"without deep snapshots, median (least … greatest) of {REPEATS[0]} for the first two models; all else once. "
        "CPU: the same ratio of processor time, our writer's thread counted. Steps between: the ratio of those that "
        "are not captured. kB: all files of the recording.\n\n"
        + table(columns, [line for line in lines if line])
        + f"\n\nSkipped:\n\n{missing}\n\n{goals}\n\n"
        "Milliseconds that a captured step adds in the training's thread, by its own processor time (medians): each "
        "quantity alone, all, and what of all are the kernels:\n\n"
        + table(
            ["model", "plain step", *QUANTITIES, "all", "of which kernels"],
            [
                [CASES[case].name, f"{p.plain:.1f}", *(f"{ms:.2f}" for ms in p.added), f"{p.kernels:.2f}"]
                for case, p in profiles.items()
            ],
        )
        + "\n\nThe kernels over every tensor of a captured step (activations, their gradients, weights copied and "
        "read, their gradients, updates), and `torch.sum` of the same, both the quickest of 30:\n\n"
        + table(
            ["model", "ms, kernels", "ms, `sum`", "ratio"],
            [
                [CASES[case].name, f"{fused * 1e3:.2f}", f"{once * 1e3:.2f}", f"{fused / once:.1f}"]
                for case, (fused, once) in reads.items()
            ],
        )
        + f"\n\nOne module call of next to no numbers, forward and backward, costs {call:.0f} µs more; a unit of 128 "
        "samples in layers of 1,024, 4,096 and 16,384 units "
        + ", ".join(f"{each:.0f}" for each in limits.growth())
        + " ns."
    )
