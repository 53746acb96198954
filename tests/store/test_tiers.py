from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dgm_tb.errors import FormatError
from dgm_tb.moments import COUNT, M2, MEAN
from dgm_tb.records import CONTEXT, ROLLED, Layout, Row, Snapshot, rolled_layout
from dgm_tb.store import tiers
from dgm_tb.store.blocks import Block
from dgm_tb.store.budget import Budget
from dgm_tb.store.columns import FLOAT16, FLOAT32
from dgm_tb.store.parts import PART_SNAPSHOTS, ROLL, Part, parse
from dgm_tb.store.snapshots import read_head, snapshot_format
from dgm_tb.store.tiers import Tier
from tests.store import made

LAYOUT = Layout((Row(made.A, 3), Row(made.B, 1, ("count", "mean"))))


def numbered(step: int) -> Snapshot:
    """A snapshot whose means are its step."""
    snapshot = made.snapshot(step, LAYOUT)
    first, second = LAYOUT.row_of(snapshot.values, 0), LAYOUT.row_of(snapshot.values, 1)
    first[COUNT], first[MEAN] = 8, step
    second[0], second[1] = 8, -step
    return snapshot


def write(directory: Path, count: int) -> None:
    directory.mkdir()
    tier = Tier(directory, 0, LAYOUT, Budget(directory, 0, None))
    for step in range(count):
        assert tier.append(numbered(step))
    tier.close()


def points(directory: Path, level: int) -> list[tuple[int, int, float, float]]:
    """Of every point its first and last step and the least and greatest of the first row's first mean."""
    form, found = snapshot_format(rolled_layout(LAYOUT)), []
    least, greatest = ROLLED.index("mean/min"), ROLLED.index("mean/max")
    parts = sorted(part for path in directory.iterdir() if (part := parse(path.name)) and part.level == level)
    for part in parts:
        if (directory / part.block).exists():
            block = Block.open(str(directory / part.block), form)
            with open(directory / part.block, "rb") as file:
                low, high = (
                    block.read(file.fileno(), 0, place, slice(0, 1), slice(None)) for place in (least, greatest)
                )
            assert low is not None
            assert high is not None
            firsts = block.context[:, CONTEXT.index("first_step")].astype(int)
            found += list(zip(firsts.tolist(), block.steps.tolist(), low[0].tolist(), high[0].tolist(), strict=True))
        else:
            data = (directory / part.journal).read_bytes()
            for begin in range(0, len(data), form.length):
                head = read_head(form, data[begin : begin + len(form.head)])
                assert head is not None
                row = np.frombuffer(data, "<f4", 3 * len(ROLLED), begin + int(form.rows_at[0])).reshape(len(ROLLED), 3)
                found.append((int(head.context[-1]), head.step, float(row[least, 0]), float(row[greatest, 0])))
    return found


def test_every_level_covers_the_snapshots_that_it_says(tmp_path: Path) -> None:
    count = PART_SNAPSHOTS * ROLL + 300  # two points of level 3 were too slow to make
    write(tmp_path / "s", count)
    for level in (1, 2):
        covered = ROLL**level
        expected = [(begin, begin + covered - 1) for begin in range(0, count - covered + 1, covered)]
        found = points(tmp_path / "s", level)
        assert [(first, last) for first, last, _, _ in found] == expected
        assert [(int(low), int(high)) for _, _, low, high in found] == expected
    names = {path.name for path in (tmp_path / "s").iterdir()}
    assert names == {
        *(Part(0, 0, part).block for part in range(count // PART_SNAPSHOTS)),
        Part(0, 0, count // PART_SNAPSHOTS).journal,
        Part(1, 0, 0).block,
        Part(1, 0, 1).journal,
        Part(2, 0, 0).journal,
    }


def test_a_full_journal_becomes_a_block_of_the_same_numbers(tmp_path: Path) -> None:
    write(tmp_path / "s", PART_SNAPSHOTS)
    path = tmp_path / "s" / "block-00000-00000"
    block = Block.open(str(path), snapshot_format(LAYOUT))
    assert block.steps.tolist() == list(range(PART_SNAPSHOTS))
    with open(path, "rb") as file:
        means = block.read(file.fileno(), 1, 1, None, slice(None))
    assert means is not None
    assert means.tolist() == [[-float(step) for step in range(PART_SNAPSHOTS)]]


@pytest.mark.parametrize(("half", "expected"), [(False, FLOAT32), (True, FLOAT16)])
def test_activations_are_rounded_where_that_was_asked_for(tmp_path: Path, half: bool, expected: int) -> None:
    tier = Tier(tmp_path, 0, LAYOUT, Budget(tmp_path, 0, None), half=half)
    for step in range(PART_SNAPSHOTS * ROLL):
        snapshot = numbered(step)
        LAYOUT.row_of(snapshot.values, 0)[MEAN] += 0.1
        tier.append(snapshot)
    tier.close()
    block = Block.open(str(tmp_path / Part(0, 0, 0).block), snapshot_format(LAYOUT))
    points = Block.open(str(tmp_path / Part(1, 0, 0).block), snapshot_format(rolled_layout(LAYOUT)))
    assert block.kinds[block.form.first[0] + MEAN] == expected
    assert block.kinds[block.form.first[0] + M2] == FLOAT32
    assert points.kinds[points.form.first[0] + ROLLED.index("mean/max")] == expected


def test_what_cannot_be_a_block_stays_a_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: object, **options: object) -> int:
        raise FormatError("too long for a record")

    monkeypatch.setattr(tiers, "write_block", refuse)
    write(tmp_path / "s", PART_SNAPSHOTS + 1)
    names = {path.name for path in (tmp_path / "s").iterdir()}
    assert names == {Part(0, 0, 0).journal, Part(0, 0, 1).journal, Part(1, 0, 0).journal}
    assert "stays as it is: too long for a record" in caplog.text


def test_a_level_that_cannot_be_written_is_told_once_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: object) -> Snapshot:
        raise FormatError("a snapshot is damaged")

    monkeypatch.setattr(tiers, "roll_up", refuse)
    write(tmp_path / "s", PART_SNAPSHOTS)
    assert [path.name for path in (tmp_path / "s").iterdir()] == [Part(0, 0, 0).block]
    assert caplog.text.count("not rolled up from here on") == 1


def test_a_disk_that_is_full_while_a_block_is_made_leaves_the_journal(tmp_path: Path) -> None:
    script = """
import resource, signal, sys
from pathlib import Path
from dgm_tb.store import tiers
from dgm_tb.store.parts import PART_SNAPSHOTS
from dgm_tb.store.writer import RunWriter
from tests.store import made
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
made_block = tiers.write_block
def full(*args, **options):
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))
    try:
        return made_block(*args, **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
tiers.write_block = full
told = []
with RunWriter(Path(sys.argv[1]), session=made.SESSION, capacity=99, on_failure=told.append) as writer:
    writer.submit(made.manifest)
    for step in range(PART_SNAPSHOTS + 1):
        writer.submit(lambda step=step: made.snapshot(step))
assert len(told) == 1 and isinstance(writer.failure, OSError), writer.failure
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=60)
    (directory,) = tmp_path.iterdir()
    names = {path.name for path in directory.iterdir()}
    assert names == {"segment-00000", "journal-00000-00000", "rollup-1-00000-00000", "end"}
    journal, form = directory / "journal-00000-00000", snapshot_format(made.LAYOUT)
    assert journal.stat().st_size == PART_SNAPSHOTS * form.length
