"""The rows and nodes that a recording has met so far."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from dgm_tb.records import Layout, Node
from lightning_callbacks import rows
from lightning_callbacks.model import Model
from lightning_callbacks.rows import Rows

_log = logging.getLogger("lightning_callbacks")


class Inventory:
    """The layout, which only grows, and what is known of each node in it."""

    def __init__(self, model: Model) -> None:
        self.layout = Layout(())
        self.nodes: dict[str, Node] = {}
        self._model = model
        self._odd: set[str] = set()

    def fitting(self, found: Rows) -> Rows:
        """Without the rows whose number of units is another than when they were first seen; says so once a node."""
        odd = rows.misfits(self.layout, found)
        nodes = sorted({key.node for key in odd} - self._odd)
        if nodes:
            _log.warning(
                "DGM: %s: another number of units than before, left out where it is so; if the units lie on "
                "another axis, say so by unit_axis={%r: -1}",
                ", ".join(nodes),
                nodes[0],
            )
        self._odd |= set(nodes)
        return [(key, row) for key, row in found if key not in odd]

    def extend(self, found: Rows, paths: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]) -> bool:
        """Takes in a step's rows, of nodes with module ``paths`` and output ``shapes``; whether the layout grew."""
        layout = rows.extended(self.layout, found)
        if layout is self.layout:
            return False
        self.layout = layout
        units: dict[str, int] = {}
        programs: dict[str, dict[str, None]] = {}
        quantities: dict[str, dict[str, None]] = {}
        for row in layout.rows:
            units.setdefault(row.key.node, row.units)
            programs.setdefault(row.key.node, {})[row.key.program] = None
            quantities.setdefault(row.key.node, {})[row.key.quantity] = None
        for name, count in units.items():
            known = self.nodes.get(name) or self.describe(name, paths[name])
            self.nodes[name] = replace(
                known,
                units=count,
                programs=tuple(programs[name]),
                quantities=tuple(quantities[name]),
                shape=shapes.get(name, known.shape),
            )
        return True

    def describe(self, name: str, path: str) -> Node:
        """What is known of the node ``name`` of the module at ``path``."""
        kind = type(self._model.named[path]).__name__
        return self.nodes.get(name) or Node(
            name, kind, self._model.group(path), 1, parameters=self._model.parameters(path)
        )
