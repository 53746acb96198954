from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.util.tensor_util import make_ndarray

from dgm_tb.errors import FormatError
from dgm_tb.records import Layout, Row, rolled_layout
from dgm_tb.store import framing
from dgm_tb.store.snapshots import SnapshotEncoder, read_head, snapshot_format
from tests.store import made, oracles


@given(st.data())
def test_a_frame_is_the_event_that_its_parser_reads(data: st.DataObject) -> None:
    layout = data.draw(made.restricted_layouts | made.restricted_layouts.map(rolled_layout))
    snapshot = data.draw(made.snapshots(layout))
    frame = SnapshotEncoder(layout).encode(snapshot).tobytes()
    payload = frame[12:-4]
    assert frame == oracles.frame(payload)

    event, kind = Event.FromString(payload), "rollup" if layout.rolled else "snapshot"
    values = event.summary.value
    assert event.step == snapshot.step
    assert np.float64(event.wall_time).tobytes() == snapshot.context[:1].tobytes()
    assert [value.tag for value in values] == [f"dgm/{kind}", "dgm/aggregates", *(row.key.tag for row in layout.rows)]
    assert {value.metadata.plugin_data.plugin_name for value in values} == {"dgm"}
    assert (made.bits(make_ndarray(values[0].tensor)) == made.bits(snapshot.context)).all()
    assert (made.bits(make_ndarray(values[1].tensor)) == made.bits(snapshot.aggregates)).all()
    for index, row in enumerate(layout.rows):
        tensor = make_ndarray(values[2 + index].tensor)
        assert tensor.shape == (len(row.channels), row.units)
        assert (made.bits(tensor) == made.bits(layout.row_of(snapshot.values, index))).all()
        assert values[2 + index].metadata.plugin_data.content == framing.FOOTER.pack(framing.crc32c(tensor.tobytes()))


@given(st.data())
def test_frames_are_equally_long_and_numbers_stand_where_the_format_says(data: st.DataObject) -> None:
    layout = data.draw(made.restricted_layouts | made.restricted_layouts.map(rolled_layout))
    form, encoder = snapshot_format(layout), SnapshotEncoder(layout)
    for snapshot in (data.draw(made.snapshots(layout)), data.draw(made.snapshots(layout))):
        frame = encoder.encode(snapshot).tobytes()
        assert len(frame) == form.length
        head = read_head(form, frame[: len(form.head)])
        assert head is not None
        assert head.step == snapshot.step
        assert head.context.tobytes() == snapshot.context.tobytes()
        for index, at in enumerate(form.rows_at):
            expected = layout.row_of(snapshot.values, index).tobytes()
            assert frame[at : at + len(expected)] == expected


def test_a_head_with_any_bit_flipped_is_none() -> None:
    form = snapshot_format(made.LAYOUT)
    head = SnapshotEncoder(made.LAYOUT).encode(made.snapshot(7)).tobytes()[: len(form.head)]
    assert read_head(form, head) is not None
    for bit in range(8 * len(head)):
        flipped = bytearray(head)
        flipped[bit // 8] ^= 1 << bit % 8
        assert read_head(form, bytes(flipped)) is None, bit


def test_a_snapshot_of_another_layout_is_refused() -> None:
    encoder = SnapshotEncoder(made.LAYOUT)
    with pytest.raises(FormatError, match="write a new manifest first"):
        encoder.encode(made.snapshot(0, Layout(made.LAYOUT.rows[:1])))


def test_a_layout_beyond_what_protobuf_reads_is_refused_without_allocating_it() -> None:
    with pytest.raises(FormatError, match="record fewer nodes"):
        snapshot_format(Layout((Row(made.A, 1 << 31),)))
