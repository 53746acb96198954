"""The data-flow graph: nodes in order of first call, edges, and the module hierarchy as groups."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dgm_tb.records import Edge, Node
from dgm_tb.store.run import Run


@dataclass(frozen=True, slots=True)
class Request:
    """The newest graph of a run."""

    run: str


@dataclass(frozen=True, slots=True)
class Group:
    """An inner node of the module hierarchy; ``parent`` is a group's name or ``""``."""

    name: str
    module_type: str
    parent: str


@dataclass(frozen=True, slots=True)
class View:
    """``id`` changes when the graph does; ``step`` is the traced one (-1: none was traced, the manifest's nodes)."""

    id: str
    step: int
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    groups: tuple[Group, ...]
    programs: Mapping[str, str]


def answer(run: Run, request: Request) -> View:
    """The traced graph, or the manifest's nodes without edges while there is none."""
    graph, nodes = run.graph, run.nodes
    types = dict(graph.groups) if graph else {}
    return View(
        id=graph_id(run),
        step=graph.step if graph else -1,
        nodes=nodes,
        edges=_between(graph.edges if graph else (), nodes),
        groups=_groups(nodes, types),
        programs=dict(graph.programs) if graph else {},
    )


def graph_id(run: Run) -> str:
    """The traced graph's id, or ``manifest-…`` of the nodes known so far."""
    return run.graph_id or "manifest-" + hashlib.sha256(repr(run.nodes).encode()).hexdigest()[:12]


def _between(edges: Iterable[Edge], nodes: Iterable[Node]) -> tuple[Edge, ...]:
    """The edges whose two ends are nodes: a client may look them up without asking."""
    names = {node.name for node in nodes}
    return tuple(edge for edge in edges if edge.source in names and edge.target in names)


def _groups(nodes: Iterable[Node], types: Mapping[str, str]) -> tuple[Group, ...]:
    """Every group that a node stands in, ancestors first, in order of first call; ``""``, the model, is none."""
    found: dict[str, None] = {}
    for node in nodes:
        parts = node.group.split(".") if node.group else []
        found.update((".".join(parts[:depth]), None) for depth in range(1, len(parts) + 1))
    return tuple(Group(path, types.get(path, ""), path.rpartition(".")[0]) for path in found)
