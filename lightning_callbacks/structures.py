"""Which steps are traced: a model's data flow is drawn from few of its steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dgm_tb.records import Graph, Node, RowKey
from lightning_callbacks import graph
from lightning_callbacks.capture import Capture

#: A model whose calls differ from step to step is traced so many times at most; its graph is the union.
MAX_TRACES: Final = 8


class Structures:
    """The calls that were traced so far, and the union of their graphs. Only whole captures are told."""

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._known: set[frozenset[RowKey]] = set()
        self._traces = 0
        self._missing: set[frozenset[RowKey]] = set()  # calls that were captured and are in no trace yet

    @property
    def wanted(self) -> bool:
        """Whether the next whole capture is to be traced."""
        return bool(self._missing or not self._traces) and self._traces < MAX_TRACES

    def follow(self, captured: Capture, describe: Callable[[str, str], Node], step: int) -> Graph | None:
        """Takes in a captured step; the graph if it was traced. Where its calls are new and it was not, later ones are
        until one has them: optimizers that take turns are traced both, although the next step is another's."""
        # A weight that is not trained has a row in the first snapshot only.
        structure = frozenset(key for key, _ in captured.rows if key.quantity != "weight")
        found = captured.graph(describe, step)
        if found is not None:
            self._graph = graph.merge(self._graph, found)
            self._traces += 1
            self._known.add(structure)
            self._missing.discard(structure)
        elif structure not in self._known and self._traces < MAX_TRACES:
            self._missing.add(structure)
        return None if found is None else self._graph
