from __future__ import annotations

from pathlib import Path

from dgm_tb.records import SessionEnd
from dgm_tb.store import codec, framing
from dgm_tb.store.logs import Log

ENDS = [SessionEnd(f"number {index}", 1.0) for index in range(3)]
FRAMES = [framing.frame(codec.encode(end, end.wall_time)) for end in ENDS]


def test_it_reads_on_from_where_it_stopped(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.path.write_bytes(FRAMES[0] + FRAMES[1][:-1])
    assert list(log.advance(log.path.stat().st_size)) == ENDS[:1]
    log.path.write_bytes(b"".join(FRAMES))
    assert list(log.advance(log.path.stat().st_size)) == ENDS[1:]
    assert list(log.advance(log.path.stat().st_size)) == []


def test_a_damaged_record_is_skipped_and_a_foreign_one_described(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    damaged = FRAMES[0][:-1] + bytes([FRAMES[0][-1] ^ 1])
    log.path.write_bytes(damaged + framing.frame(b"\xff") + FRAMES[1])
    assert list(log.advance(log.path.stat().st_size)) == ENDS[1:2]
    assert (log.damaged, log.foreign, log.stuck) == (1, "a record is not a TensorBoard event", None)


def test_a_last_record_whose_bytes_come_late_is_read_then(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    size = len(FRAMES[0])
    log.path.write_bytes(FRAMES[0][:20] + bytes(size - 20))
    assert list(log.advance(size)) == []
    assert log.stuck == "the last record is damaged, or has not arrived yet"
    log.path.write_bytes(FRAMES[0])
    assert list(log.advance(size)) == ENDS[:1]
    assert log.stuck is None


def test_a_damaged_length_is_the_end(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.path.write_bytes(FRAMES[0] + b"\x01" + FRAMES[1][1:] + FRAMES[2])
    assert list(log.advance(log.path.stat().st_size)) == ENDS[:1]
    assert log.stuck is not None
    assert f"byte {len(FRAMES[0])}" in log.stuck


def test_a_file_that_vanished_is_a_sentence(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    assert list(log.advance(100)) == []
    assert log.stuck == "cannot be read: No such file or directory"
