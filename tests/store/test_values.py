from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.util.tensor_util import make_ndarray

from dgm_tb.store import values


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_padded_number_comes_back(number: int) -> None:
    padded = values.padded_varint(number)
    assert len(padded) == 10
    assert values.read_padded_varint(padded) == number


@given(st.text(max_size=200), st.binary(max_size=200), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))
def test_a_value_is_what_its_parser_reads(tag: str, content: bytes, step: int, wall_time: float) -> None:
    numbers = np.arange(6, dtype=np.int64).reshape(2, 3)
    summary = b"".join(values.whole(tag, content, values.INT64, numbers))
    event = Event.FromString(values.event(len(summary), wall_time, step) + summary)
    (value,) = event.summary.value
    assert (event.step, event.wall_time) == (step, wall_time)
    assert (value.tag, value.metadata.plugin_data.content) == (tag, content)
    np.testing.assert_array_equal(make_ndarray(value.tensor), numbers)


@pytest.mark.parametrize(("dtype", "kind"), [(values.FLOAT, "f4"), (values.HALF, "f2"), (values.UINT8, "u1")])
def test_types_are_those_of_tensorflow(dtype: int, kind: str) -> None:
    numbers = np.arange(3).astype(kind)
    summary = b"".join(values.whole("t", b"", dtype, numbers))
    tensor = make_ndarray(Event.FromString(values.event(len(summary)) + summary).summary.value[0].tensor)
    assert tensor.dtype == numbers.dtype
    np.testing.assert_array_equal(tensor, numbers)
