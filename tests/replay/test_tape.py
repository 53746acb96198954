"""Tapes are data: what was written is read, and what is not a tape is refused with a sentence."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgm_tb.errors import FormatError
from dgm_tb.replay.allowed import OPS, is_allowed
from dgm_tb.replay.compact import compact
from dgm_tb.replay.tape import Op, Output, Program, Source, Tape, dump, feeding, load, needed, number, value

A, B, OUT, DEAD = range(4)
TAPE = Tape(
    step=3,
    sources=(
        Source(A, "parameter", "w", "parameter.w", "float32", (2,)),
        Source(B, "input", "x", "input.x", "float32", (2,)),
    ),
    ops=(
        Op("aten.exp.default", [value(B)], {}, (DEAD,)),
        Op("aten.mul.Tensor", [value(A), value(B)], {"alpha": number(float("inf"))}, (OUT,), call=0,
           site="models/net.py:7"),
    ),
    calls=("layer",),
    outputs=(Output("layer", "backward#0", OUT, 2, 0),),
    programs=(Program("backward#0", OUT, 2),),
    memory=(0, 1, 2, 3),
    versions={"torch": "2"},
)  # fmt: skip


def test_a_tape_comes_back_as_it_was() -> None:
    assert load(dump(TAPE)) == TAPE


def test_what_nothing_needs_is_left_out() -> None:
    assert needed(TAPE, [(OUT, 2)]) == [1]
    small, keys = compact(TAPE)
    assert [op.name for op in small.ops] == ["aten.mul.Tensor"]
    assert small.programs[0].at == small.outputs[0].at == 1
    assert small.memory == (0, 1, 2)
    assert load(dump(small)) == small
    assert keys == {"parameter.w": "parameter.w", "input.x": "input.x"}


def test_what_feeds_a_value_is_told_from_what_lies_beside() -> None:
    every = [(A, 0), (DEAD, 1), (OUT, 2)]
    assert feeding(TAPE, [(OUT, 2)], every) == {(A, 0), (OUT, 2)}
    assert feeding(TAPE, [(DEAD, 1)], every) == {(DEAD, 1)}


def test_who_writes_into_needed_memory_is_needed() -> None:
    """A view is written to after it was taken: the value that the loss reads has changed too."""
    view, copied = 4, 5
    tape = Tape(
        0, TAPE.sources,
        (
            Op("aten.clone.default", [value(A)], {}, (copied,)),
            Op("aten.view.default", [value(copied), [2]], {}, (view,)),
            Op("aten.add_.Tensor", [value(view), 1.0], {}, (view,), (view,)),
            Op("aten.mul.Tensor", [value(copied), value(B)], {}, (OUT,)),
        ),
        (), (), (Program("p", OUT, 4),), (0, 1, 2, 3, 7, 7), {},
    )  # fmt: skip
    assert needed(tape, [(OUT, 4)]) == [0, 1, 2, 3]
    assert needed(tape, [(copied, 1)]) == [0]


@pytest.mark.parametrize(
    "name",
    [
        "aten.from_file.default", "aten.set_.source_Storage", "aten.resize_.default", "aten.record_stream.default",
        "aten._unsafe_index.Tensor", "aten.pin_memory.default", "prim.device.default", "torchvision.nms.default",
        "aten.add", "aten.add.Tensor.more", "os.system.default", "aten.__class__.default", "", "aten..default",
    ],
)  # fmt: skip
def test_what_reaches_out_of_tensors_is_not_on_the_list(name: str) -> None:
    assert not is_allowed(name)
    data = json.loads(dump(TAPE))
    data["ops"][1]["name"] = name
    with pytest.raises(FormatError, match="not among the ops"):
        load(json.dumps(data).encode())


@pytest.mark.parametrize(
    "name", ["aten.add.Tensor", "aten.add_.Tensor", "aten.tanh_backward.default", "aten.relu_.default"]
)
def test_arithmetic_is_on_the_list(name: str) -> None:
    assert is_allowed(name)


def test_the_list_has_no_duplicates_of_variants() -> None:
    assert not [op for op in OPS if op.endswith("_") and op.removesuffix("_") in OPS]


CHANGES: list[tuple[str, Any]] = [
    ("v", 99), ("v", None), ("step", -1), ("step", "3"), ("memory", [0, 1, 2, 99]), ("memory", [0]), ("sources", [{}]),
    ("sources", None), ("ops", [{"name": "aten.exp.default"}]), ("programs", [{"name": "p", "loss": 77, "at": 1}]),
    ("outputs", [{"node": "n", "program": "p", "value": 2, "at": 99, "axis": 0}]),
    ("outputs", [{"node": "n", "program": "p", "value": 2, "at": 1, "axis": 4096}]), ("more", 1), ("calls", 5),
]  # fmt: skip


@pytest.mark.parametrize(("field", "content"), CHANGES)
def test_a_damaged_tape_is_refused(field: str, content: object) -> None:
    data = json.loads(dump(TAPE))
    data[field] = content
    with pytest.raises(FormatError):
        load(json.dumps(data).encode())


@pytest.mark.parametrize("changed", [{"site": 7}, {"site": "x" * 1000}, {"call": 1}, {"call": -2}, {"call": True}])
def test_a_damaged_op_is_refused(changed: dict[str, Any]) -> None:
    data = json.loads(dump(TAPE))
    data["ops"][1] |= changed
    with pytest.raises(FormatError):
        load(json.dumps(data).encode())


def test_a_tape_without_lines_of_code_is_one() -> None:
    data = json.loads(dump(TAPE))
    for op in data["ops"]:
        del op["site"]
    assert [op.site for op in load(json.dumps(data).encode()).ops] == ["", ""]


def test_reading_before_anything_is_made_is_refused() -> None:
    data = json.loads(dump(TAPE))
    data["ops"].reverse()
    data["ops"][0]["args"][0] = {"value": DEAD}
    with pytest.raises(FormatError, match="before anything makes it"):
        load(json.dumps(data).encode())


@pytest.mark.parametrize("argument", [{"code": "x"}, {"value": 0, "dtype": "x"}, {}, [[[[[[[[[[1]]]]]]]]]]])
def test_arguments_of_other_kinds_are_refused(argument: Any) -> None:
    data = json.loads(dump(TAPE))
    data["ops"][1]["args"][1] = argument
    with pytest.raises(FormatError):
        load(json.dumps(data).encode())


_plain = st.none() | st.booleans() | st.integers(-3, 9) | st.floats(allow_nan=False) | st.text(max_size=8)
_keys = st.sampled_from(["value", "v", "name"])
_inner = st.lists(_plain, max_size=3) | st.dictionaries(_keys, _plain, max_size=2)
_json = _plain | _inner | st.lists(_inner, max_size=3) | st.dictionaries(_keys, _inner, max_size=2)


@settings(deadline=None)
@given(field=st.sampled_from(sorted(json.loads(dump(TAPE)))), content=_json, at=st.integers(0, 3))
def test_any_other_content_is_a_tape_or_refused(field: str, content: Any, at: int) -> None:
    data = json.loads(dump(TAPE))
    if isinstance(data[field], list) and at < len(data[field]):
        data[field][at] = content
    else:
        data[field] = content
    with suppress(FormatError):
        assert all(is_allowed(op.name) for op in load(json.dumps(data).encode()).ops)


@settings(deadline=None)
@given(st.binary(max_size=64))
def test_bytes_that_are_no_json_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        load(data)
