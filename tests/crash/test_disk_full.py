"""A disk that is full at any moment: recording stops and says so once, and what was acknowledged stays."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dgm_tb.records import Record, Snapshot
from dgm_tb.store import blockwriter, session, tiers
from dgm_tb.store.run import Run
from dgm_tb.store.writer import RunWriter
from tests.crash import child
from tests.crash.conftest import Recorder
from tests.crash.truth import Truth
from tests.store import made

TRUTH = Truth()
#: As many snapshots as make rolled-up blocks.
STEPS = range(1100)


class Disk:
    """Takes ``left`` bytes more; then a write comes short, as the system's does, and the next raises."""

    def __init__(self, left: int) -> None:
        self.left = left

    def open(self, path: Path, mode: str, buffering: int = -1) -> Any:
        if "r" in mode:
            return open(path, mode, buffering=buffering)
        raw = _File(path, mode, self)
        return raw if buffering == 0 else io.BufferedWriter(raw, max(buffering, io.DEFAULT_BUFFER_SIZE))


class _File(io.FileIO):
    def __init__(self, path: Path, mode: str, disk: Disk) -> None:
        super().__init__(path, mode)
        self._disk = disk

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        fits = min(len(view), self._disk.left)
        if view and not fits:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._disk.left -= fits
        return super().write(view[:fits])


@pytest.mark.parametrize("left", [0, 1, 700, *np.random.default_rng(20261124).integers(2_000, 1_300_000, 13).tolist()])
def test_a_disk_that_fills_up(left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, acknowledged, failures = Disk(left), list[int](), list[Exception]()
    for module in (session, tiers, blockwriter):
        monkeypatch.setattr(module, "open", disk.open, raising=False)

    def after(record: Record) -> None:
        if isinstance(record, Snapshot):
            acknowledged.append(record.step)

    bulk = tmp_path / "plugins" / "dgm"
    writer = RunWriter(bulk, session=made.SESSION, clock=lambda: made.BEGAN, after=after, on_failure=failures.append)
    for record in child.records(STEPS):
        writer.submit(lambda record=record: record, essential=True)  # type: ignore[misc]
    writer.close()
    assert [failure.errno for failure in failures if isinstance(failure, OSError)] == [errno.ENOSPC]
    assert writer.failure is failures[0]
    assert not writer.submit(lambda: made.plausible(9999), essential=True)
    run = Run(tmp_path, listed=True)
    assert set(acknowledged) <= TRUTH.never_wrong(run)
    TRUTH.rollups_never_wrong(run)
    disk.left = 10_000_000  # somebody made room
    made.write(tmp_path, child.records(range(5000, 5100)), session=made.LATER)
    assert set(acknowledged) | set(range(5000, 5100)) <= TRUTH.never_wrong(Run(tmp_path))


@pytest.mark.parametrize("longest", [100, 5_000, 40_000, 90_000])
def test_a_file_that_may_not_grow(longest: int, recorder: Recorder, tmp_path: Path) -> None:
    """The system's own limit (RLIMIT_FSIZE), by which the manifest, a journal or a rollup cannot be written on."""
    recording = recorder.start(child.Task(tmp_path, made.SESSION, STEPS, longest_file=longest))
    recording.finish()
    assert recording.process.exitcode == 0  # the training went on
    acknowledged = set(recording.acknowledged)
    assert len(acknowledged) < len(STEPS)
    run = Run(tmp_path, listed=True)
    assert acknowledged <= TRUTH.never_wrong(run)
    TRUTH.rollups_never_wrong(run)
    if acknowledged:
        assert "File too large" in str(run.end_reason)
