from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dgm_tb.errors import FormatError
from dgm_tb.moments import STATISTICS
from dgm_tb.records import Layout, Row, RowKey
from dgm_tb.store import blockforms, blockwriter
from dgm_tb.store.blocks import Block
from dgm_tb.store.blockwriter import write_block
from dgm_tb.store.snapshots import snapshot_format
from tests.store import made, oracles

_EVERY = slice(None)


@pytest.mark.parametrize("batch", [1 << 9, 1 << 12, 1 << 15])
def test_long_channels_are_turned_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    layout = Layout((Row(made.A, 333), Row(made.B, 2, ("count",)), Row(RowKey("c", "p", "q"), 50)))
    snapshots = [made.snapshot(step, layout) for step in range(5)]
    for snapshot in snapshots:
        layout.row_of(snapshot.values, 0)[0] = 7.0
    expected = made.block(tmp_path / "whole", layout, snapshots).read_bytes()
    monkeypatch.setattr(blockwriter, "_BATCH", batch)
    assert made.block(tmp_path / "parts", layout, snapshots).read_bytes() == expected


def test_a_record_ends_before_it_would_be_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout((Row(made.A, 100), Row(made.B, 100)))
    snapshots = [made.snapshot(step, layout) for step in range(4)]
    monkeypatch.setattr(blockforms, "LONGEST_RECORD", 4000)
    path = made.block(tmp_path, layout, snapshots)
    records = oracles.events(path, tmp_path)
    assert len(records) > 5
    assert all(record.ByteSize() < 4000 + 200 for record in records[:-1])  # the event around its values is not counted
    block = Block.open(str(path), snapshot_format(layout))
    with open(path, "rb") as file:
        for row in range(2):
            for channel in range(8):
                found = block.read(file.fileno(), row, channel, None, _EVERY)
                expected = np.array([layout.row_of(snapshot.values, row)[channel] for snapshot in snapshots]).T
                np.testing.assert_array_equal(found, expected)


def test_half_precision_rounds_activations_only_where_none_is_lost(tmp_path: Path) -> None:
    layout = Layout((Row(made.A, 20), Row(made.B, 20)))  # an activation and a gradient
    snapshots = [made.snapshot(step, layout) for step in range(3)]
    means, least, most = (
        layout.row_of(snapshots[1].values, 0)[STATISTICS.index(name)] for name in ("mean", "min", "max")
    )
    means[:3] = np.nan, np.inf, 0.0
    least[3], most[4] = 1e-9, 7e4  # would be zero, would be infinite
    path = made.block(tmp_path, layout, snapshots, half=True)
    block = Block.open(str(path), snapshot_format(layout))
    with open(path, "rb") as file:
        for row in range(2):
            for channel, name in enumerate(STATISTICS):
                found = block.read(file.fileno(), row, channel, None, _EVERY)
                expected = np.array([layout.row_of(snapshot.values, row)[channel] for snapshot in snapshots]).T
                rounded = row == 0 and name == "mean"
                np.testing.assert_array_equal(found, expected.astype(np.float16) if rounded else expected)


@pytest.mark.parametrize("place", [0, 300, -20])
def test_a_damaged_journal_is_not_made_a_block(tmp_path: Path, place: int) -> None:
    path, layout, _ = made.small_block(tmp_path)
    path.unlink()
    journal = tmp_path / "journal-00000-00000"
    data = bytearray(journal.read_bytes())
    data[place] ^= 1
    journal.write_bytes(data)
    with pytest.raises(FormatError, match="journal-00000-00000"):
        write_block(path, snapshot_format(layout), journal)
    assert [entry.name for entry in tmp_path.iterdir()] == [journal.name]
