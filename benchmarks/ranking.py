"""Which layer is called first at the demo's loss spike: by the change of its units, and by that of its mean."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

import dgm_tb
from dgm_tb.run import RunView
from tests.conftest import run_demo
from tests.spike import jumps, positions_before, spike_step

HEADING: Final = "Ranking"
PACKAGES: Final = ("torch", "numpy")
SEEDS: Final = range(6)
HEAD: Final = "encoder.variance2"


def ranked(run: RunView, focus: int) -> tuple[str, str]:
    """The three layers that jump most into ``focus`` by their units' change, and by their mean's."""
    steps = run.steps[positions_before(run, focus)]
    nodes = [node.name for node in run.nodes if "activation" in node.quantities]
    units = [run.series(name, "activation", steps=steps) for name in nodes]
    means = [values.mean(axis=1, keepdims=True) for values in units]
    return _first(nodes, jumps(units)), _first(nodes, jumps(means))


def _first(nodes: list[str], found: NDArray[np.float64]) -> str:
    best = sorted(zip(found, nodes, strict=True), reverse=True)[:3]
    return ", ".join(f"**{name}** {z:.0f}" if name == HEAD else f"{name} {z:.0f}" for z, name in best)


def run() -> str:
    table = ["| seed | ended | spike (steps before the end) | by the units' change | by the mean's change |"]
    table.append("| --- | --- | ---: | --- | --- |")
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            run_demo("--logdir", folder, "--no-serve", "--no-healthy", "--seed", str(seed))
            with dgm_tb.open_run(Path(folder, "unclamped")) as recorded:
                losses = recorded.losses
                loss, focus = losses.values[losses.columns.index("loss")], spike_step(recorded)
                cells = ranked(recorded, focus)
                last = losses.steps[-1]
                table.append(f"| {seed} | {loss[-1]} at {last:,} | {last - focus} | {' | '.join(cells)} |")
        print(table[-1], file=sys.stderr)
    return (
        "The demo's failing training with other seeds. The spike is the first step of the last episode in which the "
        f"loss is above ten times its median before; {HEAD} is where `exp` overflows. Robust z-scores of the jump into "
        "it, the three highest.\n\n" + "\n".join(table)
    )
