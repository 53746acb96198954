from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import numpy as np
import pytest

from dgm_tb.errors import FormatError, UsageError
from dgm_tb.records import Graph, Layout, Manifest, Record, SessionEnd, Snapshot, StepTable
from dgm_tb.store.parts import PART_SNAPSHOTS
from dgm_tb.store.run import Run
from dgm_tb.store.writer import RunWriter, new_session
from tests.store import made, oracles

DEADLINE = 20.0


class Gate:
    """A record that the writer's thread waits for."""

    def __init__(self, record: Record) -> None:
        self.entered, self.open, self._record = threading.Event(), threading.Event(), record

    def __call__(self) -> Record:
        self.entered.set()
        assert self.open.wait(DEADLINE)
        return self._record


def writer_in(tmp_path: Path, **options: object) -> RunWriter:
    return RunWriter(tmp_path / "plugins" / "dgm", session=made.SESSION, **options)  # type: ignore[arg-type]


def test_a_session_is_named_by_time_and_chance() -> None:
    drawn = uuid.UUID("1a2b3c4d-0000-4000-8000-000000000000")
    assert new_session(lambda: made.BEGAN, draw=lambda: drawn) == "20261124T061530Z-1a2b3c4d"
    assert new_session() != new_session()


def test_the_files_are_those_of_the_format(tmp_path: Path) -> None:
    other = Layout(made.LAYOUT.rows[:1])
    directory = made.write(
        tmp_path,
        [
            made.manifest(), made.GRAPH, *(made.snapshot(step) for step in range(PART_SNAPSHOTS + 1)),
            made.table([0, 1]), made.manifest(other), made.snapshot(65, other), made.table([2]),
        ],
    )  # fmt: skip
    assert directory.name == f"{made.SESSION}-rank0"
    parts = ["block-00000-00000", "end", "journal-00000-00001", "journal-00001-00000", "rollup-1-00000-00000"]
    expected = [*parts, "segment-00000", "segment-00001", "steps"]
    assert sorted(path.name for path in directory.iterdir()) == expected


def test_tensorboards_loader_reads_every_record(tmp_path: Path) -> None:
    snapshots = [made.snapshot(step) for step in (0, 5, 10)]
    directory = made.write(tmp_path, [made.manifest(), made.GRAPH, *snapshots, made.table([0, 1, 2])])
    events = oracles.events(directory / "journal-00000-00000", tmp_path)
    assert [event.step for event in events] == [0, 5, 10]
    for event, snapshot in zip(events, snapshots, strict=True):
        assert (oracles.row(event, made.A) == made.LAYOUT.row_of(snapshot.values, 0)).all()
        assert (oracles.row(event, made.B) == made.LAYOUT.row_of(snapshot.values, 1)).all()
    assert len(oracles.events(directory / "segment-00000", tmp_path)) == 2
    assert len(oracles.events(directory / "end", tmp_path)) == 1
    (table,) = oracles.events(directory / "steps", tmp_path)
    assert oracles.rows(table)["dgm/steps"].tolist() == made.table([0, 1, 2]).values.tolist()


def test_records_are_made_on_the_writers_thread_in_order_and_seen_afterwards(tmp_path: Path) -> None:
    records: list[Record] = [made.manifest(), made.GRAPH, made.snapshot(0), made.table([0])]
    made_on: list[threading.Thread] = []
    seen: list[Record] = []

    def produce(record: Record) -> Record:
        made_on.append(threading.current_thread())
        return record

    with writer_in(tmp_path, after=seen.append) as writer:
        for record in records:
            writer.submit(lambda record=record: produce(record))  # type: ignore[misc]
    assert seen[:-1] == records
    assert isinstance(seen[-1], SessionEnd)
    assert len(set(made_on)) == 1
    assert threading.current_thread() not in made_on


def test_a_full_queue_drops_and_counts_but_keeps_what_is_essential(tmp_path: Path) -> None:
    gate = Gate(made.manifest())
    seen: list[Record] = []
    with writer_in(tmp_path, capacity=2, after=seen.append) as writer:
        assert writer.submit(gate)
        assert gate.entered.wait(DEADLINE)
        answers = [writer.submit(lambda step=step: made.snapshot(step)) for step in range(4)]  # type: ignore[misc]
        assert answers == [True, True, False, False]
        assert writer.dropped == 2
        assert writer.submit(lambda: made.GRAPH, essential=True)
        gate.open.set()
    kinds = [type(record) for record in seen]
    assert kinds == [Manifest, Snapshot, Snapshot, Graph, SessionEnd]


def test_submit_never_waits_for_the_writer(tmp_path: Path) -> None:
    gate = Gate(made.manifest())
    with writer_in(tmp_path, capacity=8) as writer:
        writer.submit(gate)
        assert gate.entered.wait(DEADLINE)
        begun = time.perf_counter()
        for _ in range(10_000):
            writer.submit(lambda: made.GRAPH)
        assert time.perf_counter() - begun < DEADLINE / 2  # a wait would be for the gate, which opens only now
        gate.open.set()


def test_what_fails_to_be_made_stops_the_writer_and_is_told_once(tmp_path: Path) -> None:
    told: list[Exception] = []
    failed = threading.Event()

    def on_failure(error: Exception) -> None:
        told.append(error)
        failed.set()

    writer = writer_in(tmp_path, on_failure=on_failure)
    writer.submit(made.manifest)
    writer.submit(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    writer.submit(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    assert failed.wait(DEADLINE)
    assert not writer.submit(made.manifest)
    writer.close()
    assert len(told) == 1
    assert isinstance(writer.failure, ZeroDivisionError)
    (end,) = oracles.events(writer.directory / "end", tmp_path)
    assert b"ZeroDivisionError: division by zero" in end.summary.value[0].metadata.plugin_data.content


def test_a_failure_of_any_wording_is_told_in_the_run(tmp_path: Path) -> None:
    def fail() -> Record:
        raise OSError("no such file \udcff" + "x" * 10_000)

    with writer_in(tmp_path) as writer:
        writer.submit(made.manifest)
        writer.submit(fail)
    reason = Run(tmp_path).end_reason
    assert reason is not None
    assert reason.startswith("OSError: no such file ?xxx")
    assert len(reason) == 500


@pytest.mark.parametrize("early", [made.snapshot(0), made.GRAPH])
def test_what_needs_a_manifest_is_refused_before_it(tmp_path: Path, early: Record) -> None:
    writer = writer_in(tmp_path)
    writer.submit(lambda: early)
    writer.close()
    assert isinstance(writer.failure, FormatError)
    assert "before any manifest" in str(writer.failure)


def test_summaries_that_fail_do_not_stop_the_recording(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[Record] = []

    def after(record: Record) -> None:
        calls.append(record)
        raise OSError("the logger's disk is full")

    with writer_in(tmp_path, after=after) as writer:
        writer.submit(made.manifest)
        writer.submit(lambda: made.snapshot(0))
    assert writer.failure is None
    assert (writer.directory / "journal-00000-00000").stat().st_size > 0
    assert len(calls) == 1
    assert "writing one failed" in caplog.text


def test_a_vanished_directory_stops_the_writer(tmp_path: Path) -> None:
    gate = Gate(made.snapshot(1))
    failed = threading.Event()
    writer = writer_in(tmp_path, on_failure=lambda error: failed.set())
    writer.submit(made.manifest)
    writer.submit(lambda: made.snapshot(0))
    writer.submit(gate)
    assert gate.entered.wait(DEADLINE)
    for path in writer.directory.iterdir():
        path.unlink()
    writer.directory.rmdir()
    gate.open.set()
    assert failed.wait(DEADLINE)  # at the next record, not only when a file is opened
    writer.close()
    assert isinstance(writer.failure, FileNotFoundError)
    assert not writer.directory.exists()


def test_a_full_disk_stops_the_writer_and_leaves_what_was_written(tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from dgm_tb.store.run import Run
from dgm_tb.store.writer import RunWriter
from tests.store import made
form = 1800  # between two and three snapshots
resource.setrlimit(resource.RLIMIT_FSIZE, (form, form))
told = []
with RunWriter(Path(sys.argv[1]) / "plugins" / "dgm", session=made.SESSION, on_failure=told.append) as writer:
    writer.submit(made.manifest)
    for step in range(9):
        writer.submit(lambda step=step: made.snapshot(step))
assert len(told) == 1 and isinstance(writer.failure, OSError), writer.failure
assert not writer.submit(made.manifest)
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=60)
    (directory,) = (tmp_path / "plugins" / "dgm").iterdir()
    events = oracles.events(directory / "journal-00000-00000", tmp_path)
    assert [event.step for event in events] == [0, 1]
    assert (directory / "journal-00000-00000").stat().st_size == 1800  # a torn third


def test_a_directory_that_cannot_be_made_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "plugins").write_text("a file in the way")
    with pytest.raises(OSError, match="plugins"):
        writer_in(tmp_path)


def test_a_session_is_never_continued(tmp_path: Path) -> None:
    made.write(tmp_path, [made.manifest()])
    with pytest.raises(FileExistsError):
        writer_in(tmp_path)


def test_a_session_that_no_reader_would_recognise_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"session='mine' .* take new_session"):
        RunWriter(tmp_path, session="mine")


def test_closing_drains_and_is_final(tmp_path: Path) -> None:
    writer = writer_in(tmp_path)
    writer.submit(made.manifest)
    for step in range(50):
        writer.submit(lambda step=step: made.snapshot(step))  # type: ignore[misc]
    writer.close("exception")
    writer.close("finished")
    assert not writer.submit(made.manifest)
    assert len(oracles.events(writer.directory / "journal-00000-00000", tmp_path)) == 50
    (end,) = oracles.events(writer.directory / "end", tmp_path)
    assert b'"reason":"exception"' in end.summary.value[0].metadata.plugin_data.content


def test_closing_gives_up_on_a_disk_that_hangs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate(made.manifest())
    writer = writer_in(tmp_path)
    writer.submit(gate)
    assert gate.entered.wait(DEADLINE)
    writer.close(timeout=0.01)
    assert "still being written" in caplog.text
    gate.open.set()
    writer.close()
    assert (writer.directory / "end").exists()


def test_closing_from_the_failure_itself_is_no_deadlock(tmp_path: Path) -> None:
    closed = threading.Event()

    def on_failure(error: Exception) -> None:
        writer.close()
        closed.set()

    writer = writer_in(tmp_path, on_failure=on_failure)
    writer.submit(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    assert closed.wait(DEADLINE)


def test_a_session_that_raises_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeyError), writer_in(tmp_path) as writer:
        raise KeyError
    (end,) = oracles.events(writer.directory / "end", tmp_path)
    assert b'"reason":"exception"' in end.summary.value[0].metadata.plugin_data.content


def test_an_empty_table_is_written(tmp_path: Path) -> None:
    empty = StepTable(("step", "wall_time"), np.empty((0, 2)))
    directory = made.write(tmp_path, [made.manifest(), empty])
    assert len(oracles.events(directory / "steps", tmp_path)) == 1
