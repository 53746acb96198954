from __future__ import annotations

from dgm_tb.records import Edge, Graph, Node
from lightning_callbacks import graph
from lightning_callbacks.hooks import Call
from lightning_callbacks.trace import NOWHERE, Event


def _describe(name: str, path: str) -> Node:
    return Node(name, "Linear", path.rpartition(".")[0], 3)


def _op(name: str, *origins: int, line: int = 1, path: str = "net") -> Event:
    return Event("op", path, name, frozenset(origins), site=f"code.py:{line}", shape=(2, 5))


def _module(path: str, *origins: int, occurrence: int = 0) -> Event:
    return Event("module", path, "", frozenset(origins), occurrence=occurrence, shape=(2, 3))


def _build(events: list[Event], names: dict[str, list[str]]) -> Graph:
    named = [(Call(path, 0), ((0, name),)) for path, found in names.items() for name in found]
    return graph.build(events, named, _describe, {"net": "Net", "net.deep": "Deep", "unused": "Deep"}, 7)


def test_the_arithmetic_of_the_loss_is_left_out_and_passed_through() -> None:
    events = [
        Event("input", "", "input", NOWHERE),
        _module("net.a", 0),
        _op("mul", 0, 1),
        _op("add", 1, 2),
        Event("loss", "", "loss", frozenset({3})),
    ]
    found = _build(events, {"net.a": ["net.a"]})
    assert [node.name for node in found.nodes] == ["input", "net.a", "loss"]
    assert found.edges == (Edge("input", "net.a"), Edge("input", "loss"), Edge("net.a", "loss"))
    assert found.groups == {"net": "Net"}


def test_an_op_on_the_way_to_a_module_is_a_node_of_the_program_it_feeds() -> None:
    found = _build([_module("net.a"), _op("add", 0), _module("net.b", 1)], {"net.a": ["net.a"], "net.b": ["net.b"]})
    add = found.nodes[1]
    assert (add.name, add.kind, add.group, add.programs, add.units) == ("net.add", "op", "net", ("backward#0",), 5)
    assert found.edges == (Edge("net.a", "net.add"), Edge("net.add", "net.b"))


def test_ops_of_different_lines_are_different_nodes() -> None:
    events = [_module("net.a"), _op("add", 0, line=1), _op("add", 1, line=2), _module("net.b", 2)]
    found = _build(events, {"net.a": ["net.a"], "net.b": ["net.b"]})
    assert [node.name for node in found.nodes] == ["net.a", "net.add", "net.add#1", "net.b"]


def test_more_than_four_repetitions_of_a_line_fold_and_close_a_cycle() -> None:
    events: list[Event] = [_module("net.a")]
    for turn in range(5):
        events += [_op("add", 2 * turn), _module("net.b", 2 * turn + 1, occurrence=turn)]
    found = _build(events, {"net.a": ["net.a"], "net.b": ["net.b"] * 5})
    assert {node.name: node.calls for node in found.nodes} == {"net.a": 1, "net.add": 5, "net.b": 5}
    assert set(found.edges) == {Edge("net.a", "net.add"), Edge("net.add", "net.b"), Edge("net.b", "net.add", back=True)}


def test_an_input_that_nothing_uses_is_left_out() -> None:
    found = _build([Event("input", "", "input[1]", NOWHERE), _module("net.a")], {"net.a": ["net.a"]})
    assert [node.name for node in found.nodes] == ["net.a"]


def test_merging_keeps_what_is_known() -> None:
    one = Graph(0, (Node("a", "Linear", "", 1, ("backward#0",)),), (), {"g": "G"}, {"backward#0": "x"})
    two = Graph(5, (Node("a", "Linear", "", 1, ("backward#1",), calls=3),), (), {}, {"backward#1": "y"})
    merged = graph.merge(one, two)
    assert merged.nodes[0].programs == ("backward#0", "backward#1")
    assert merged.nodes[0].calls == 3
    assert merged.step == 5
    assert merged.groups == {"g": "G"}
    assert merged.programs == {"backward#0": "x", "backward#1": "y"}
    assert graph.merge(None, one) is one


def test_a_program_that_is_another_optimizers_in_other_steps_has_both_labels() -> None:
    def traced(label: str) -> Graph:
        return Graph(0, (), (), {}, {"backward#0": label})

    merged = graph.merge(traced("backward#0"), traced("D (Adam)"))  # no optimizer had stepped in the first
    for label in ("G (Adam)", "D (Adam)", "backward#0", "G (Adam)"):
        merged = graph.merge(merged, traced(label))
    assert merged.programs == {"backward#0": "D (Adam) or G (Adam)"}
