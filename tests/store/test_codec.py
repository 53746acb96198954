from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.proto.event_pb2 import Event

from dgm_tb.errors import FormatError
from dgm_tb.records import NOT_LOGGED, Edge, Graph, Manifest, Node, SessionEnd, StepTable, Thinned, is_logged
from dgm_tb.store import codec, headers
from tests.store import made

_names = st.text(st.characters(codec="utf-8"), max_size=9)
_numbers = st.integers(0, 2**40)
_nodes = st.lists(
    st.builds(
        Node, _names, _names, _names, _numbers, st.tuples(_names), st.tuples(_names, _names), _numbers,
        st.tuples(_numbers, _numbers), _numbers, st.sampled_from(["module", "input", "op", "loss"]), _names,
    ),
    max_size=3,
).map(tuple)  # fmt: skip
_texts = st.dictionaries(_names, _names, max_size=3)
manifests = st.builds(
    Manifest,
    made.restricted_layouts,
    _nodes,
    st.floats(0, 1e12),
    _texts,
    st.dictionaries(_names, st.integers() | _names, max_size=3),
    _numbers,
)
graphs = st.builds(
    Graph, _numbers, _nodes, st.lists(st.builds(Edge, _names, _names, st.booleans())).map(tuple), _texts, _texts
)
thinned = st.builds(Thinned, st.integers(0, headers.MOST_LEVEL), _numbers, _numbers, _numbers, _names)
ends = st.builds(SessionEnd, _names, st.floats(0, 1e12))


@given(manifests | graphs | thinned)
def test_a_record_comes_back(record: codec.Entry) -> None:
    assert codec.decode(codec.encode(record, 1.5)) == record


@given(ends)
def test_an_end_comes_back_with_the_time_of_its_event(end: SessionEnd) -> None:
    assert codec.decode(codec.encode(end, end.wall_time)) == end


def test_a_header_that_was_seen_before_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = "step", "wall_time", "seen before"
    first, second = (codec.encode(StepTable(columns, np.full((1, 3), number)), 0) for number in (4.0, 5.0))
    assert isinstance(codec.decode(first), StepTable)
    monkeypatch.setattr(headers, "load", None)
    again = codec.decode(second)
    assert isinstance(again, StepTable)
    assert (again.columns, again.values.tolist()) == (columns, [[5.0] * 3])


@pytest.mark.parametrize("width", [3, 3000])  # short headers are kept, long ones are not
def test_wrong_columns_are_refused_each_time(width: int) -> None:
    payload = codec.encode(StepTable(("step", *(f"column {at}" for at in range(1, width))), np.ones((1, width))), 0)
    for _ in range(2):
        with pytest.raises(FormatError, match="expected step, wall_time"):
            codec.decode(payload)


@given(st.lists(st.lists(st.floats(width=64), min_size=3, max_size=3), max_size=5))
def test_a_table_comes_back_bit_for_bit(cells: list[list[float]]) -> None:
    values = np.array([[step, 2.0, *row] for step, row in enumerate(cells)], np.float64).reshape(-1, 5)
    values[1:2, 2:] = NOT_LOGGED, np.nan, -np.nan
    table = StepTable(("step", "wall_time", "loss", "kl", "accuracy"), values)
    back = codec.decode(codec.encode(table, 0))
    assert isinstance(back, StepTable)
    assert back.columns == table.columns
    assert back.values.tobytes() == values.tobytes()
    assert is_logged(back.values[1:2, 2:]).tolist() == [[False, True, True]][: len(cells[1:2])]


def event(content: bytes, plugin: str = "dgm") -> bytes:
    message = Event()
    value = message.summary.value.add(tag="dgm/x")
    value.metadata.plugin_data.plugin_name = plugin
    value.metadata.plugin_data.content = content
    return bytes(message.SerializeToString())


def header(**changes: Any) -> bytes:
    good = {"v": 2, "kind": "manifest", "layout": [["a", "p", "q", 3]], "nodes": [], "created": 1.0}
    return json.dumps({**good, **changes}).encode()


def test_the_header_used_here_is_good() -> None:
    assert isinstance(codec.decode(event(header())), Manifest)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"\xff\xff\xff", "not a TensorBoard event"),
        (b"", "not one of DGM's"),
        (event(header(), plugin="scalars"), "not one of DGM's"),
        (event(b"\xff\xfe"), "not JSON"),
        (event(b"{"), "not JSON"),
        (event(b"[" * 100_000), "not JSON"),
        (event(b"9" * 5_000), "not JSON"),
        (event(b"[]"), "header is \\[\\], expected an object"),
        (event(header(v=0.5)), "v is 0.5"),
        (event(header(v=-1)), "v is -1"),
        (event(header(kind=3)), "kind is 3"),
        (event(header(layout={})), "layout is {}, expected a list"),
        (event(header(layout=[["a", "p", "q"]])), "layout"),
        (event(header(layout=[["a", "p", "q", -1]])), "layout is -1"),
        (event(header(layout=[["a", "p", "q", 1 << 40]])), "layout is 1099511627776"),
        (event(header(layout=[["a", "p", "q", True]])), "layout is True"),
        (event(header(layout=[["a", "p", "q", 1, ["mean"]]])), "channels of count, .* with count"),
        (event(header(layout=[["a", "p", "q", 1, ["count", "count"]]])), "none twice"),
        (event(header(layout=[["a", "p", "q", 1, ["count", "mean/min"]]])), "channels of count"),
        (event(header(layout=[["a", "p", "q", 1, "count"]])), "layout is 'count', expected a list"),
        (event(header(kind="thinned")), "level is None"),
        (event(header(layout=[["a", "p", "q", 1], ["a", "p", "q", 2]])), "names a row twice"),
        (event(header(layout=[["\ud800", "p", "q", 1]])), "Unicode"),
        (event(header(nodes=[{"name": "a"}])), "nodes is"),
        (event(header(nodes=[{"name": 1}])), "name is 1"),
        (event(header(created=float("nan"))), "created is nan"),
        (event(header(created="now")), "created is 'now'"),
        (event(header(versions={"a": 1})), "versions is 1"),
        (event(header(schedule={"a": 1.5})), "schedule is 1.5"),
        (event(header(kind="graph", step=-1)), "step is -1"),
        (event(header(kind="graph", step=0, edges=[{"source": "a", "target": "b", "back": 1}])), "back is 1"),
        (event(header(kind="steps", columns=["loss"])), "expected step, wall_time"),
        (event(header(kind="steps", columns=["step", "wall_time", "a", "a"])), "without repeats"),
        (event(header(kind="steps", columns=["step", "wall_time"])), "shape \\[\\] and 0 bytes"),
        (event(header(kind="end")), "reason is None"),
    ],
)
def test_what_is_not_a_record_is_a_sentence(payload: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        codec.decode(payload)


@pytest.mark.parametrize("steps", [[np.nan], [0.5], [np.inf], [2.0**60]])
def test_a_table_whose_steps_are_no_steps_is_refused(steps: list[float]) -> None:
    table = StepTable(("step", "wall_time"), np.array([steps, [0.0]]).T)
    message = Event.FromString(codec.encode(made.table([0]), 0))
    message.summary.value[0].metadata.plugin_data.content = b'{"v":2,"kind":"steps","columns":["step","wall_time"]}'
    message.summary.value[0].tensor.tensor_content = table.values.tobytes()
    message.summary.value[0].tensor.tensor_shape.dim[1].size = 2
    with pytest.raises(FormatError, match="not whole numbers"):
        codec.decode(message.SerializeToString())


def test_a_newer_format_names_the_release_that_reads_it() -> None:
    with pytest.raises(FormatError, match=r"format 3, this release .* up to 2: install .* \(7\.1\)"):
        codec.decode(event(header(v=3, versions={"dgm-tb": "7.1"})))


def test_a_format_before_the_first_release_is_recorded_anew() -> None:
    with pytest.raises(FormatError, match="before the first release; record anew"):
        codec.decode(event(header(v=1)))


def test_a_kind_of_a_later_minor_release_is_skipped() -> None:
    assert codec.decode(event(header(kind="finding"))) is None


def test_a_long_wrong_value_is_not_repeated_whole() -> None:
    with pytest.raises(FormatError) as caught:
        codec.decode(event(header(kind=["x" * 10_000])))
    assert len(str(caught.value)) < 200
