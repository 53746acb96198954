from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dgm_tb.errors import FormatError
from dgm_tb.moments import COUNT, DERIVED, M2, MEAN, NONFINITE, SOURCES, STATISTICS, derive
from dgm_tb.records import CONTEXT, ROLLED, ROLLS, Layout, Row, RowKey, Snapshot, rolled_layout
from dgm_tb.store import rollups
from dgm_tb.store.rollups import roll_up
from dgm_tb.store.snapshots import SnapshotEncoder, snapshot_format
from tests.store import made, oracles


def rolled_from(path: Path, layout: Layout, snapshots: list[Snapshot], which: range) -> Snapshot:
    encoder = SnapshotEncoder(layout)
    path.write_bytes(b"".join(encoder.encode(snapshot).tobytes() for snapshot in snapshots))
    with open(path, "rb", buffering=0) as file:
        return roll_up(file, snapshot_format(layout), which)


def stored(layout: Layout, snapshot: Snapshot, row: int) -> NDArray[np.float32]:
    """All `STATISTICS` of a row; NaN where its layout does not store them."""
    found = layout.row_of(snapshot.values, row)
    out = np.full((len(STATISTICS), found.shape[1]), np.nan, np.float32)
    for name, channel in zip(layout.rows[row].channels, found, strict=True):
        out[STATISTICS.index(name)] = channel
    return out


def check(point: Snapshot, layout: Layout, snapshots: list[Snapshot]) -> None:
    """That ``point`` rolls up the snapshots, by the slow way."""
    rolled = rolled_layout(layout)
    assert point.step == snapshots[-1].step
    assert point.context[-1] == snapshots[0].step
    assert point.context[:-1].tobytes() == snapshots[-1].context[:-1].tobytes()
    for index, row in enumerate(rolled.rows):
        values = rolled.row_of(point.values, index)
        for place, channel in enumerate(row.channels):
            statistic, roll = channel.split("/")
            with np.errstate(all="ignore"):
                series = np.array([derive(stored(layout, snapshot, index), statistic) for snapshot in snapshots])
            close(values[place], oracles.rolled(series), ROLLS.index(roll))
    expected = oracles.rolled(np.array([snapshot.aggregates for snapshot in snapshots]))
    for roll_at in range(len(ROLLS)):
        close(point.aggregates[..., roll_at], expected, roll_at)


def close(found: NDArray[np.float32], rolled: NDArray[np.float64], roll: int) -> None:
    """Equal; a mean up to the rounding of means that are as large as the largest number."""
    slack = np.nan_to_num(np.maximum(np.abs(rolled[0]), np.abs(rolled[1]))) * (1e-6 if ROLLS[roll] == "mean" else 1e-7)
    assert (np.isnan(found) == np.isnan(rolled[roll])).all()
    assert (np.nan_to_num(np.abs(found - rolled[roll])) <= slack + 1e-45).all()


_VALUES = st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1.0, -2.5, 3e38, 1e-40])


@st.composite
def recordings(draw: st.DrawFn, count: int) -> tuple[Layout, list[Snapshot]]:
    """Snapshots with absent units, numbers that are not finite, and series without any that is."""
    layout = draw(made.restricted_layouts.filter(lambda layout: len(layout.rows) < 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    pool = np.array(draw(st.lists(_VALUES, min_size=1)), np.float32)
    snapshots = []
    for step in range(count):
        snapshot = made.snapshot(10 * step, layout, seed=int(rng.integers(1 << 30)))
        snapshot.context[-1] = np.nan
        for array in (snapshot.values, snapshot.aggregates):
            strange = rng.random(array.shape) < 0.4
            array[strange] = rng.choice(pool, strange.sum())
        for index, row in enumerate(layout.rows):
            count_at = row.channels.index("count")
            layout.row_of(snapshot.values, index)[count_at] = rng.choice([0, 3, 64], row.units)
        snapshots.append(snapshot)
    return layout, snapshots


@settings(deadline=None, max_examples=50)
@given(recordings(16), st.integers(0, 15))
def test_a_point_is_what_the_slow_way_finds(
    tmp_path_factory: pytest.TempPathFactory, recording: tuple[Layout, list[Snapshot]], begin: int
) -> None:
    layout, snapshots = recording
    point = rolled_from(tmp_path_factory.mktemp("roll") / "journal", layout, snapshots, range(begin, 16))
    check(point, layout, snapshots[begin:])


@settings(deadline=None, max_examples=30)
@given(recordings(12))
def test_a_point_of_points_is_that_of_their_snapshots(
    tmp_path_factory: pytest.TempPathFactory, recording: tuple[Layout, list[Snapshot]]
) -> None:
    layout, snapshots = recording
    path = tmp_path_factory.mktemp("roll") / "journal"
    points = [rolled_from(path, layout, snapshots, range(begin, begin + 4)) for begin in (0, 4, 8)]
    point = rolled_from(path, rolled_layout(layout), points, range(3))
    check(point, layout, snapshots)
    direct = rolled_from(path, layout, snapshots, range(12))
    for roll in ("min", "max", "seen"):  # exact: only means are rounded on the way
        for index, row in enumerate(rolled_layout(layout).rows):
            places = [place for place, channel in enumerate(row.channels) if channel.endswith(f"/{roll}")]
            first, second = (
                rolled_layout(layout).row_of(snapshot.values, index)[places] for snapshot in (point, direct)
            )
            np.testing.assert_array_equal(first, second)


def test_a_spike_of_one_step_survives_every_level(tmp_path: Path) -> None:
    layout, path = Layout((Row(made.A, 3),)), tmp_path / "journal"
    snapshots = []
    for step in range(256):
        snapshot = made.snapshot(step, layout)
        row = layout.row_of(snapshot.values, 0)
        row[COUNT], row[NONFINITE], row[M2], row[MEAN] = 8, 0, 1, 0.5
        row[MEAN, 1] = 1e6 if step == 77 else 0.5
        snapshots.append(snapshot)
    points = [rolled_from(path, layout, snapshots, range(16 * j, 16 * j + 16)) for j in range(16)]
    point = rolled_from(path, rolled_layout(layout), points, range(16))
    values = rolled_layout(layout).row_of(point.values, 0)
    assert values[ROLLED.index("mean/max")].tolist() == [0.5, 1e6, 0.5]
    assert values[ROLLED.index("mean/min")].tolist() == [0.5, 0.5, 0.5]
    assert values[ROLLED.index("mean/mean"), 1] == pytest.approx((255 * 0.5 + 1e6) / 256)
    assert values[ROLLED.index("std/min")].tolist() == [pytest.approx(np.sqrt(1 / 8))] * 3
    assert (values[ROLLED.index("mean/seen")] == 256).all()
    assert point.context[CONTEXT.index("first_step")] == 0
    assert point.step == 255


@pytest.mark.parametrize("most", [64, 1 << 9, 1 << 12])
def test_long_rows_are_rolled_up_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    layout = Layout((Row(made.A, 333), Row(made.B, 2, ("count", "mean")), Row(RowKey("c", "p", "q"), 50)))
    snapshots = [made.snapshot(step, layout) for step in range(5)]
    whole = rolled_from(tmp_path / "a", layout, snapshots, range(5))
    monkeypatch.setattr(rollups, "_MOST", most)
    parts = rolled_from(tmp_path / "a", layout, snapshots, range(5))
    assert (made.bits(parts.values) == made.bits(whole.values)).all()


def test_a_restricted_row_rolls_up_what_follows_from_it() -> None:
    layout = Layout((Row(made.A, 3, ("count", "mean", "zeros")), Row(made.B, 2)))
    rows = rolled_layout(layout).rows
    assert set(rows[0].channels) == {f"{name}/{roll}" for name in ("mean", "zero_fraction") for roll in ROLLS}
    assert rows[1].channels == ROLLED
    assert set(SOURCES) == set(DERIVED)


def test_a_damaged_head_is_no_point(tmp_path: Path) -> None:
    layout, path = made.LAYOUT, tmp_path / "journal"
    rolled_from(path, layout, [made.snapshot(step) for step in range(3)], range(3))
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    with open(path, "rb", buffering=0) as file, pytest.raises(FormatError, match="damaged"):
        roll_up(file, snapshot_format(layout), range(3))
    with open(path, "rb", buffering=0) as file, pytest.raises(FormatError, match="ended while it was read"):
        roll_up(file, snapshot_format(layout), range(2, 4))
