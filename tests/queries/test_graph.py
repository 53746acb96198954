from __future__ import annotations

import dataclasses

import numpy as np

from dgm_tb.queries import graph
from dgm_tb.records import Edge, Graph, Node
from dgm_tb.store.run import Run
from tests import synthetic
from tests.queries.fakes import FakeRun
from tests.queries.recorded import SHAPE


def fake(nodes: tuple[Node, ...], traced: Graph | None = None, graph_id: str | None = None) -> Run:
    return FakeRun({}, np.empty(0, np.int64), nodes=nodes, graph=traced, graph_id=graph_id).as_run()


def test_the_traced_graph_comes_as_it_was_recorded(run: Run) -> None:
    view, traced = graph.answer(run, graph.Request(".")), synthetic.graph(SHAPE.width)
    assert view.nodes == traced.nodes
    assert view.edges == traced.edges
    assert view.programs == traced.programs
    assert view.step == traced.step
    assert view.id == run.graph_id


def test_groups_are_the_hierarchy_with_ancestors_first(run: Run) -> None:
    view = graph.answer(run, graph.Request("."))
    assert view.groups == (
        graph.Group("encoder", "Encoder", ""),
        graph.Group("encoder.blocks", "ModuleList", "encoder"),
        graph.Group("encoder.blocks.0", "Block", "encoder.blocks"),
        graph.Group("encoder.blocks.1", "Block", "encoder.blocks"),
        graph.Group("decoder", "Decoder", ""),
        graph.Group("discriminator", "Discriminator", ""),
    )


def test_every_parent_and_group_named_is_a_group(run: Run) -> None:
    view = graph.answer(run, graph.Request("."))
    names = {group.name for group in view.groups} | {""}
    assert {group.parent for group in view.groups} | {node.group for node in view.nodes} <= names


def test_before_a_trace_the_manifest_answers_without_edges() -> None:
    nodes = (Node("a.b.c", "Linear", "a.b", 3), Node("d", "Linear", "", 3))
    view = graph.answer(fake(nodes), graph.Request("."))
    assert view.nodes == nodes
    assert view.edges == ()
    assert view.step == -1
    assert view.programs == {}
    assert view.groups == (graph.Group("a", "", ""), graph.Group("a.b", "", "a"))
    assert view.id.startswith("manifest-")


def test_the_manifest_id_changes_with_the_nodes_and_only_then() -> None:
    node = Node("a", "Linear", "", 3)
    first, again = graph.graph_id(fake((node,))), graph.graph_id(fake((dataclasses.replace(node),)))
    assert first == again != graph.graph_id(fake((node, dataclasses.replace(node, name="b"))))


def test_edges_to_nodes_that_are_not_there_are_left_out() -> None:
    nodes = (Node("a", "Linear", "", 3), Node("b", "Linear", "", 3))
    traced = Graph(0, nodes, (Edge("a", "b"), Edge("a", "ghost"), Edge("ghost", "b"), Edge("b", "b", back=True)))
    view = graph.answer(fake(nodes, traced, "x"), graph.Request("."))
    assert view.edges == (Edge("a", "b"), Edge("b", "b", back=True))
    assert view.id == "x"
