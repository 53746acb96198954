"""Whatever mix of files a run is in, what is read is what was written."""

from __future__ import annotations

import shutil
import sys
import threading
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dgm_tb.moments import COUNT, DERIVED, M2, MEAN, NONFINITE, STATISTICS, ZEROS, absent, derive, merge
from dgm_tb.records import CONTEXT, Layout, Row, RowKey, Snapshot, Thinned
from dgm_tb.store import codec, framing, partfiles, reading
from dgm_tb.store.blockwriter import write_block
from dgm_tb.store.levels import Points
from dgm_tb.store.parts import PART_SNAPSHOTS, Part
from dgm_tb.store.run import Run
from dgm_tb.store.snapshots import snapshot_format
from tests.store import laid, made, oracles

FAR = made.BEGAN + 1e6


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 4 snapshots and points of 2, so that a few dozen snapshots have many of each."""
    for module in [module for name, module in sys.modules.items() if name.startswith("dgm_tb.store")]:
        for name, value in (("PART_SNAPSHOTS", 4), ("ROLL", 2)):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)


def finite(step: int, layout: Layout, seed: int = 0) -> Snapshot:
    """Counts that can be; some units not called, some without a finite value, a third of the time."""
    rng = np.random.default_rng([step, seed])
    made_up = made.snapshot(step, layout, seed)
    values, context = made_up.values.copy(), made_up.context.copy()
    context[CONTEXT.index("first_step")] = np.nan
    for index, row in enumerate(layout.rows):
        table = np.zeros((len(STATISTICS), row.units), np.float32)
        table[:] = rng.normal(size=table.shape)
        table[COUNT], table[ZEROS], table[NONFINITE] = 4, rng.integers(0, 4, row.units), 0
        table[M2] = np.abs(table[M2])
        broken = rng.integers(0, 3, row.units) == 0
        table[1:5, broken], table[NONFINITE, broken] = np.nan, 4
        if rng.integers(0, 6) == 0:
            table[:] = absent(row.units)
        layout.row_of(values, index)[:] = table[[STATISTICS.index(channel) for channel in row.channels]]
    aggregates = made_up.aggregates.copy()
    aggregates[rng.random(aggregates.shape) < 0.2] = np.nan
    return Snapshot(step, context, values, aggregates)


@st.composite
def sessions(draw: st.DrawFn) -> tuple[laid.Session, Callable[[Part], str]]:
    """A session of one or two segments, its steps ascending; and what became of its parts."""
    layouts = [draw(made.restricted_layouts) for _ in range(draw(st.integers(1, 2)))]
    step, segments = 0, []
    for layout in layouts:
        gaps = draw(st.lists(st.integers(1, 3), max_size=30))
        steps = [step := step + gap for gap in gaps]
        segments.append((layout, [finite(step, layout) for step in steps]))
    fates = draw(st.dictionaries(st.integers(0, 40), st.sampled_from(laid.FATES), max_size=20))

    def fate(part: Part) -> str:
        found = fates.get((17 * part.level + 5 * part.segment + part.part) % 41, laid.BLOCK)
        # Only what a coarser point covers may be thinned.
        covered = (part.snapshots.stop // 2 ** (part.level + 1)) * 2 ** (part.level + 1) >= part.snapshots.stop
        return found if found != laid.THINNED or (covered and part.level < 3) else laid.BOTH

    return laid.Session(segments, levels=draw(st.integers(3, 5))), fate


def there(session: laid.Session, fate: Callable[[Part], str]) -> list[tuple[Layout, Snapshot]]:
    """The snapshots that were not thinned, each with its layout."""
    found = []
    for number, (layout, snapshots) in enumerate(session.segments):
        for place, snapshot in enumerate(snapshots):
            full = (place // 4 + 1) * 4 <= len(snapshots)
            if not full or fate(Part(0, number, place // 4)) != laid.THINNED:
                found.append((layout, snapshot))
    return found


def row_of(layout: Layout, snapshot: Snapshot, key: RowKey, units: int) -> NDArray[np.float32]:
    """All statistics of a row as they are read: absent where there is none, NaN where one is not stored."""
    index = layout.index.get(key)
    if index is None or layout.rows[index].units != units:
        return absent(units)
    table = np.full((len(STATISTICS), units), np.nan, np.float32)
    table[[STATISTICS.index(channel) for channel in layout.rows[index].channels]] = layout.row_of(
        snapshot.values, index
    )
    return table


# Without shrinking: what fails is printed, and each example is a run on the disk.
SLOW = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=40,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


@SLOW
@given(sessions(), st.data())
def test_what_is_read_is_what_was_written(
    small: None,
    tmp_path_factory: pytest.TempPathFactory,
    made_up: tuple[laid.Session, Callable[[Part], str]],
    data: st.DataObject,
) -> None:
    session, fate = made_up
    path = tmp_path_factory.mktemp("run")
    laid.lay(path, session, fate)
    run, written = Run(path, listed=True, clock=lambda: FAR), there(session, fate)
    assert run.problems == () or all("had another number of units" in problem for problem in run.problems)
    assert run.steps.tolist() == [snapshot.step for _, snapshot in written]
    assert (
        made.bits(run.context) == made.bits(np.array([s.context for _, s in written]).reshape(-1, len(CONTEXT)))
    ).all()
    positions = np.array(
        data.draw(st.lists(st.integers(0, max(0, len(written) - 1)), max_size=9)) if written else [], int
    )
    statistics = data.draw(st.lists(st.sampled_from(STATISTICS), min_size=1, max_size=4, unique=True))
    for key, width in run.keys.items():
        units = np.array(data.draw(st.lists(st.integers(0, width - 1), max_size=4)) if width else [], int)
        expected = np.array([row_of(written[place][0], written[place][1], key, width) for place in positions]).reshape(
            len(positions), len(STATISTICS), width
        )
        expected = expected.astype(np.float32).swapaxes(0, 1)
        assert (made.bits(run.read(key, positions)) == made.bits(expected)).all()
        chosen = expected[[STATISTICS.index(statistic) for statistic in statistics]][:, :, units]
        read = run.read(key, positions, units=units, statistics=statistics)
        assert (made.bits(read) == made.bits(chosen)).all()
        everything = run.read(key, slice(None), statistics=statistics)
        whole = np.full(everything.shape, 7, np.float32)
        for places, some, rows in run.pieces(key, slice(None), statistics, data.draw(st.integers(1, 60))):
            whole[:, places, some] = rows
        assert (made.bits(whole) == made.bits(everything)).all()
        for place, aggregates in zip(positions, run.aggregates([key], positions)[0], strict=True):
            layout, snapshot = written[place]
            if key in layout.index:
                assert (made.bits(aggregates) == made.bits(snapshot.aggregates[layout.index[key]])).all()
            else:
                assert np.isnan(aggregates).all()
    shutil.rmtree(path)


def covered(session: laid.Session, points: Points, index: int) -> list[tuple[Layout, Snapshot]]:
    return [
        (layout, snapshot)
        for layout, snapshots in session.segments
        for snapshot in snapshots
        if points.first[index] <= snapshot.step <= points.last[index]
    ]


@SLOW
@given(sessions(), st.data())
def test_what_is_rolled_up_is_what_the_written_snapshots_roll_up_to(
    small: None,
    tmp_path_factory: pytest.TempPathFactory,
    made_up: tuple[laid.Session, Callable[[Part], str]],
    data: st.DataObject,
) -> None:
    session, fate = made_up
    path = tmp_path_factory.mktemp("run")
    laid.lay(path, session, fate)
    run = Run(path, listed=True, clock=lambda: FAR)
    first = data.draw(st.integers(-3, 60))
    points = run.points(first, first + data.draw(st.integers(0, 120)), data.draw(st.integers(1, 40)))
    together = patch.object(reading, "_PIECE", data.draw(st.sampled_from([1, 20, reading._PIECE])))
    inside = [
        s.step
        for _, segment in session.segments
        for s in segment
        if points.first.size and points.first[0] <= s.step <= points.last[-1]
    ]
    assert points.snapshots.sum() == len(inside)  # what was thinned is there too
    for key, width in run.keys.items():
        units = np.array(data.draw(st.lists(st.integers(0, width - 1), max_size=4)) if width else [], int)
        statistic = data.draw(st.sampled_from(DERIVED))
        with together:
            read = run.rolled(key, points, statistic, units)
            extremes = run.rolled(key, points, statistic, rolls=("max", "min"))
            aggregates = run.rolled_aggregates([key], points, (statistic, "max"))[0]
        for index in range(len(points.first)):
            tables = [row_of(*of, key, width) for of in covered(session, points, index)]
            values = np.array([derive(table, statistic) for table in tables]).reshape(len(tables), width)
            least, greatest, mean, _ = oracles.rolled(values.astype(np.float32))
            np.testing.assert_array_equal(extremes[:, index], np.stack([greatest, least]).astype(np.float32))
            np.testing.assert_array_equal(read[1:, index], np.stack([least, greatest])[:, units].astype(np.float32))
            np.testing.assert_allclose(read[0, index], mean[units], rtol=1e-5, atol=1e-6)
            _check_aggregates(aggregates[index], covered(session, points, index), key, statistic)
    shutil.rmtree(path)


def _check_aggregates(
    found: NDArray[np.float32], of: Sequence[tuple[Layout, Snapshot]], key: RowKey, statistic: str
) -> None:
    chosen = [DERIVED.index(statistic), DERIVED.index("max")]
    rows = [snapshot.aggregates[layout.index[key]][chosen] for layout, snapshot in of if key in layout.index]
    values = np.array(rows, np.float32) if rows else np.full((1, *found.shape[:2]), np.nan, np.float32)
    least, greatest, mean, _ = oracles.rolled(values)
    np.testing.assert_array_equal(found[..., 1:], np.stack([least, greatest], axis=-1).astype(np.float32))
    np.testing.assert_allclose(found[..., 0], mean, rtol=1e-5, atol=1e-6)


def straight(count: int, layout: Layout = made.LAYOUT, seed: int = 0, **more: object) -> laid.Session:
    snapshots = [finite(step, layout, seed) for step in range(count)]
    return laid.Session([(layout, snapshots)], **more)  # type: ignore[arg-type]


def expected(session: laid.Session, key: RowKey) -> NDArray[np.float32]:
    ((layout, snapshots),) = session.segments
    return np.stack([row_of(layout, s, key, layout.rows[layout.index[key]].units) for s in snapshots], axis=1)


def to_block(directory: Path, part: Part, layout: Layout) -> None:
    write_block(directory / part.block, snapshot_format(layout), directory / part.journal)
    (directory / part.journal).unlink()


def test_a_journal_that_becomes_a_block_is_the_same_snapshots(tmp_path: Path) -> None:
    session = straight(2 * PART_SNAPSHOTS + 5)
    directory = laid.lay(tmp_path, session)
    run = Run(tmp_path)
    pinned = run.pinned()
    for number in (1, 0):
        to_block(directory, Part(0, 0, number), made.LAYOUT)
        assert (made.bits(pinned.read(made.A, slice(None))) == made.bits(expected(session, made.A))).all()
        run.refresh()
        assert (run.generation, len(run.steps), run.problems) == (1, 2 * PART_SNAPSHOTS + 5, ())
        assert (made.bits(run.read(made.A, slice(None))) == made.bits(expected(session, made.A))).all()
    assert not run.refresh()
    assert pinned.aggregates([made.A], slice(None)).shape[1] == 2 * PART_SNAPSHOTS + 5


def test_what_is_thinned_under_a_pinned_run_reads_as_absent_and_is_a_new_generation(tmp_path: Path) -> None:
    session = straight(3 * PART_SNAPSHOTS)
    directory = laid.lay(tmp_path, session, lambda part: laid.BLOCK)
    run = Run(tmp_path)
    pinned = run.pinned()
    (directory / "block-00000-00001").unlink()
    lost = Thinned(0, PART_SNAPSHOTS, 2 * PART_SNAPSHOTS - 1, PART_SNAPSHOTS, "max_disk")
    (directory / "thinned").write_bytes(framing.frame(codec.encode(lost, made.BEGAN)))
    read = pinned.read(made.A, slice(None))
    gone = slice(PART_SNAPSHOTS, 2 * PART_SNAPSHOTS)
    assert (read[COUNT, gone] == 0).all()
    kept = np.delete(np.arange(3 * PART_SNAPSHOTS), gone)
    assert (made.bits(read[:, kept]) == made.bits(expected(session, made.A)[:, kept])).all()
    assert run.refresh()
    assert (run.generation, run.thinned, run.problems) == (2, (lost,), ())
    assert run.steps.tolist() == kept.tolist()
    points = run.points(0, 10_000, 2000)
    assert (points.level, points.snapshots.sum()) == (1, 3 * PART_SNAPSHOTS)
    assert run.points(0, PART_SNAPSHOTS - 1, 2000).level == 0
    assert not run.refresh()


def test_a_pinned_run_reads_on_while_journals_become_blocks(tmp_path: Path) -> None:
    parts = 12
    session = straight(parts * PART_SNAPSHOTS)
    directory = laid.lay(tmp_path, session)
    run, whole = Run(tmp_path), expected(session, made.B)
    pinned, failures, stop = run.pinned(), list[BaseException](), threading.Event()

    def read(own: Run) -> None:
        try:
            while not stop.is_set():
                own.refresh()
                now = own.pinned()
                assert (now.generation, len(now.steps), now.problems) == (1, parts * PART_SNAPSHOTS, ())
                assert (made.bits(now.read(made.B, slice(None))) == made.bits(whole)).all()
        except BaseException as failure:
            failures.append(failure)

    readers = [threading.Thread(target=read, args=(own,)) for own in (pinned, run, Run(tmp_path))]
    for reader in readers:
        reader.start()
    for number in range(parts):
        to_block(directory, Part(0, 0, number), made.LAYOUT)
        Run(tmp_path).close()  # opened in the middle of it
    stop.set()
    for reader in readers:
        reader.join()
    assert failures == []


def test_both_files_of_a_part_and_unfinished_ones_are_read_once(tmp_path: Path) -> None:
    session = straight(PART_SNAPSHOTS + 3)
    directory = laid.lay(tmp_path, session, lambda part: laid.BOTH)
    (directory / ".block-00000-00001").write_bytes(b"half a block")
    run = Run(tmp_path)
    assert (len(run.steps), run.problems) == (PART_SNAPSHOTS + 3, ())
    (directory / "journal-00000-00000").write_bytes(b"")  # the block counts
    run = Run(tmp_path)
    assert (len(run.steps), run.problems) == (PART_SNAPSHOTS + 3, ())
    assert (made.bits(run.read(made.A, slice(None))) == made.bits(expected(session, made.A))).all()


@pytest.mark.parametrize("fate", [laid.BLOCK, laid.BOTH])
def test_a_damaged_block_is_told_and_what_is_left_of_it_read(tmp_path: Path, fate: str) -> None:
    session = straight(PART_SNAPSHOTS)
    directory = laid.lay(tmp_path, session, lambda part: fate)
    block = directory / "block-00000-00000"
    data = bytearray(block.read_bytes())
    block.write_bytes(data[:-9])
    run = Run(tmp_path, listed=True)
    assert len(run.steps) == (PART_SNAPSHOTS if fate == laid.BOTH else 0)
    assert f"{directory.name}/block-00000-00000: " in run.problems[0]
    if fate == laid.BOTH:
        assert (made.bits(run.read(made.A, slice(None))) == made.bits(expected(session, made.A))).all()
    rng, whole = np.random.default_rng(0), expected(session, made.A)
    for at in range(int(rng.integers(97)), len(data), 97):
        kept = data[at]
        data[at] ^= 1 << int(rng.integers(8))
        block.write_bytes(data)
        run = Run(tmp_path, listed=True)
        if len(run.steps):
            read = run.read(made.A, slice(None))
            right = (made.bits(read) == made.bits(whole)).all(axis=0)
            assert (right | (read[COUNT] == 0)).all()
        data[at] = kept


def test_ranks_rolled_up_are_the_envelope_and_the_weighted_mean(tmp_path: Path) -> None:
    ranks = [straight(100, seed=rank, rank=rank) for rank in range(3)]
    for session in ranks:
        laid.lay(tmp_path, session, lambda part: laid.BLOCK)
    run = Run(tmp_path)
    points = run.points(0, 99, 60)
    assert (points.level, points.snapshots.tolist()) == (1, [16] * 6 + [1] * 4)
    read = run.rolled(made.A, points, "mean")
    tables = np.stack([expected(session, made.A) for session in ranks])  # (ranks, statistics, snapshots, units)
    means = np.stack([derive(table, "mean") for table in tables])
    for index in range(6):
        least, greatest, mean, _ = oracles.rolled(means[:, 16 * index : 16 * index + 16].reshape(48, -1))
        np.testing.assert_array_equal(read[1:, index], np.stack([least, greatest]).astype(np.float32))
        np.testing.assert_allclose(read[0, index], mean, rtol=1e-5, atol=1e-6)
    for index in range(6, 10):
        merged = merge(merge(tables[0, :, 90 + index], tables[1, :, 90 + index]), tables[2, :, 90 + index])
        np.testing.assert_array_equal(read[:, index], np.tile(derive(merged, "mean"), (3, 1)))


def test_where_a_rank_has_no_such_point_single_snapshots_are_merged(tmp_path: Path) -> None:
    first, second = straight(64, rank=0), straight(40, seed=1, rank=1)
    for session in (first, second):
        laid.lay(tmp_path, session)
    points = Run(tmp_path).points(0, 63, 50)
    assert points.snapshots.tolist() == [16] * 2 + [1] * 16 + [16]


def test_restricted_rows_of_several_ranks_merge_by_what_was_counted(tmp_path: Path) -> None:
    layout = Layout((Row(made.A, 3, ("count", "mean")),))
    sessions = [straight(4, layout, seed=rank, rank=rank) for rank in range(2)]
    for session in sessions:
        laid.lay(tmp_path, session)
    read = Run(tmp_path).read(made.A, slice(None))
    tables = [expected(session, made.A) for session in sessions]
    for table in tables:
        table[[ZEROS, NONFINITE]] = 0
    wanted = np.stack([merge(tables[0][:, index], tables[1][:, index]) for index in range(4)], axis=1)
    np.testing.assert_array_equal(read[[COUNT, MEAN]], wanted[[COUNT, MEAN]])
    assert np.isnan(read[NONFINITE][read[COUNT] > 0]).all()


@pytest.mark.parametrize("fate", [laid.JOURNAL, laid.BLOCK])
def test_a_wide_layers_statistic_takes_little_more_than_itself(tmp_path: Path, fate: str) -> None:
    layout = Layout((Row(made.A, 100_000),))
    snapshots = [made.snapshot(0, layout)] * PART_SNAPSHOTS
    snapshots = [replace(snapshot, step=step) for step, snapshot in enumerate(snapshots)]
    laid.lay(tmp_path, laid.Session([(layout, snapshots)], levels=0), lambda part: fate)
    run = Run(tmp_path)
    run.read(made.A, slice(0, 1), statistics=("mean",))
    tracemalloc.start()
    read = run.read(made.A, slice(None), statistics=("count", "mean"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < read.nbytes + (24 << 20)  # two channels are 51 MB, eight would be 205


@pytest.mark.parametrize("count", [100, 600])
def test_a_range_of_any_length_is_drawn_from_a_bounded_number_of_points(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    layout = Layout((Row(made.A, 1, ("count", "mean")),))
    laid.lay(tmp_path, straight(count, layout, levels=9), lambda part: laid.BLOCK)
    run, frames = Run(tmp_path), list[int]()

    def counted(*arguments: Any) -> None:
        frames.append(len(arguments[3]))
        partfiles.read_rows(*arguments)

    monkeypatch.setattr(reading, "read_rows", counted)
    points = run.points(0, count, 64)
    assert len(run.rolled(made.A, points, "mean")[0]) <= 32
    assert points.snapshots.sum() == count
    assert sum(frames) <= 32


def test_a_run_of_many_segments_too_short_to_be_rolled_up_is_drawn_in_few_columns(tmp_path: Path) -> None:
    segments = [(made.LAYOUT, [finite(10 * number + step, made.LAYOUT) for step in range(3)]) for number in range(40)]
    session = laid.Session(segments, levels=0)
    laid.lay(tmp_path, session)
    run = Run(tmp_path)
    points = run.points(0, 1000, 32)
    assert (points.level, len(points.first), points.snapshots.sum()) == (1, 16, 120)
    means = np.concatenate([laid.derived(layout, snapshots, made.A, "mean") for layout, snapshots in segments])
    least, greatest, mean, _ = oracles.rolled(means[:8])
    np.testing.assert_allclose(run.rolled(made.A, points, "mean")[:, 0], [mean, least, greatest], rtol=1e-6)
