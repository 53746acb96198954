"""Small sessions with every kind of file, cut at every byte and with a bit flipped in every byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dgm_tb.moments import COUNT, M2, NONFINITE, ZEROS
from dgm_tb.records import Layout, Row, RowKey, Snapshot, Thinned, rolled_layout
from dgm_tb.store import codec, framing
from dgm_tb.store.blockwriter import write_block
from dgm_tb.store.run import Run
from dgm_tb.store.snapshots import snapshot_format
from tests.crash.truth import Truth
from tests.store import made

#: One unit: every byte is tried, and there are few.
LAYOUT = Layout((Row(RowKey("a", "p", "gradient"), 1),))
#: The same with one statistic, so that its rollups have few bytes too.
NARROW = Layout((Row(RowKey("a", "p", "gradient"), 1, ("count", "mean")),))


def snapshot(step: int) -> Snapshot:
    made_up = made.snapshot(step, LAYOUT)
    row = LAYOUT.row_of(made_up.values, 0)
    row[COUNT], row[NONFINITE], row[ZEROS] = 4, 0, 1
    row[M2] = np.abs(row[M2])
    return made_up


def narrow(step: int) -> Snapshot:
    made_up = made.snapshot(step, NARROW)
    NARROW.row_of(made_up.values, 0)[0] = 4
    return made_up


TRUTH, NARROW_TRUTH = Truth(LAYOUT, snapshot), Truth(NARROW, narrow)


def record(run: Path, truth: Truth, steps: int) -> Path:
    snapshots = map(truth.written, range(steps))
    return made.write(run, [made.manifest(truth.layout), made.GRAPH, *snapshots, made.table(range(2))])


def as_recorded(run: Path) -> Path:
    session = record(run, TRUTH, 2)
    thinned = Thinned(0, -9, -5, 4, "the disk budget")
    (session / "thinned").write_bytes(framing.frame(codec.encode(thinned, made.BEGAN)))
    return session


def with_a_block(run: Path) -> Path:
    session = record(run, TRUTH, 2)
    journal = session / "journal-00000-00000"
    write_block(session / "block-00000-00000", snapshot_format(LAYOUT), journal)
    journal.unlink()
    return session


def with_a_rollup(run: Path) -> Path:
    return record(run, NARROW_TRUTH, 18)


def with_a_rolled_block(run: Path) -> Path:
    session = record(run, NARROW_TRUTH, 18)
    journal = session / "rollup-1-00000-00000"
    write_block(session / "rollblock-1-00000-00000", snapshot_format(rolled_layout(NARROW)), journal)
    journal.unlink()
    return session


CASES: list[tuple[Callable[[Path], Path], str]] = [
    (as_recorded, "segment-00000"),
    (as_recorded, "journal-00000-00000"),
    (as_recorded, "steps"),
    (as_recorded, "end"),
    (as_recorded, "thinned"),
    (with_a_block, "block-00000-00000"),
    (with_a_rollup, "rollup-1-00000-00000"),
    (with_a_rolled_block, "rollblock-1-00000-00000"),
]


def look(directory: Path) -> set[int]:
    """The snapshots of which a reader tells all; it never tells anything wrong and never raises."""
    run = Run(directory, listed=True)
    if len(run.steps) <= 10:
        return TRUTH.never_wrong(run)
    levels = NARROW_TRUTH.rollups_never_wrong(run, most=10, statistics=("mean",))
    assert levels <= {0, 1}
    return set(run.steps.tolist())


@pytest.mark.parametrize(("make", "name"), CASES)
def test_a_file_cut_at_any_byte(make: Callable[[Path], Path], name: str, tmp_path: Path) -> None:
    session = make(tmp_path)
    path = session / name
    others = {entry.name for entry in session.iterdir()} - {name}
    whole = look(tmp_path)
    assert whole == set(range(len(whole)))
    assert len(whole) in (2, 18)
    for size in range(path.stat().st_size - 1, -1, -1):
        with path.open("r+b") as file:
            file.truncate(size)
        left = look(tmp_path)
        assert left <= whole
        if name.startswith("journal"):  # all frames before the cut
            assert left == set(range(size // snapshot_format(LAYOUT).length))
        elif name in ("steps", "end", "thinned", "rollup-1-00000-00000", "rollblock-1-00000-00000"):
            assert left == whole  # the snapshots do not need it
    assert {entry.name for entry in session.iterdir()} == others | {name}


@pytest.mark.parametrize(("make", "name"), CASES)
def test_a_bit_flipped_in_any_byte(make: Callable[[Path], Path], name: str, tmp_path: Path) -> None:
    session = make(tmp_path)
    path = session / name
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    whole = look(tmp_path)
    for at, bit in enumerate(rng.integers(0, 8, len(data)).tolist()):
        with path.open("r+b") as file:
            file.seek(at)
            file.write(bytes([data[at] ^ 1 << bit]))
        left = look(tmp_path)
        assert left <= whole
        if name.startswith("journal"):
            assert whole - left <= {at // snapshot_format(LAYOUT).length}  # the others stay
        with path.open("r+b") as file:
            file.seek(at)
            file.write(data[at : at + 1])
    assert look(tmp_path) == whole
