from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dgm_tb.moments import MEAN
from dgm_tb.records import Layout, Row
from dgm_tb.store import partfiles
from dgm_tb.store.blocks import Block
from dgm_tb.store.journals import Damage
from dgm_tb.store.partfiles import PartFile
from dgm_tb.store.parts import PART_SNAPSHOTS, Part
from dgm_tb.store.snapshots import snapshot_format
from tests.store import laid, made

WIDE = Layout((Row(made.A, 700), Row(made.B, 2)))
FRAMES = np.array([63, 0, 5, 5, 6])


def lay(tmp_path: Path, fate: str) -> tuple[PartFile, NDArray[np.float32]]:
    """A part, and the first row of all its snapshots ``(STATISTICS, snapshots, units)``."""
    snapshots = [made.snapshot(step, WIDE) for step in range(PART_SNAPSHOTS)]
    directory = laid.lay(tmp_path, laid.Session([(WIDE, snapshots)], levels=0), lambda part: fate)
    file = PartFile(str(directory), Part(0, 0, 0), snapshot_format(WIDE), 1, blocked=fate == laid.BLOCK)
    return file, np.stack([WIDE.row_of(snapshot.values, 0) for snapshot in snapshots], axis=1)


def read(
    file: PartFile, channels: tuple[str, ...], units: NDArray[np.int64] | None, damage: Damage
) -> NDArray[np.float32]:
    out = np.full((len(channels), len(FRAMES), 700 if units is None else len(units)), 1e9, np.float32)
    partfiles.read_rows(file, 0, channels, FRAMES, units, out, np.full(len(channels), -7, np.float32), damage)
    return out


@pytest.mark.parametrize("fate", [laid.JOURNAL, laid.BLOCK])
@pytest.mark.parametrize("piece", [1, 100, 1 << 20])
def test_a_row_is_read_by_pieces_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fate: str, piece: int
) -> None:
    monkeypatch.setattr(partfiles, "_PIECE", max(1, piece // PART_SNAPSHOTS))
    monkeypatch.setattr("dgm_tb.store.journals._PIECE", piece)
    file, rows = lay(tmp_path, fate)
    damage = Damage()
    for units in (None, np.array([699, 0, 31, 31])):
        chosen = slice(None) if units is None else units
        found = read(file, ("mean", "unheard of", "count"), units, damage)
        assert (found[[0, 2]] == rows[[MEAN, 0]][:, FRAMES][:, :, chosen]).all()
        assert np.isnan(found[1]).all()
    assert damage.problems() == ()


def test_a_journal_that_is_gone_is_looked_for_as_a_block(tmp_path: Path) -> None:
    file, rows = lay(tmp_path, laid.BLOCK)
    late = PartFile(file.directory, file.part, file.form, 1, blocked=False)
    assert (read(late, ("mean",), None, Damage())[0] == rows[MEAN, FRAMES]).all()
    out = np.empty((1, len(FRAMES), *WIDE.aggregate_shape), np.float32)
    partfiles.read_aggregates(late, [1], FRAMES, out, Damage())
    assert (out[0, 1] == made.snapshot(0, WIDE).aggregates[1]).all()


@pytest.mark.parametrize("blocked", [False, True])
def test_a_part_that_was_thinned_is_missing(tmp_path: Path, blocked: bool) -> None:
    file, _ = lay(tmp_path, laid.BLOCK)
    (Path(file.directory) / file.part.block).unlink()
    damage = Damage()
    found = read(PartFile(file.directory, file.part, file.form, 1, blocked), ("mean",), None, damage)
    assert (found == -7).all()
    assert damage.problems() == ()


def test_a_session_that_is_gone_is_an_error(tmp_path: Path) -> None:
    file, _ = lay(tmp_path, laid.JOURNAL)
    Path(file.directory).rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError):
        read(file, ("mean",), None, Damage())


@pytest.mark.parametrize("fate", [laid.JOURNAL, laid.BLOCK])
def test_what_is_damaged_is_missing_and_told(tmp_path: Path, fate: str) -> None:
    file, rows = lay(tmp_path, fate)
    path = Path(file.directory) / (file.part.block if file.blocked else file.part.journal)
    data = bytearray(path.read_bytes())
    at = data.index(rows[MEAN, 5, :1].tobytes())
    data[at] ^= 1
    path.write_bytes(data)
    damage = Damage()
    found = read(file, ("mean",), np.array([0, 699]), damage)
    kept, lost = ([0, 1, 4], [2, 3]) if fate == laid.JOURNAL else ([], [0, 1, 2, 3, 4])
    assert (found[0][kept] == rows[MEAN][FRAMES[kept]][:, [0, 699]]).all()
    assert (found[0][lost] == -7).all()
    assert damage.problems() == ("damaged rows, shown as not recorded: 1",)


def test_an_open_directory_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, _ = lay(tmp_path, laid.BLOCK)
    first = partfiles.open_block(f"{file.directory}/{file.part.block}", file.form)
    monkeypatch.setattr(Block, "open", None)
    assert partfiles.open_block(f"{file.directory}/{file.part.block}", file.form) is first
