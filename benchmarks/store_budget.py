"""How full a disk budget is kept, of runs many times as long as it holds."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.store_goals import Goal
from benchmarks.store_load import Load, snapshots
from benchmarks.tables import table
from dgm_tb.records import Manifest
from dgm_tb.store.budget import Budget
from dgm_tb.store.session import SessionFiles
from dgm_tb.store.snapshots import snapshot_format

#: 24 rows as a small training has them; a snapshot is 33 KB.
ROWS: Final = Load(8, 32, 128)
#: Budgets in snapshots at full resolution.
BUDGETS: Final = (300, 1000, 5000)
#: Steps of a run in which every step is asked for, by what its budget holds: the interval doubles three times at least.
_LONG: Final = 30
#: Once a budget was so full it counts as full.
_FULL: Final = 0.95


def kept(directory: Path, budgets: Sequence[int] = BUDGETS, rows: Load = ROWS) -> tuple[str, list[Goal]]:
    """The table of what is taken of some budgets, and whether one was ever exceeded."""
    lines, most = [], 0.0
    for budget in budgets:
        filled, stretch = _filled(directory / "budget", rows, budget)
        shutil.rmtree(directory / "budget")
        full = filled[int(np.argmax(filled >= _FULL)) :]
        shares = (f"{100 * float(value):.1f} %" for value in (filled.max(), np.median(full), full.min()))
        lines.append((f"{budget:,}", f"{len(filled):,}", *shares, f"{stretch}×"))
        most = max(most, float(filled.max()))
    columns = "budget, in snapshots", "recorded", "most ever taken", "median once full", "least once full", "interval"
    return table(columns, lines), [Goal("disk budget, most ever taken", most, 1.0, "× budget")]


def _filled(directory: Path, rows: Load, budget: int) -> tuple[NDArray[np.float64], int]:
    """Which share of the budget was taken after each snapshot, as the files say, and how long the interval became."""
    session = directory / "20261124T061530Z-00000000-rank0"
    session.mkdir(parents=True)
    most = budget * snapshot_format(rows.layout).length
    kept = Budget(directory, 0, most)
    files = SessionFiles(session, kept, time.time, None)
    files.write(Manifest(rows.layout, (), time.time()))
    made, filled = cycle(list(snapshots(rows))), []
    for step in range(_LONG * budget):
        if step % kept.stretch == 0:
            files.write(replace(next(made), step=step))
            filled.append(_size(session) / most)
    files.close()
    return np.array(filled), kept.stretch


def _size(session: Path) -> int:
    with os.scandir(session) as files:
        return sum(file.stat().st_size for file in files)
