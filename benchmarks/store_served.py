"""A large run asked through a real TensorBoard: seconds of its questions, and the memory of its process."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.sampling import table
from benchmarks.store_load import Load, chill, write_ours
from tests.integration.server import TensorBoard, tensorboard

#: What TensorBoard is asked, as the tab asks it.
_ASKED: Final[Mapping[str, dict[str, object]]] = {
    "runs": {},
    "aggregates": {"run": "ours"},
    "layer": {"run": "ours", "node": "net.00", "quantity": "activation"},
    "neuron": {"run": "ours", "node": "net.00", "quantity": "activation", "units": "3,77,101"},
}


def served(directory: Path, load: Load) -> str:
    """A real TensorBoard on a run of this load, cold: seconds of each first and second question, and its memory."""
    directory.mkdir()
    run = directory / "ours"
    written = write_ours(run, load)
    chill(run)
    empty = directory.with_name(f"{directory.name}-empty")
    empty.mkdir()
    with tensorboard("--logdir", str(empty)) as server:
        server.get("data/plugin/dgm/runs")
        idle = _resident(server.process.pid)
    with tensorboard("--logdir", str(directory)) as server:
        chill(run)
        lines = []
        for noun, parameters in _ASKED.items():
            last = load.snapshots - 1
            options = {"first": 0, "last": last} if noun in ("aggregates", "layer", "neuron") else {}
            for what, more in (("", {}), (", whole range", options)):
                if what and not options:
                    continue
                seconds = [_ask(server, noun, {**parameters, **more}) for _ in range(2)]
                lines.append((f"`{noun}`{what}", *(f"{value:.2f}" for value in seconds)))
        resident, most = _resident(server.process.pid), _resident(server.process.pid, "VmHWM")
    shutil.rmtree(run)
    return (
        f"A run of {written.bytes / 1e9:.1f} GB ({load.snapshots:,} snapshots of {load.rows} rows of {load.units:,} "
        f"units, {len(load.statistics)} statistics, written in {written.total:,.0f} s), cold, "
        f"asked through a real TensorBoard. Its process: {idle:,.0f} MB with an empty log directory, "
        f"{resident:,.0f} MB after these questions, {most:,.0f} MB at most.\n\n"
        + table(("question", "s first, cold", "s again"), lines)
    )


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
