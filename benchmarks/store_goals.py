"""What was to be reached of the store, and whether it was; where the time goes in what was not."""

from __future__ import annotations

import cProfile
import pstats
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final
from unittest.mock import patch

from benchmarks.store_load import Load, Times, snapshots
from benchmarks.tables import table
from dgm_tb.queries.span import MOST_COLUMNS
from dgm_tb.records import Manifest
from dgm_tb.store import reading
from dgm_tb.store.budget import Budget
from dgm_tb.store.session import SessionFiles

#: Milliseconds of an append of 983 KB, and that the training waits for it.
APPEND, ENQUEUE = 2.5, 1.0
#: Readings, by raw files' where everything is in memory, and by bare `pread` of the same bytes where nothing is.
AGAINST_RAW: Final = 1.5
#: A view of ten times as many snapshots.
GROWTH: Final = 1.3
#: Seconds of the first question to a run, and of listing all its series; megabytes above an idle process.
FIRST, LISTED, MEMORY = 1.0, 1.0, 300.0

#: What no profile shows.
_REASONS: Final = {
    "one snapshot": "; a page of a block holds 64 snapshots of 16 units, so all of the block is read for one of them"
}

#: What a function does, by the end of its file's path and its name; the first that fits.
_DOES: Final[Sequence[tuple[str, str, str]]] = (
    ("", "fsync", "waiting for the disk"),
    ("", "extend", "checksums"),
    ("columns.py", "page_crcs", "checksums"),
    ("columns.py", "look", "choosing narrow forms"),
    ("columns.py", "turn", "turning"),
    ("partfiles.py", "_turn", "turning"),
    ("lines.py", "_turn", "turning"),
    ("rollups.py", "", "rolling up"),
    ("frames.py", "aligned", "copying"),
    ("snapshots.py", "_put_checked", "copying"),
    ("/analysis/", "", "choosing lines"),
    ("", "pread", "reading files"),
    ("", "readinto", "reading files"),
    ("", "read'", "reading files"),
    ("", "write'", "writing files"),
)


@dataclass(frozen=True, slots=True)
class Goal:
    """``what`` was to be at most ``most`` of ``unit`` (seconds, or times something); ``why`` tells where it goes."""

    what: str
    found: float
    most: float
    unit: str
    why: str = ""

    @property
    def met(self) -> bool:
        return self.found <= self.most

    def line(self) -> tuple[str, str, str, str]:
        return self.what, f"≤ {self.most:g} {self.unit}", f"{self.found:,.3g}", "met" if self.met else "**missed**"


def verdict(goals: Sequence[Goal]) -> str:
    """The goals as a table, and of those that were missed where the time goes."""
    said = table(("goal", "at most", "measured", ""), [goal.line() for goal in goals])
    reasons = [f"- {goal.what}: {goal.why}" for goal in goals if not goal.met and goal.why]
    if not reasons:
        return said
    told = "Where the time goes in what was missed, in one thread and with the profiler's own share in Python's:"
    return "\n\n".join((said, told, "\n".join(reasons)))


def of_readings(
    ours: Mapping[str, Times],
    raw: Mapping[str, Times],
    bare: Mapping[str, Times],
    again: Mapping[str, Callable[[], object]],
) -> Iterator[Goal]:
    """Warm against raw files, cold against bare reads; ``again`` reads them once more, to say where the time goes."""
    profiles = {name: where(read) for name, read in again.items()}
    for name, found in ours.items():
        why = f"{found.warm:,.1f} ms, raw file {raw[name].warm:,.1f}: {profiles[name]}{_REASONS.get(name, '')}"
        yield Goal(f"{name}, warm", found.warm / raw[name].warm, AGAINST_RAW, "× raw file", why)
    for name, found in ours.items():
        why = f"{found.cold:,.1f} ms, bare reads {bare[name].cold:,.1f}; warm {found.warm:,.1f}: {profiles[name]}"
        yield Goal(f"{name}, cold", found.cold / bare[name].cold, AGAINST_RAW, "× bare reads", why)


def of_growth(grown: Mapping[int, Mapping[str, Times]], profiles: Mapping[int, Mapping[str, str]]) -> Iterator[Goal]:
    """``grown``: by how many snapshots, each ten times as many as before, the views' times; where each goes."""
    sizes = list(grown)
    for before, after in pairwise(sizes):
        for name, found in grown[after].items():
            ratio, earlier = found.warm / grown[before][name].warm, grown[before][name].warm

            said = f"{earlier:,.1f} ms, then {found.warm:,.1f}"
            if after <= MOST_COLUMNS:
                said += f" (up to {MOST_COLUMNS:,} every snapshot is drawn, so ten times as many are read and sent)"
            said += f": {profiles[before][name]}; then {profiles[after][name]}"
            yield Goal(f"{name}, {before:,} → {after:,} snapshots", ratio, GROWTH, "×", said)


def where(work: Callable[[], object]) -> str:
    """Where the time of ``work`` goes, in one thread, as shares of it."""
    # A profile sees one thread: what several would read is read in this one.
    with patch.object(reading, "pool", _InTurn):
        profile = cProfile.Profile()
        profile.enable()
        work()
        profile.disable()
    taken: dict[str, float] = defaultdict(float)
    for (path, _, name), (_, _, own, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]  # typeshed lacks it
        taken[_does(path, name)] += own
    whole = sum(taken.values())
    shares = sorted(((own / whole, what) for what, own in taken.items()), reverse=True)
    return ", ".join(f"{what} {100 * share:.0f} %" for share, what in shares if share >= 0.03)


def _does(path: str, name: str) -> str:
    return next((what for file, function, what in _DOES if file in path and function in name), "Python and NumPy")


class _InTurn:
    map = staticmethod(map)


def where_appending(directory: Path, load: Load, count: int) -> str:
    """As `where`, of ``count`` snapshots appended with the blocks and rollups that they complete."""
    session = directory / "20261124T061530Z-00000000-rank0"
    session.mkdir(parents=True)
    files = SessionFiles(session, Budget(directory, 0, None), time.time, None)
    files.write(Manifest(load.layout, (), time.time()))
    made = [snapshot for snapshot, _ in zip(snapshots(load), range(count), strict=False)]
    said = where(lambda: [files.write(snapshot) for snapshot in made])
    files.close()
    return said
