from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from dgm_tb.records import Graph, Node, RowKey
from lightning_callbacks.structures import MAX_TRACES, Structures


class _Captured:
    """A captured step that called these nodes; traced ones have a graph of them."""

    def __init__(self, *names: str, traced: bool = True) -> None:
        self.rows = [(RowKey(name, "backward#0", "activation"), torch.zeros(8, 1)) for name in names]
        self._names, self._traced = names, traced

    def graph(self, describe: Callable[[str, str], Node], step: int) -> Graph | None:
        return Graph(step, tuple(describe(name, name) for name in self._names), ()) if self._traced else None


def _follow(structures: Structures, captured: Any, step: int = 0) -> list[str] | None:
    found = structures.follow(captured, lambda name, path: Node(name, "Linear", "", 1), step)
    return None if found is None else [node.name for node in found.nodes]


def _wanted(structures: Structures) -> bool:
    return structures.wanted


def test_a_structure_is_traced_once() -> None:
    structures = Structures()
    assert _wanted(structures)
    assert _follow(structures, _Captured("a", "b")) == ["a", "b"]
    assert not _wanted(structures)
    assert _follow(structures, _Captured("a", "b", traced=False)) is None
    assert not _wanted(structures)


def test_new_calls_are_traced_at_the_next_capture_and_join_the_graph() -> None:
    structures = Structures()
    _follow(structures, _Captured("a"))
    assert _follow(structures, _Captured("a", "b", traced=False)) is None
    assert _wanted(structures)
    assert _follow(structures, _Captured("b", "c")) == ["a", "b", "c"]
    assert _wanted(structures)  # what takes turns is waited for
    _follow(structures, _Captured("a", "b"))
    assert not _wanted(structures)


def test_a_model_that_always_changes_is_traced_so_often_at_most() -> None:
    structures = Structures()
    for k in range(MAX_TRACES):
        assert _wanted(structures)
        _follow(structures, _Captured(f"layer{k}"))
        _follow(structures, _Captured(f"other{k}", traced=False))
    assert not _wanted(structures)
