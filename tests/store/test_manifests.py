from __future__ import annotations

from pathlib import Path

from dgm_tb.store.manifests import next_sequence, read_manifest
from tests.store import made


def test_sessions_count_on_whatever_their_clocks_say(tmp_path: Path) -> None:
    written = [
        made.write(tmp_path, [made.manifest(created=created), made.manifest()], session=session, rank=rank)
        for session, created, rank in [
            (made.SESSION, made.BEGAN, 0),
            ("20251124T061530Z-1a2b3c4d", made.BEGAN - 1e7, 0),  # the clock was set back
            (made.LATER, made.BEGAN + 60, 0),
            (made.LATER, made.BEGAN + 60, 1),  # another rank of the same
        ]
    ]
    firsts = [read_manifest(directory / "segment-00000") for directory in written]
    seconds = [read_manifest(directory / "segment-00001") for directory in written]
    assert [manifest and manifest.sequence for manifest in firsts] == [0, 1, 2, 2]
    assert [manifest and manifest.sequence for manifest in seconds] == [0, 1, 2, 2]


def test_what_cannot_be_read_counts_for_nothing(tmp_path: Path) -> None:
    directory = made.write(tmp_path, [made.manifest()])
    segment = directory / "segment-00000"
    for data in (b"", b"no record", segment.read_bytes()[:-1], (directory / "end").read_bytes()):
        segment.write_bytes(data)
        assert read_manifest(segment) is None
        assert next_sequence(directory.parent, made.LATER) == 0
    segment.unlink()
    assert next_sequence(directory.parent, made.LATER) == 0
    assert next_sequence(tmp_path / "nowhere", made.LATER) == 0
