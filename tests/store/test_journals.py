from __future__ import annotations

from pathlib import Path

import pytest

from dgm_tb.store.journals import JournalFollower, open_file
from dgm_tb.store.snapshots import SnapshotEncoder, snapshot_format
from tests.store import made

FORM = snapshot_format(made.LAYOUT)


def frames(*steps: int) -> list[bytes]:
    encoder = SnapshotEncoder(made.LAYOUT)
    return [encoder.encode(made.snapshot(step)).tobytes() for step in steps]


def advance(journal: JournalFollower, data: bytes) -> bool:
    journal.path.write_bytes(data)
    return journal.advance(len(data))


@pytest.fixture
def journal(tmp_path: Path) -> JournalFollower:
    return JournalFollower(tmp_path / "journal", FORM)


def test_it_follows_whole_frames(journal: JournalFollower) -> None:
    data = b"".join(frames(0, 5, 10))
    assert not advance(journal, data[:5])
    assert advance(journal, data[: FORM.length + 1])
    assert not advance(journal, data[: 2 * FORM.length - 1])
    assert advance(journal, data)
    assert journal.heads.steps.tolist() == [0, 5, 10]
    assert (journal.damaged, journal.trouble) == (0, None)


def test_a_damaged_frame_is_stepped_over_by_arithmetic(journal: JournalFollower) -> None:
    data = bytearray(b"".join(frames(0, 5, 10)))
    data[FORM.length] ^= 1  # the length itself
    assert advance(journal, bytes(data))
    assert (journal.heads.frames.tolist(), journal.damaged) == ([0, 2], 1)


def test_a_last_frame_whose_bytes_come_late_is_read_then(journal: JournalFollower) -> None:
    first, second = frames(0, 5)
    assert advance(journal, first + bytes(FORM.length))
    assert journal.damaged == 1
    assert advance(journal, first + second)
    assert (journal.heads.frames.tolist(), journal.damaged) == ([0, 1], 0)


def test_a_foreign_file_is_described_until_it_is_ours(journal: JournalFollower) -> None:
    assert not advance(journal, b"something else")
    assert journal.trouble == "does not begin with a record"
    assert advance(journal, frames(0)[0])
    assert journal.trouble is None


def test_a_link_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    with pytest.raises(OSError, match="symbolic links"):
        open_file(str(tmp_path / "link"))
