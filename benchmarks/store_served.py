"""Runs asked through a real TensorBoard: seconds of its questions, and the memory of its process."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.store_goals import FIRST, LISTED, MEMORY, Goal
from benchmarks.store_load import Load, Written, chill, write_ours
from benchmarks.tables import table
from tests.integration.server import TensorBoard, tensorboard

#: What TensorBoard is asked, as the tab asks it; those of steps over the whole range too.
_ASKED: Final[Mapping[str, dict[str, object]]] = {
    "runs": {},
    "graph": {"run": "ours"},
    "aggregates": {"run": "ours"},
    "layer": {"run": "ours", "node": "net.00", "quantity": "activation"},
    "density": {"run": "ours", "node": "net.00", "quantity": "activation"},
    "neuron": {"run": "ours", "node": "net.00", "quantity": "activation", "units": "3,77,101"},
}
_OF_STEPS: Final = ("aggregates", "layer", "density", "neuron")


def served(directory: Path, load: Load) -> tuple[str, list[Goal]]:
    """A run of this load, cold: seconds of each first and second question, and TensorBoard's memory."""
    idle = _idle(directory)
    with _run(directory, load) as (written, server):
        whole = {"first": 0, "last": load.snapshots - 1}
        asked = {}
        for noun, parameters in _ASKED.items():
            asked[f"`{noun}`"] = _twice(server, noun, parameters)
            if noun in _OF_STEPS:
                asked[f"`{noun}`, whole range"] = _twice(server, noun, {**parameters, **whole})
        resident, most = _resident(server.process.pid), _resident(server.process.pid, "VmHWM")
    name = f"{written.bytes / 1e9:.1f} GB in rows of {load.units:,} units"
    goals = [
        Goal(f"{name}: first query", asked["`runs`"][0], FIRST, "s"),
        Goal(f"{name}: memory above idle, after the questions", resident - idle, MEMORY, "MB"),
        Goal(f"{name}: memory above idle, at most", most - idle, MEMORY, "MB"),
    ]
    return (
        f"A run of {written.bytes / 1e9:.1f} GB ({load.snapshots:,} snapshots of {load.rows:,} rows of {load.units:,} "
        f"units, {len(load.statistics)} statistics, written in {written.total:,.0f} s), cold, "
        f"asked through a real TensorBoard. Its process: {idle:,.0f} MB with an empty log directory, "
        f"{resident:,.0f} MB after these questions, {most:,.0f} MB at most.\n\n" + _table(asked)
    ), goals


def listed(directory: Path, load: Load) -> tuple[str, list[Goal]]:
    """A run of very many rows, cold: seconds until TensorBoard has told all of their names, and drawn them."""
    with _run(directory, load) as (written, server):
        asked = {f"`{noun}`": _twice(server, noun, _ASKED[noun]) for noun in ("runs", "graph", "aggregates")}
    seconds = asked["`runs`"][0] + asked["`graph`"][0]
    return (
        f"A run of {load.rows:,} series ({load.layers:,} modules × {len(load.quantities)} quantities, each of "
        f"{load.units} units and {len(load.statistics)} statistics; {load.snapshots} snapshots, "
        f"{written.bytes / 1e6:,.0f} MB), cold, asked through a real TensorBoard. `runs` and `graph` tell all modules "
        f"and their quantities, `aggregates` has a curve of each module.\n\n" + _table(asked)
    ), [Goal(f"{load.rows:,} series listed", seconds, LISTED, "s")]


def _idle(directory: Path) -> float:
    """The memory of a TensorBoard with nothing to show."""
    empty = directory.with_name(f"{directory.name}-empty")
    empty.mkdir()
    with tensorboard("--logdir", str(empty)) as server:
        server.get("data/plugin/dgm/runs")
        return _resident(server.process.pid)


@contextmanager
def _run(directory: Path, load: Load) -> Iterator[tuple[Written, TensorBoard]]:
    """A run on the disk alone, and a TensorBoard that has not looked at it."""
    directory.mkdir()
    run = directory / "ours"
    written = write_ours(run, load)
    chill(run)
    with tensorboard("--logdir", str(directory)) as server:
        chill(run)
        yield written, server
    shutil.rmtree(run)


def _table(asked: Mapping[str, tuple[float, float]]) -> str:
    lines = [(name, *(f"{seconds:.2f}" for seconds in both)) for name, both in asked.items()]
    return table(("question", "s first, cold", "s again"), lines)


def _twice(server: TensorBoard, noun: str, parameters: Mapping[str, object]) -> tuple[float, float]:
    return _ask(server, noun, parameters), _ask(server, noun, parameters)


def _ask(server: TensorBoard, noun: str, parameters: Mapping[str, object]) -> float:
    begun = time.perf_counter()
    status, _, body = server.get(f"data/plugin/dgm/{noun}", **parameters)
    assert status == 200, body
    return time.perf_counter() - begun


def _resident(pid: int, what: str = "VmRSS") -> float:
    """Megabytes."""
    found = re.search(rf"^{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1000
