from __future__ import annotations

import dataclasses
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from dgm_tb.errors import FormatError
from dgm_tb.plugin.wire import encode, pack, unpack

GOLDEN = Path(__file__).parents[1] / "golden"

NAN, INF = float("nan"), float("inf")

#: What `tests/golden/dgm1.bin` holds; `dgm1.json` spells it out for the decoder in the browser's tests.
GOLDEN_HEADER: dict[str, Any] = {
    "node": "encoder.é",
    "focus": 128,
    "radius": 1.5,
    "program": None,
    "nodes": ["a", "b#1"],
}
GOLDEN_ARRAYS: dict[str, NDArray[Any]] = {
    "step": np.array([0, 1, 2**53], np.int64),
    "values": np.array([[0.5, NAN, INF], [-INF, -0.0, 1e-45]], np.float32),
    "unit": np.array([0, 2**32 - 1, 7], np.uint32),
    "offset": np.array([-(2**31), 0, 2**31 - 1], np.int32),
    "outlier": np.array([True, False, True]),
    "wall_time": np.array([1.5e9 + 0.25, NAN], np.float64),
    "empty": np.empty((0, 3), np.float32),
}

numbers = st.sampled_from(["float32", "float64", "uint32", "int32", "uint8", "bool"]).flatmap(
    lambda name: hnp.arrays(np.dtype(name), hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5))
)


@given(st.dictionaries(st.text(min_size=1, max_size=8), numbers, max_size=4))
def test_arrays_come_back_bit_for_bit_and_aligned(arrays: dict[str, NDArray[Any]]) -> None:
    body = pack({"a": 1}, arrays)
    header, back = unpack(body)
    assert header == {"a": 1}
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        assert back[name].shape == array.shape
        assert back[name].tobytes() == array.tobytes()
        assert back[name].ctypes.data % 8 == np.frombuffer(body, np.uint8).ctypes.data % 8


def test_layout_is_the_documented_one() -> None:
    body = pack({"k": "v"}, {"x": np.array([1], np.float32), "y": np.array([2, 3], np.uint8)})
    (length,) = struct.unpack("<I", body[4:8])
    header = json.loads(body[8 : 8 + length])
    assert body[:4] == b"DGM1"
    assert (8 + length) % 8 == 0
    assert header["arrays"]["x"] == {"dtype": "f4", "shape": [1], "offset": 0}
    assert header["arrays"]["y"] == {"dtype": "u1", "shape": [2], "offset": 8}
    assert body[8 + length :] == struct.pack("<f4xBB6x", 1, 2, 3)


def test_steps_travel_as_float64() -> None:
    _, arrays = unpack(pack({}, {"step": np.array([2**53], np.int64)}))
    assert arrays["step"].dtype == np.float64
    assert arrays["step"][0] == 2**53


def test_strided_and_big_endian_arrays_are_written_in_order() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4).T[::2]
    for given_array in (array, array.astype(">f4")):
        _, arrays = unpack(pack({}, {"x": given_array}))
        np.testing.assert_array_equal(arrays["x"], array)


def test_an_array_of_another_type_is_no_reply() -> None:
    with pytest.raises(KeyError):
        pack({}, {"x": np.array(["a"])})


def test_foreign_bytes_are_refused() -> None:
    with pytest.raises(FormatError, match="not a DGM1 reply"):
        unpack(b'{"a": 1}')


@dataclasses.dataclass(frozen=True)
class Inner:
    name: str
    number: float


@dataclasses.dataclass(frozen=True)
class Plain:
    inner: tuple[Inner, ...]
    mapping: dict[str, float]
    step: int | None


@dataclasses.dataclass(frozen=True)
class Mixed:
    low: float
    x: NDArray[np.float32]


def test_a_view_without_arrays_is_json_that_never_holds_nan() -> None:
    reply = encode(Plain((Inner("\udc80é", NAN),), {"a": INF, "b": np.float32(0.5)}, None))
    assert reply.content_type == "application/json"
    assert json.loads(reply.body) == {
        "inner": [{"name": "\udc80é", "number": None}], "mapping": {"a": None, "b": 0.5}, "step": None,
    }  # fmt: skip


def test_a_view_with_arrays_is_binary_with_the_rest_as_header() -> None:
    reply = encode(Mixed(-INF, np.array([NAN], np.float32)))
    header, arrays = unpack(reply.body)
    assert reply.content_type == "application/octet-stream"
    assert header == {"low": None}
    assert np.isnan(arrays["x"]).all()


def test_golden_file_is_what_we_write() -> None:
    """A change of the container must be seen: the browser's tests decode the same bytes."""
    assert (GOLDEN / "dgm1.bin").read_bytes() == pack(GOLDEN_HEADER, GOLDEN_ARRAYS)


def test_golden_json_says_what_the_golden_file_holds() -> None:
    assert json.loads((GOLDEN / "dgm1.json").read_text()) == golden_content()


def golden_content() -> dict[str, Any]:
    """The header and flat arrays with NaN and infinities as words, since JSON has none."""
    header, arrays = unpack(pack(GOLDEN_HEADER, GOLDEN_ARRAYS))
    words = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return {
        "header": header,
        "arrays": {
            name: {
                "dtype": {"float32": "f4", "float64": "f8", "uint32": "u4", "int32": "i4", "uint8": "u1"}[
                    array.dtype.name
                ],
                "shape": list(array.shape),
                "data": [words.get(str(value), value) for value in array.ravel().tolist()],
            }
            for name, array in arrays.items()
        },
    }


if __name__ == "__main__":  # rewrites both files after a deliberate change of the container
    (GOLDEN / "dgm1.bin").write_bytes(pack(GOLDEN_HEADER, GOLDEN_ARRAYS))
    (GOLDEN / "dgm1.json").write_text(json.dumps(golden_content(), indent=1, ensure_ascii=False) + "\n")
