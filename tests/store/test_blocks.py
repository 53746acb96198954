from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tensorboard.util.tensor_util import make_ndarray

from dgm_tb.errors import FormatError
from dgm_tb.records import Layout, Row, RowKey, Snapshot, rolled_layout
from dgm_tb.store import blocks
from dgm_tb.store.blockforms import Directory, directory_frame, directory_length, entries
from dgm_tb.store.blocks import Block
from dgm_tb.store.snapshots import snapshot_format
from tests.store import made, oracles

#: Numbers of every kind: constants, those that float16 holds exactly, signalling NaNs, infinities, any bits.
_WORDS = st.sampled_from(
    [0, 0x80000000, 0x3F800000, 0x7FC00000, 0x7F800001, 0xFFC01234, 0x7F800000, 0x33800000, 0x477FE000]
)
_EVERY = slice(None)


@st.composite
def contents(draw: st.DrawFn, most: int = 5) -> tuple[Layout, list[Snapshot]]:
    """A layout and snapshots of any bits, where some channels are dull enough for a narrower form."""
    layout = draw(made.restricted_layouts | made.restricted_layouts.map(rolled_layout))
    snapshots = draw(st.lists(made.snapshots(layout), min_size=1, max_size=most))
    for index, row in enumerate(layout.rows):
        for channel in range(len(row.channels)):
            words = draw(st.none() | st.lists(_WORDS, min_size=1, max_size=2))
            for place, snapshot in enumerate(snapshots if words else ()):
                assert words
                row_values = layout.row_of(snapshot.values, index)[channel]
                row_values.view(np.uint32)[:] = np.resize(words, row_values.size + place)[place:]
    return layout, snapshots


@settings(deadline=None, max_examples=60)
@given(contents())
def test_every_number_comes_back_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, content: tuple[Layout, list[Snapshot]]
) -> None:
    layout, snapshots = content
    path = made.block(tmp_path_factory.mktemp("block"), layout, snapshots)
    block = Block.open(str(path), snapshot_format(layout))
    assert block.steps.tolist() == [snapshot.step for snapshot in snapshots]
    assert block.context.tobytes() == b"".join(snapshot.context.tobytes() for snapshot in snapshots)
    with open(path, "rb") as file:
        for index, row in enumerate(layout.rows):
            for channel in range(len(row.channels)):
                found = block.read(file.fileno(), index, channel, None, _EVERY)
                assert found is not None
                expected = np.array([layout.row_of(snapshot.values, index)[channel] for snapshot in snapshots]).T
                assert found.shape == (row.units, len(snapshots))
                assert (made.bits(found) == made.bits(expected)).all()
            aggregates = block.read_aggregates(file.fileno(), index)
            assert aggregates is not None
            expected = np.array([snapshot.aggregates[index] for snapshot in snapshots])
            assert (made.bits(aggregates) == made.bits(expected)).all()


@settings(deadline=None, max_examples=60)
@given(contents())
def test_tensorboards_loader_reads_the_same_numbers(
    tmp_path_factory: pytest.TempPathFactory, content: tuple[Layout, list[Snapshot]]
) -> None:
    layout, snapshots = content
    directory = tmp_path_factory.mktemp("block")
    *records, last = oracles.events(made.block(directory, layout, snapshots), directory)
    tensors = [(value.tag, make_ndarray(value.tensor)) for record in records for value in record.summary.value[1:]]
    expected = [
        (f"{row.key.tag}/aggregates", np.array([snapshot.aggregates[index].ravel() for snapshot in snapshots]).T)
        for index, row in enumerate(layout.rows)
    ] + [
        (
            f"{row.key.tag}/{name}",
            np.array([layout.row_of(snapshot.values, index)[channel] for snapshot in snapshots]).T,
        )
        for index, row in enumerate(layout.rows)
        for channel, name in enumerate(row.channels)
    ]
    assert [tag for tag, _ in tensors] == [tag for tag, _ in expected]
    for (_, found), (_, numbers) in zip(tensors, expected, strict=True):
        assert found.shape == numbers.shape
        assert (made.bits(found.astype(np.float32)) == made.bits(numbers)).all()
    assert oracles.rows(last)["dgm/directory"].tolist() == [snapshot.step for snapshot in snapshots]
    assert last.step == snapshots[-1].step


@settings(deadline=None, max_examples=30)
@given(contents(), st.sampled_from([0, 200, 1 << 22]))
def test_channels_that_are_read_together_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, content: tuple[Layout, list[Snapshot]], most: int
) -> None:
    layout, snapshots = content
    path = made.block(tmp_path_factory.mktemp("block"), layout, snapshots)
    block = Block.open(str(path), snapshot_format(layout))
    with open(path, "rb") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_TOGETHER", most)
        for index, row in enumerate(layout.rows):
            channels = list(range(len(row.channels)))[::-1]
            found = block.read_together(file.fileno(), index, channels)
            for channel, part in zip(channels, found, strict=True):
                alone = block.read(file.fileno(), index, channel, None, _EVERY)
                assert part is not None
                assert alone is not None
                assert (made.bits(part.astype(np.float32)) == made.bits(alone)).all()


def test_of_channels_read_together_the_damaged_one_is_missing(tmp_path: Path) -> None:
    layout = Layout((Row(made.A, 40),))
    path = made.block(tmp_path, layout, [made.snapshot(step, layout) for step in range(8)])
    block = Block.open(str(path), snapshot_format(layout))
    data = bytearray(path.read_bytes())
    data[int(block.places[int(block.form.first[0]) + 3]) + 100] ^= 1
    path.write_bytes(data)
    with open(path, "rb") as file:
        found = block.read_together(file.fileno(), 0, [1, 3, 4])
        assert [part is None for part in found] == [False, True, False]
        assert block.read(file.fileno(), 0, 3, None, _EVERY) is None


def test_units_are_picked_as_numpy_picks_them(tmp_path: Path) -> None:
    layout = Layout((Row(made.A, 3000), Row(made.B, 40)))  # beyond and below what is read whole
    snapshots = [made.snapshot(step, layout) for step in range(8)]
    path = made.block(tmp_path, layout, snapshots)
    block = Block.open(str(path), snapshot_format(layout))
    choices: list[slice | NDArray[np.int64] | None] = [
        None, slice(0, 0), slice(5, 6), slice(15, 33), slice(2, None), np.array([], np.int64), np.array([2999]),
        np.array([7, 7, 3, 2998, 900, 901, 16, 15]), np.arange(2999, -1, -1), np.arange(0, 3000, 31),
    ]  # fmt: skip
    with open(path, "rb") as file:
        for row, units in enumerate((3000, 40)):
            for choice in choices:
                picked = choice % units if isinstance(choice, np.ndarray) else choice
                numbers = np.array([layout.row_of(snapshot.values, row)[1] for snapshot in snapshots]).T
                expected = numbers[_EVERY if picked is None else picked, 2:7]
                found = block.read(file.fileno(), row, 1, picked, slice(2, 7))
                assert found is not None
                np.testing.assert_array_equal(found, expected)


def test_no_flipped_bit_makes_a_wrong_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_SMALL", 0)  # so that single pages are read, too
    path, layout, snapshots = made.small_block(tmp_path)
    form, data = snapshot_format(layout), path.read_bytes()
    wrong = 0
    for at in range(0, len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        path.write_bytes(flipped)
        try:
            block = Block.open(str(path), form)
        except FormatError:
            wrong += 1
            continue
        with open(path, "rb") as file:
            for row in range(2):
                for channel in range(2):
                    found = block.read(file.fileno(), row, channel, None, _EVERY)
                    expected = np.array([layout.row_of(snapshot.values, row)[channel] for snapshot in snapshots]).T
                    wrong += found is None
                    assert found is None or (found == expected).all(), at
                    if row == 0:
                        page = block.read(file.fileno(), row, channel, np.array([18]), _EVERY)
                        wrong += page is None
                        assert page is None or (page == expected[18:19]).all(), at
                aggregates = block.read_aggregates(file.fileno(), row)
                wrong += aggregates is None
                expected = np.array([snapshot.aggregates[row] for snapshot in snapshots])
                assert aggregates is None or (aggregates == expected).all(), at
    assert wrong > len(data) / 2


def test_a_block_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path, layout, _ = made.small_block(tmp_path)
    form, data = snapshot_format(layout), path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(FormatError, match="does not end with a directory"):
            Block.open(str(path), form)


def test_a_block_that_shrinks_while_it_is_read_is_damaged_and_no_error(tmp_path: Path) -> None:
    path, layout, _ = made.small_block(tmp_path)
    block = Block.open(str(path), snapshot_format(layout))
    os.truncate(path, 500)
    with open(path, "rb") as file:
        assert block.read(file.fileno(), 0, 1, None, _EVERY) is None
        assert block.read(file.fileno(), 0, 1, np.array([19]), _EVERY) is None
        assert block.read_aggregates(file.fileno(), 1) is None


def test_a_block_of_another_layout_is_refused(tmp_path: Path) -> None:
    path, layout, _ = made.small_block(tmp_path)
    renamed = Layout(
        (Row(made.A, 20, ("count", "mean")), Row(RowKey("net.c#1", "backward#0", "gradient"), 1, ("count", "m2")))
    )
    with pytest.raises(FormatError, match="not of the layout in its manifest"):
        Block.open(str(path), snapshot_format(renamed))
    with pytest.raises(FormatError, match="layout in its manifest"):
        Block.open(str(path), snapshot_format(Layout(layout.rows[:1])))


def test_a_directory_that_points_elsewhere_is_refused(tmp_path: Path) -> None:
    path, layout, _ = made.small_block(tmp_path)
    block = Block.open(str(path), snapshot_format(layout))
    data = path.read_bytes()[: -directory_length(entries(layout), 4)]
    for place in (-1, 1 << 40):
        places = np.where(block.kinds == 0, place, block.places)
        path.write_bytes(data + directory_frame(block.form, Directory(block.steps, block.context, places, block.kinds)))
        with pytest.raises(FormatError, match="points out of the file"):
            Block.open(str(path), snapshot_format(layout))
