from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dgm_tb.errors import FormatError, UnknownNameError
from dgm_tb.moments import aggregate, merge
from dgm_tb.records import Layout, Record, Row, RowKey, Snapshot
from dgm_tb.store import framing
from dgm_tb.store.journals import open_file
from dgm_tb.store.parts import PART_SNAPSHOTS
from dgm_tb.store.run import Run
from dgm_tb.store.snapshots import snapshot_format
from dgm_tb.store.writer import RunWriter
from tests import synthetic
from tests.store import made, oracles

DEADLINE = 30.0
FAR = made.BEGAN + 1e6  # long after everything was written


def at_rest(path: Path) -> Run:
    return Run(path, listed=True, clock=lambda: FAR)


def expected(snapshots: list[Snapshot], key: RowKey, layout: Layout = made.LAYOUT) -> NDArray[np.float32]:
    return np.stack([layout.row_of(snapshot.values, layout.index[key]) for snapshot in snapshots], axis=1)


def small_run(path: Path, steps: range = range(3)) -> tuple[Path, list[Snapshot]]:
    snapshots = [made.snapshot(step) for step in steps]
    records: list[Record] = [made.manifest(), made.GRAPH, made.table([0]), *snapshots, made.table([1, 2])]
    return made.write(path, records), snapshots


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_numbers_of_any_layout_come_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    layout = data.draw(made.layouts)
    snapshots = sorted(
        data.draw(st.lists(made.snapshots(layout), max_size=4, unique_by=lambda s: s.step)), key=lambda s: s.step
    )
    path = tmp_path_factory.mktemp("run")
    made.write(path, [made.manifest(layout), *snapshots])
    run = at_rest(path)
    assert run.problems == ()
    assert run.steps.tolist() == [snapshot.step for snapshot in snapshots]
    assert run.keys == {row.key: row.units for row in layout.rows}
    assert run.context.tobytes() == b"".join(snapshot.context.tobytes() for snapshot in snapshots)
    for index, row in enumerate(layout.rows):
        for position, snapshot in enumerate(snapshots):
            read = run.read(row.key, slice(position, position + 1))[:, 0]
            assert (made.bits(read) == made.bits(layout.row_of(snapshot.values, index))).all()
            aggregates = run.aggregates([row.key], np.array([position]))[0, 0]
            assert (made.bits(aggregates) == made.bits(snapshot.aggregates[index])).all()
    shutil.rmtree(path)


def test_what_a_run_holds(tmp_path: Path) -> None:
    directory, snapshots = small_run(tmp_path)
    run = Run(tmp_path, "version_0")
    assert (run.name, run.directory) == ("version_0", directory.parent)
    assert run.nodes == made.NODES
    assert run.graph == made.GRAPH
    assert run.graph_id is not None
    assert run.started == made.BEGAN
    assert run.last_wall_time == made.BEGAN + 2
    assert run.end_reason == "finished"
    assert run.generation == 1
    assert run.losses.steps.tolist() == [0, 1, 2]
    assert run.losses.values.tolist() == [[1.0, 2.0, 3.0]]
    assert (run.read(made.A, slice(None)) == expected(snapshots, made.A)).all()
    assert (
        run.read(made.A, np.array([2, 0]), units=np.array([1])) == expected(snapshots, made.A)[:, [2, 0]][:, :, [1]]
    ).all()
    assert run.aggregates([made.B, made.A], slice(1, 3)).shape == (2, 2, 6, 4)
    assert (run.aggregates([made.B], slice(1, 2))[0, 0] == snapshots[1].aggregates[1]).all()
    assert Run(directory.parent).steps.tolist() == [0, 1, 2]


def test_what_is_not_there_is_an_error_that_says_so(tmp_path: Path) -> None:
    small_run(tmp_path)
    run = Run(tmp_path)
    with pytest.raises(UnknownNameError, match=r"no update of 'net\.a'"):
        run.read(RowKey("net.a", "backward#0", "update"), slice(None))
    with pytest.raises(UnknownNameError, match=r"units 1 to 3 .* has 0 to 2"):
        run.read(made.A, slice(None), units=np.array([3, 1]))


def test_many_journals_and_segments_are_one_run(tmp_path: Path) -> None:
    other = Layout((Row(made.B, 2), Row(RowKey("net.c", "backward#0", "activation"), 1)))
    first = [made.snapshot(step) for step in range(2 * PART_SNAPSHOTS + 1)]
    second = [made.snapshot(step, other) for step in range(500, 503)]
    made.write(tmp_path, [made.manifest(), *first, made.manifest(other), *second])
    run = at_rest(tmp_path)
    assert run.steps.tolist() == [*range(2 * PART_SNAPSHOTS + 1), 500, 501, 502]
    read = run.read(made.B, slice(None))
    assert (read[:, : len(first)] == expected(first, made.B)).all()
    assert (read[:, len(first) :] == expected(second, made.B, other)).all()
    assert (run.read(made.A, slice(-3, None))[0] == 0).all()  # count 0: absent
    assert np.isnan(run.aggregates([made.A], slice(-3, None))).all()
    assert set(run.keys) == {made.A, made.B, other.rows[1].key}


def test_cut_anywhere_it_gives_the_whole_frames_and_goes_on_when_the_rest_arrives(tmp_path: Path) -> None:
    directory, snapshots = small_run(tmp_path)
    whole = {path: path.read_bytes() for path in directory.iterdir()}
    steps_after = {"steps": [[], [0], [0, 1, 2]]}
    for path, data in whole.items():
        path.write_bytes(b"")
        growing = at_rest(tmp_path)
        for cut in range(len(data) + 1):
            path.write_bytes(data[:cut])
            growing.refresh()
            run = growing if cut % 7 else at_rest(tmp_path)
            frames = len(oracles.whole_frames(data[:cut]))
            assert not any("damaged" in problem for problem in run.problems), (path.name, cut, run.problems)
            readable = frames if path.name.startswith("journal") else 3
            if path.name.startswith("segment"):
                readable = 3 if frames else 0
                assert (run.graph is not None) == (frames == 2)
            assert run.steps.tolist() == [0, 1, 2][:readable]
            assert run.losses.steps.tolist() == steps_after.get(path.name, [[0, 1, 2]] * 3)[min(frames, 2)]
            assert (run.end_reason is not None) == (path.name != "end" or frames == 1)
            if readable and cut % 7 == 0:
                assert (run.read(made.B, slice(None)) == expected(snapshots[:readable], made.B)).all()
        assert growing.refresh() is False
        assert growing.steps.tolist() == [0, 1, 2]
        assert growing.problems == ()


def test_a_flipped_bit_never_gives_a_wrong_number_and_what_is_lost_is_told(tmp_path: Path) -> None:
    directory, snapshots = small_run(tmp_path)
    rng = np.random.default_rng(1)
    for path in directory.iterdir():
        data = path.read_bytes()
        for at in range(int(rng.integers(4)), len(data), 4):
            flipped = bytearray(data)
            flipped[at] ^= 1 << int(rng.integers(8))
            path.write_bytes(flipped)
            lost = _lost(at_rest(tmp_path), snapshots)
            assert lost is None or lost, (path.name, at)
        path.write_bytes(data)


def _lost(run: Run, snapshots: list[Snapshot]) -> tuple[str, ...] | None:
    """The problems where anything is missing, None where all is there; fails on a number that was not written."""
    whole = run.steps.tolist() == [0, 1, 2] and run.losses.steps.tolist() == [0, 1, 2] and run.end_reason is not None
    assert run.losses.values.tolist() in ([[1.0, 2.0, 3.0]], [[1.0]], [[2.0, 3.0]], [])
    for key in set(run.keys):
        read, aggregates = run.read(key, slice(None)), run.aggregates([key], slice(None))[0]
        for position, step in enumerate(run.steps.tolist()):
            row = made.LAYOUT.index[key]
            right = (read[:, position] == made.LAYOUT.row_of(snapshots[step].values, row)).all()
            assert right or (read[0, position] == 0).all()
            told = (aggregates[position] == snapshots[step].aggregates[row]).all()
            assert told or np.isnan(aggregates[position]).all()
            assert (run.context[position] == snapshots[step].context).all()
            whole = whole and bool(right) and bool(told)
    return None if whole and len(run.keys) == 2 and run.graph is not None else run.problems


def test_a_damaged_snapshot_is_skipped_and_a_damaged_row_read_as_absent(tmp_path: Path) -> None:
    directory, snapshots = small_run(tmp_path)
    form = snapshot_format(made.LAYOUT)
    journal = directory / "journal-00000-00000"
    data = bytearray(journal.read_bytes())
    data[form.length + form.context_at] ^= 1
    data[2 * form.length + int(form.rows_at[1])] ^= 1
    journal.write_bytes(data)
    run = Run(tmp_path)
    assert run.steps.tolist() == [0, 2]
    assert list(run.problems) == [f"{directory.name}: damaged snapshots, skipped: 1"]
    assert (run.read(made.A, slice(None)) == expected([snapshots[0], snapshots[2]], made.A)).all()
    read = run.read(made.B, slice(None))
    assert (read[:, 0] == expected(snapshots[:1], made.B)[:, 0]).all()
    assert np.isnan(read[1, 1]).all()
    assert list(run.problems)[1:] == ["damaged rows, shown as not recorded: 1"]
    data[2 * form.length + int(form.rows_at[1])] ^= 1  # the bytes had only come late
    journal.write_bytes(data)
    assert (run.read(made.B, slice(None)) == expected([snapshots[0], snapshots[2]], made.B)).all()
    assert len(run.problems) == 1


def test_a_resumed_session_replaces_what_was_abandoned(tmp_path: Path) -> None:
    first = [made.snapshot(step) for step in range(0, 100, 10)]
    made.write(tmp_path, [made.manifest(), made.table(range(100)), *first], reason=None)
    run = Run(tmp_path)
    assert (run.generation, run.end_reason) == (1, None)
    with RunWriter(run.directory, session=made.LATER) as writer:
        writer.submit(lambda: made.manifest(created=made.BEGAN + 60))
        wait_until(lambda: (writer.directory / "segment-00000").exists())
        run.refresh()
        assert (run.generation, len(run.steps)) == (1, 10)  # nothing is replaced yet
        second = [made.snapshot(step, seed=1) for step in (60, 70)]
        writer.submit(lambda: made.table(range(51, 71), loss=5.0))
        for snapshot in second:
            writer.submit(lambda snapshot=snapshot: snapshot)  # type: ignore[misc]
    assert run.refresh()
    assert run.generation == 2
    assert run.steps.tolist() == [0, 10, 20, 30, 40, 50, 60, 70]
    assert (run.read(made.A, slice(None)) == expected([*first[:6], *second], made.A)).all()
    assert run.losses.steps.tolist() == [*range(71)]
    assert run.losses.values[0].tolist() == [
        *(1.0 + step for step in range(51)),
        *(5.0 + step for step in range(51, 71)),
    ]
    assert run.end_reason == "finished"
    assert Run(tmp_path).generation == 2  # the same for a server that was started anew


def test_abandoned_losses_alone_are_a_new_generation_too(tmp_path: Path) -> None:
    made.write(tmp_path, [made.manifest(), made.snapshot(0), made.table(range(10))], reason=None)
    run = Run(tmp_path)
    resumed: list[Record] = [made.manifest(created=made.BEGAN + 60), made.table([8], loss=5.0), made.snapshot(20)]
    made.write(tmp_path, resumed, session=made.LATER)
    assert run.refresh()
    assert run.losses.steps.tolist() == [*range(9)]
    assert run.losses.values[0, -1] == 13.0
    assert run.generation == 2


def test_a_session_that_only_goes_on_is_the_same_generation(tmp_path: Path) -> None:
    made.write(tmp_path, [made.manifest(), made.snapshot(0), made.table(range(10))])
    run = Run(tmp_path)
    made.write(
        tmp_path, [made.manifest(created=made.BEGAN + 60), made.table([10]), made.snapshot(10)], session=made.LATER
    )
    assert run.refresh()
    assert (run.steps.tolist(), run.generation) == ([0, 10], 1)


def test_a_training_that_steps_back_within_a_session_replaces_too(tmp_path: Path) -> None:
    written = [made.snapshot(step) for step in (0, 10, 20, 30)] + [made.snapshot(step, seed=1) for step in (20, 40)]
    made.write(tmp_path, [made.manifest(), *written])
    run = Run(tmp_path)
    assert run.steps.tolist() == [0, 10, 20, 40]
    assert (run.read(made.A, slice(None)) == expected([*written[:2], *written[4:]], made.A)).all()


def test_ranks_are_merged_step_by_step(tmp_path: Path) -> None:
    parts = [[made.plausible(step, seed=rank) for step in (0, 10)] for rank in (0, 1)]
    for rank, part in enumerate(parts):
        made.write(tmp_path, [made.manifest(), *part, made.table([rank])], rank=rank)
    run = Run(tmp_path)
    assert run.steps.tolist() == [0, 10]
    assert run.losses.steps.tolist() == [0]  # rank 0's
    merged = run.read(made.A, slice(None))
    for position in range(2):
        first, second = (made.LAYOUT.row_of(part[position].values, 0) for part in parts)
        np.testing.assert_array_equal(merged[:, position], merge(first, second))
        np.testing.assert_allclose(
            run.aggregates([made.A], slice(None))[0, position],
            aggregate(merged[:, position], merged[:, position - 1] if position else None),
            rtol=1e-6,
        )
    np.testing.assert_array_equal(run.read(made.A, slice(None), units=np.array([2, 0])), merged[:, :, [2, 0]])


def test_a_step_waits_for_the_other_rank_but_not_for_a_dead_one(tmp_path: Path) -> None:
    made.write(tmp_path, [made.manifest(), *(made.plausible(step) for step in (0, 10))], rank=0, reason=None)
    made.write(tmp_path, [made.manifest(), made.plausible(0, seed=1)], rank=1, reason=None)
    now = made.BEGAN + 20
    run = Run(tmp_path, clock=lambda: now)
    assert run.steps.tolist() == [0]
    now = made.BEGAN + 31  # rank 1 was last heard of at BEGAN
    assert run.refresh()
    assert run.steps.tolist() == [0, 10]
    assert run.generation == 1
    np.testing.assert_array_equal(run.read(made.A, slice(1, 2))[:, 0], made.LAYOUT.row_of(made.plausible(10).values, 0))


def test_a_node_that_changed_its_size_is_shown_from_then_on(tmp_path: Path) -> None:
    grown = Layout((Row(made.A, 5),))
    made.write(tmp_path, [made.manifest(), made.snapshot(0), made.manifest(grown), made.snapshot(1, grown)])
    run = Run(tmp_path)
    assert run.keys[made.A] == 5
    assert (run.read(made.A, slice(None))[0, 0] == 0).all()
    assert (run.read(made.A, slice(1, 2)) == expected([made.snapshot(1, grown)], made.A, grown)).all()
    assert run.problems == ("net.a had another number of units earlier: that is shown as not recorded",)


def wait_until(condition: object) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_reader_follows_a_writer_and_never_sees_half_a_snapshot(tmp_path: Path) -> None:
    total, layout = 300, Layout((Row(made.A, 300), Row(made.B, 500)))
    snapshots = [made.snapshot(step, layout) for step in range(total)]
    with RunWriter(tmp_path / "plugins" / "dgm", session=made.SESSION, capacity=total) as writer:
        writer.submit(lambda: made.manifest(layout))
        run = Run(tmp_path, listed=True)

        def feed() -> None:
            for snapshot in snapshots:
                writer.submit(lambda snapshot=snapshot: snapshot)  # type: ignore[misc]
                time.sleep(0.001)

        feeding = threading.Thread(target=feed)
        feeding.start()
        sights, deadline = set(), time.monotonic() + DEADLINE
        while len(run.steps) < total:
            assert time.monotonic() < deadline
            run.refresh()
            seen = len(run.steps)
            sights.add(seen)
            assert run.steps.tolist() == [*range(seen)]
            if seen:
                assert (
                    run.read(made.B, slice(seen - 1, seen)) == expected([snapshots[seen - 1]], made.B, layout)
                ).all()
        feeding.join()
    assert writer.dropped == 0
    assert len(sights) > 5
    assert run.problems == ()
    assert run.generation == 1


def test_a_pinned_run_stays_while_others_refresh_it(tmp_path: Path) -> None:
    made.write(tmp_path, [made.manifest(), *(made.snapshot(step) for step in (0, 10, 20))], reason=None)
    run = Run(tmp_path)
    pinned = run.pinned()
    made.write(tmp_path, [made.manifest(created=FAR), made.snapshot(10, seed=1)], session=made.LATER)
    assert run.refresh()
    assert not pinned.refresh()
    assert pinned.steps.tolist() == [0, 10, 20]
    assert (pinned.read(made.A, slice(1, 2)) == expected([made.snapshot(10)], made.A)).all()
    assert (run.read(made.A, slice(1, 2)) == expected([made.snapshot(10, seed=1)], made.A)).all()


def test_threads_read_while_it_grows(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "plugins" / "dgm", session=made.SESSION, capacity=500) as writer:
        writer.submit(made.manifest)
        writer.submit(lambda: made.snapshot(0))
        wait_until(lambda: (writer.directory / "journal-00000-00000").exists())
        run = Run(tmp_path, listed=True)
        errors: list[BaseException] = []
        stop = threading.Event()

        def ask() -> None:
            try:
                while not stop.is_set():
                    run.refresh()
                    now = run.pinned()
                    read = now.read(made.A, slice(None))
                    assert read.shape[1] == len(now.steps)
                    step = int(now.steps[-1])
                    assert (read[:, -1] == made.LAYOUT.row_of(made.snapshot(step).values, 0)).all()
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for step in range(1, 200):
            writer.submit(lambda step=step: made.snapshot(step))  # type: ignore[misc]
            time.sleep(0.001)
        stop.set()
        for thread in threads:
            thread.join()
    assert errors == []


def test_a_pinned_run_reads_on_while_the_writer_turns_journals_into_blocks(tmp_path: Path) -> None:
    total, layout = 20 * PART_SNAPSHOTS, Layout((Row(made.A, 30), Row(made.B, 50)))
    snapshots = [made.snapshot(step, layout) for step in range(total)]
    whole = expected(snapshots, made.B, layout)
    failures: list[BaseException] = []
    stop = threading.Event()
    with RunWriter(tmp_path / "plugins" / "dgm", session=made.SESSION, capacity=total) as writer:
        writer.submit(lambda: made.manifest(layout), essential=True)
        run = Run(tmp_path, listed=True)

        def read() -> None:
            try:
                pinned = run.pinned()
                while not stop.is_set():
                    run.refresh()
                    # An old one is kept for a while: its journals become blocks one after the other.
                    pinned = run.pinned() if len(run.steps) > len(pinned.steps) + 3 * PART_SNAPSHOTS else pinned
                    for now in (pinned, run.pinned()):
                        seen = len(now.steps)
                        assert now.steps.tolist() == [*range(seen)]
                        assert (now.generation, now.problems) == (1, ())
                        assert seen == 0 or (now.read(made.B, slice(None)) == whole[:, :seen]).all()
                        points = now.points(0, total, 200)
                        assert points.snapshots.sum() >= seen  # a point may be there before we looked at its snapshots
            except BaseException as failure:
                failures.append(failure)

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        for snapshot in snapshots:
            writer.submit(lambda snapshot=snapshot: snapshot, essential=True)  # type: ignore[misc]
        wait_until(lambda: len(run.steps) == total or failures)
    stop.set()
    for reader in readers:
        reader.join()
    assert failures == []
    names = [path.name for path in writer.directory.iterdir()]
    assert sum(name.startswith("block") for name in names) >= 19
    assert any(name.startswith("rollup-1") for name in names)


def test_no_file_stays_open(tmp_path: Path) -> None:
    made.write(tmp_path, [made.manifest(), *(made.snapshot(step) for step in range(200))])
    open_before = len(os.listdir("/proc/self/fd"))
    run = Run(tmp_path)
    for _ in range(5):
        run.read(made.A, slice(None))
        run.refresh()
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_a_killed_writer_leaves_every_snapshot_that_was_written(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from dgm_tb.store.writer import RunWriter
from tests import synthetic
from tests.store import made
shape = synthetic.Shape(width=64, snapshots=1000)
bulk = Path(sys.argv[1]) / "plugins" / "dgm"
with RunWriter(bulk, session=made.SESSION, after=lambda record: print(flush=True)) as writer:
    dynamics = synthetic.begin(writer, shape)
    for index in range(1000):
        synthetic.append(writer, dynamics, index)
"""
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(60):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        acknowledged = 60 + process.stdout.read().count(b"\n")
    run = Run(tmp_path)
    assert run.end_reason is None
    assert run.problems == ()
    snapshots = (acknowledged - 2) // 2  # a manifest, a graph; then a table and a snapshot in turn
    assert len(run.steps) in (snapshots, snapshots + 1)  # one may have been written and not yet acknowledged
    dynamics = synthetic.Dynamics(synthetic.Shape(width=64, snapshots=1000))
    key = RowKey(synthetic.SPIKE_NODE, "backward#0", "activation")
    for position, step in enumerate(run.steps):
        dynamics.table(position)
        snapshot = dynamics.snapshot(position)
        assert step == snapshot.step
        row = dynamics.layout.row_of(snapshot.values, dynamics.layout.index[key])
        assert (run.read(key, slice(position, position + 1))[:, 0] == row).all()


def test_a_run_that_was_deleted_and_made_anew(tmp_path: Path) -> None:
    directory, _ = small_run(tmp_path)
    run = Run(tmp_path)
    shutil.rmtree(directory.parent)
    assert run.refresh()
    assert run.steps.tolist() == []
    assert run.generation == 2
    assert "cannot be listed" in run.problems[0]
    assert run.refresh() is False
    small_run(tmp_path, range(5, 8))
    assert run.refresh()
    assert run.steps.tolist() == [5, 6, 7]
    assert run.problems == ()
    shutil.rmtree(directory)  # and at once another of the same name
    made.write(tmp_path, [made.manifest(), made.snapshot(5, seed=9)])
    generation = run.generation
    assert run.refresh()
    assert run.generation > generation
    assert (run.read(made.A, slice(None)) == expected([made.snapshot(5, seed=9)], made.A)).all()


def test_opening_what_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"there is no .*/nowhere; give a run directory"):
        Run(tmp_path / "nowhere")
    with pytest.raises(UnknownNameError, match=r"no plugins/dgm, so DynamicsMonitor\(\) recorded nothing"):
        Run(tmp_path)
    (tmp_path / "plugins" / "dgm").mkdir(parents=True)
    with pytest.raises(UnknownNameError, match="holds no recording yet"):
        Run(tmp_path)
    small_run(tmp_path / "lightning_logs" / "version_3")
    with pytest.raises(UnknownNameError, match=r"did you mean .*version_3\?"):
        Run(tmp_path / "lightning_logs")


def test_a_foreign_folder_is_a_sentence(tmp_path: Path) -> None:
    bulk = tmp_path / "plugins" / "dgm"
    bulk.mkdir(parents=True)
    (bulk / "notes.txt").write_text("hello")
    (bulk / "20261124").mkdir()
    with pytest.raises(FormatError, match="nothing that was recorded by DGM"):
        Run(tmp_path)
    assert "nothing that was recorded by DGM" in Run(tmp_path, listed=True).problems[0]


def foreign_bytes() -> dict[str, bytes]:
    length = struct.pack("<Q", 1 << 60)
    return {
        "text": b"this is not a recording at all, but long enough to have a length",
        "empty": b"",
        "endless": length + struct.pack("<I", framing.masked(framing.crc32c(length))) + bytes(64),
        "frame of noise": framing.frame(b"\xff" * 64),
        "zeros": bytes(5000),
    }


@pytest.mark.parametrize("name", foreign_bytes())
@pytest.mark.parametrize("file", ["segment-00000", "journal-00000-00000", "steps", "end", "segment-00001", "block-7"])
def test_a_foreign_file_crashes_nothing(tmp_path: Path, file: str, name: str) -> None:
    directory, _ = small_run(tmp_path)
    (directory / file).write_bytes(foreign_bytes()[name])
    run = at_rest(tmp_path)
    for key in run.keys:
        run.read(key, slice(None))
    assert set(run.steps.tolist()) <= {0, 1, 2}
    if name != "empty" and file != "block-7":
        assert run.problems
    run.refresh()


def test_a_newer_format_says_what_reads_it(tmp_path: Path) -> None:
    directory, _ = small_run(tmp_path)
    segment = directory / "segment-00000"
    with open_file(str(segment)) as file:
        payload = next(framing.frames(file, 0, segment.stat().st_size)).payload
    assert payload is not None
    segment.write_bytes(framing.frame(payload.replace(b'{"v":2', b'{"v":3')))
    (directory / "steps").unlink()
    with pytest.raises(FormatError, match=r"format 3, this release .* \(0\.1\.0\)"):
        Run(tmp_path / "plugins" / "dgm")


def test_a_journal_of_another_layout_is_a_sentence(tmp_path: Path) -> None:
    other = Layout((Row(made.A, 4),))
    first = made.write(tmp_path / "a", [made.manifest(), made.snapshot(0)])
    second = made.write(tmp_path / "b", [made.manifest(other), made.snapshot(0, other)])
    shutil.copy(second / "journal-00000-00000", first / "journal-00000-00000")
    run = at_rest(tmp_path / "a")
    assert run.steps.tolist() == []
    assert "has records of" in "; ".join(run.problems)


def test_a_journal_of_endless_holes_is_read_to_its_bound(tmp_path: Path) -> None:
    directory, _ = small_run(tmp_path)
    os.truncate(directory / "journal-00000-00000", 1 << 40)
    run = at_rest(tmp_path)
    assert run.steps.tolist() == [0, 1, 2]
    assert f"more than {PART_SNAPSHOTS} snapshots" in "; ".join(run.problems)


def test_links_within_a_recording_are_not_followed(tmp_path: Path) -> None:
    elsewhere, _ = small_run(tmp_path / "elsewhere")
    bulk = tmp_path / "run" / "plugins" / "dgm"
    bulk.mkdir(parents=True)
    (bulk / elsewhere.name).symlink_to(elsewhere)
    assert at_rest(tmp_path / "run").steps.tolist() == []
    (bulk / elsewhere.name).unlink()
    (bulk / elsewhere.name).mkdir()
    for path in elsewhere.iterdir():
        (bulk / elsewhere.name / path.name).symlink_to(path)
    run = at_rest(tmp_path / "run")
    assert (run.steps.tolist(), run.keys, len(run.losses.steps)) == ([], {}, 0)


def test_closing_forgets(tmp_path: Path) -> None:
    small_run(tmp_path)
    with Run(tmp_path) as run:
        assert len(run.steps) == 3
    assert len(run.steps) == 0
