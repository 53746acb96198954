from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dgm_tb.errors import UsageError
from dgm_tb.records import CONTEXT, Layout, Row, Snapshot
from dgm_tb.store.budget import Budget, prune
from dgm_tb.store.parts import PART_SNAPSHOTS, ROLL, Part, parse
from dgm_tb.store.thinning import sessions
from dgm_tb.store.tiers import Tier
from dgm_tb.store.writer import RunWriter
from tests.store import made, oracles

LAYOUT = Layout((Row(made.A, 60, ("count", "mean")),))
_RNG = np.random.default_rng(0)
_VALUES = _RNG.normal(size=(97, int(LAYOUT.starts[-1]))).astype(np.float32)
_AGGREGATES = np.zeros((1, *LAYOUT.aggregate_shape), np.float32)


def snapshot(step: int) -> Snapshot:
    context = np.full(len(CONTEXT), np.nan)
    context[0] = made.BEGAN + step
    values = _VALUES[step % len(_VALUES)]
    values[:60] = 8
    return Snapshot(step, context, values, _AGGREGATES)


def size(bulk: Path) -> int:
    return sum(path.stat().st_size for path in bulk.rglob("*") if path.is_file())


#: What the fixture `bulk` closes after a test.
_OPEN: list[Tier] = []


class Recording:
    """A session written without the writer's thread, so that the disk can be looked at after each snapshot."""

    def __init__(self, bulk: Path, most: int | None, session: str = made.SESSION, rank: int = 0) -> None:
        self.bulk = bulk
        self.directory = made.write(bulk.parents[1], [made.manifest(LAYOUT)], session=session, rank=rank)
        self.budget = Budget(bulk, rank, most)
        self.tier = Tier(self.directory, 0, LAYOUT, self.budget)
        self.largest = 0
        _OPEN.append(self.tier)

    def record(self, first: int, count: int, *, look: int = 16) -> int:
        """How many of ``count`` snapshots from step ``first`` on found room."""
        written = 0
        for step in range(first, first + count):
            written += self.tier.append(snapshot(step))
            if step % look == 0:
                self.largest = max(self.largest, size(self.bulk))
        return written

    def parts(self, level: int) -> list[int]:
        found = (part for path in self.directory.iterdir() if (part := parse(path.name)) and part.level == level)
        return sorted(part.part for part in found)

    def notes(self, scratch: Path) -> list[tuple[int, int, int, int]]:
        """Level, first and last step and snapshots of what was thinned."""
        path = self.directory / "thinned"
        found = oracles.headers(path, scratch) if path.exists() else []
        keys = ("level", "first_step", "last_step", "snapshots")
        return [tuple(int(str(note[key])) for key in keys) for note in found]  # type: ignore[misc]


@pytest.fixture
def bulk(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "run" / "plugins" / "dgm"
    while _OPEN:
        _OPEN.pop().close()


def test_a_long_run_keeps_its_budget_and_is_kept_whole_coarsely(bulk: Path, tmp_path: Path) -> None:
    most, count = 700_000, 16_000
    recording = Recording(bulk, most)
    assert recording.record(0, count) == count
    assert recording.largest <= most
    assert size(bulk) > 0.85 * most
    assert recording.budget.stretch == 8
    whole = recording.parts(0)
    assert whole == list(range(whole[0], count // PART_SNAPSHOTS))  # the newest, without a gap
    assert len(whole) >= most // 4 // (recording.directory / Part(0, 0, whole[0]).block).stat().st_size
    assert recording.parts(1)[0] > 0
    assert recording.parts(2)[0] == 0
    notes = recording.notes(tmp_path)
    assert {level for level, *_ in notes} == {0, 1}
    for level in (0, 1):  # every step is in what is left or in a note, once
        ends = [(first, last) for known, first, last, _ in notes if known == level]
        covered = PART_SNAPSHOTS * ROLL**level
        assert [first for first, _ in ends] == [0, *(last + 1 for _, last in ends[:-1])]
        assert ends[-1][1] + 1 == recording.parts(level)[0] * covered
    assert sum(snapshots for level, _, _, snapshots in notes if level == 0) == whole[0] * PART_SNAPSHOTS


@pytest.mark.parametrize(("most", "least", "usual"), [(450_000, 0.55, 0.85), (1_000_000, 0.8, 0.92)])
def test_a_full_budget_stays_full(bulk: Path, most: int, least: float, usual: float) -> None:
    recording = Recording(bulk, most)
    recording.record(0, 3_000)
    held = []
    for step in range(3_000, 6_000, 10):
        recording.record(step, 10)
        held.append(size(bulk) / most)
    assert max(held) <= 1
    assert min(held) > least  # rolled-up parts of 100 kB go whole
    assert np.median(held) > usual


def test_for_what_is_gone_in_a_moment_little_is_given_up(bulk: Path) -> None:
    recording = Recording(bulk, 1_000_000)
    recording.record(0, 6_000)
    free = 1_000_000 - size(bulk)
    parts = recording.parts(0)
    assert not recording.budget.room(free + 110_000, passing=True)
    assert recording.parts(0) == parts
    assert recording.budget.room(free + 50_000, passing=True)
    assert recording.parts(0) != parts
    assert 50_000 <= 1_000_000 - size(bulk) - free < 100_000


def test_the_interval_doubles_as_the_budget_fills(bulk: Path) -> None:
    recording = Recording(bulk, 1_000_000)
    seen = []
    for step in range(0, 3000, 10):
        recording.record(step, 10)
        seen.append((recording.budget.stretch, size(bulk)))
    for stretch, taken in ((1, 0.0), (2, 0.5), (4, 0.75), (8, 0.875)):
        sizes = [bytes_taken for known, bytes_taken in seen if known == stretch]
        assert sizes
        assert min(sizes[1:]) >= (taken - 0.1) * 1_000_000  # blocks are smaller than the journals they come from


def test_without_a_budget_nothing_is_given_up(bulk: Path) -> None:
    recording = Recording(bulk, None)
    assert recording.record(0, 1000) == 1000
    assert recording.budget.stretch == 1
    assert len(recording.parts(0)) == 16
    assert not (recording.directory / "thinned").exists()


def test_what_is_protected_goes_last(bulk: Path, tmp_path: Path) -> None:
    recording = Recording(bulk, 300_000)
    recording.budget.protect(300, 310)
    recording.record(0, 6_000)
    kept = recording.parts(0)
    assert kept[0] == 300 // PART_SNAPSHOTS
    assert kept[1] > kept[0] + 10
    stretches = [(first, last) for level, first, last, _ in recording.notes(tmp_path) if level == 0]
    assert not any(first <= 310 and last >= 300 for first, last in stretches)
    recording.budget.protect(0, 1_000_000)
    recording.record(6_000, 2_000)  # now all of it is protected: the oldest goes
    assert recording.parts(0)[0] > kept[0]
    assert recording.largest <= 300_000


def test_earlier_sessions_count_and_go_first_and_other_ranks_do_not(bulk: Path) -> None:
    other = Recording(bulk, None, rank=1)
    other.record(0, 600)
    earlier = Recording(bulk, 400_000)
    earlier.record(0, 1_500)
    before = len(earlier.parts(0))
    later = Recording(bulk, 400_000, session=made.LATER)
    assert later.budget.stretch == earlier.budget.stretch > 1
    later.record(1_500, 3_000)
    assert size(earlier.directory) + size(later.directory) <= 400_000
    assert len(earlier.parts(0)) < before
    assert (earlier.directory / "thinned").exists()
    assert len(other.parts(0)) == 10


def test_where_nothing_can_go_snapshots_are_dropped_and_told(bulk: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer = RunWriter(bulk, session=made.SESSION, max_disk=20_000, capacity=999)
    with writer:
        writer.submit(lambda: made.manifest(LAYOUT))
        for step in range(40):
            writer.submit(lambda step=step: snapshot(step))  # type: ignore[misc]
    assert writer.failure is None
    assert 0 < writer.dropped < 40
    assert size(bulk) <= 20_000 * 1.05
    assert caplog.text.count("find no room in the disk budget") == 1
    journal = writer.directory / "journal-00000-00000"
    steps = [event.step for event in oracles.events(journal, bulk.parent)]
    assert steps == list(range(40 - writer.dropped))


def test_the_writer_tells_its_stretch_and_takes_protection_from_any_thread(bulk: Path) -> None:
    with RunWriter(bulk, session=made.SESSION, max_disk=400_000, capacity=9999) as writer:
        assert writer.stretch == 1
        helper = threading.Thread(target=writer.protect, args=(0, 5))
        helper.start()
        helper.join()
        writer.submit(lambda: made.manifest(LAYOUT))
        for step in range(4_000):
            writer.submit(lambda step=step: snapshot(step))  # type: ignore[misc]
    assert writer.failure is None
    assert writer.dropped == 0
    assert writer.stretch == 8
    assert (writer.directory / Part(0, 0, 0).block).exists()
    assert not (writer.directory / Part(0, 0, 1).block).exists()


@pytest.mark.parametrize("most", [0, -5])
def test_a_budget_of_nothing_is_refused(bulk: Path, most: int) -> None:
    with pytest.raises(UsageError, match=f"max_disk={most} leaves no room"):
        RunWriter(bulk, session=made.SESSION, max_disk=most)
    assert not bulk.exists()


def test_pruning_keeps_what_is_new(bulk: Path, tmp_path: Path) -> None:
    recordings = [Recording(bulk, None, rank=rank) for rank in (0, 1)]
    for recording in recordings:
        recording.record(0, 2_000)
    before = size(bulk)
    pruned = prune(bulk, before // 2)
    assert pruned.before == before
    assert pruned.after == size(bulk) <= before // 2
    first, second = (recording.parts(0) for recording in recordings)
    assert abs(len(first) - len(second)) <= 1  # what one rank has alone is of no use
    assert first[-1] == 2_000 // PART_SNAPSHOTS
    for recording, notes in zip(recordings, ([], []), strict=True):
        notes += recording.notes(tmp_path)
        assert notes == [(0, 0, recording.parts(0)[0] * 64 - 1, recording.parts(0)[0] * 64)]
    assert {note.reason for note in pruned.thinned} == {f"pruned to {before // 2:,} bytes"}
    assert prune(bulk, before).thinned == ()


def test_pruning_to_nothing_leaves_the_coarsest_and_the_unfinished(bulk: Path) -> None:
    recording = Recording(bulk, None)
    recording.record(0, 1_100)
    pruned = prune(bulk, 0)
    assert pruned.after > 0
    names = {path.name for path in recording.directory.iterdir()}
    unfinished = {Part(0, 0, 17).journal, Part(1, 0, 1).journal, Part(2, 0, 0).journal}
    assert names == {"segment-00000", "end", "thinned", *unfinished}


def test_a_part_that_nothing_covers_or_that_is_damaged_stays(bulk: Path) -> None:
    recording = Recording(bulk, None)
    recording.record(0, 250)
    damaged, whole, uncovered = (recording.directory / Part(0, 0, part).block for part in range(3))
    data = bytearray(damaged.read_bytes())
    data[-20] ^= 1
    damaged.write_bytes(data)
    rollup = recording.directory / Part(1, 0, 0).journal
    rollup.write_bytes(rollup.read_bytes()[: rollup.stat().st_size * 11 // 15])  # as if killed: 11 of 15 points
    prune(bulk, 0)
    assert damaged.exists()
    assert not whole.exists()
    assert uncovered.exists()


def test_pruning_removes_what_a_crash_left_unfinished_and_only_that(bulk: Path) -> None:
    recording = Recording(bulk, None)
    recording.record(0, 100)
    names = ".block-00000-00001", ".rollblock-1-00000-00000", ".other"
    left, growing, foreign = (recording.directory / name for name in names)
    for path in (left, growing, foreign):
        path.write_bytes(b"half")
    for path in (left, foreign):
        os.utime(path, (1e9, 1e9))
    pruned = prune(bulk, 1_000_000_000, clock=lambda: growing.stat().st_mtime + 600)
    assert pruned.before - pruned.after == 4
    assert not left.exists()
    assert growing.exists()
    assert foreign.exists()
    assert recording.parts(0) == [0, 1]


def test_a_link_is_no_session(bulk: Path, tmp_path: Path) -> None:
    recording = Recording(tmp_path / "elsewhere" / "plugins" / "dgm", None)
    recording.record(0, 200)
    bulk.mkdir(parents=True)
    (bulk / f"{made.SESSION}-rank0").symlink_to(recording.directory)
    assert sessions(bulk) == []
    assert prune(bulk, 0).before == 0
