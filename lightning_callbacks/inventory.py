"""The rows and nodes that a recording has met so far."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from torch import Tensor

from dgm_tb.moments import STATISTICS
from dgm_tb.records import Layout, Node, RowKey
from lightning_callbacks import rows
from lightning_callbacks.model import Model
from lightning_callbacks.rows import Rows

_log = logging.getLogger("lightning_callbacks")

#: The quantities that a module has of each call; the others are of its weights.
OF_CALLS: Final = ("activation", "gradient")


class Inventory:
    """The layout, which only grows, and what is known of each node in it.

    ``layout`` has all statistics of every row; ``stored`` is the same with those that the user chose, itself where
    that is all.
    """

    def __init__(self, model: Model) -> None:
        self.layout = self.stored = Layout(())
        self.nodes: dict[str, Node] = {}
        self._model = model
        self._channels: dict[str, tuple[str, ...]] = {}  # of a node's rows
        self._odd: set[str] = set()
        self._hidden: set[str] = set()

    def follow(self, model: Model) -> None:
        """Describes new nodes by another survey of the model."""
        self._model = model

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

    def tell_hidden(self, paths: set[str]) -> None:
        """Says once of each module that its gradient cannot be seen (`lightning_callbacks.views`)."""
        if new := sorted(paths - self._hidden):
            _log.warning(
                "DGM: %s: the output is a view that is changed in place afterwards, so autograd shows nobody its "
                "gradient: it is missing from the record, not zero; to see it, use inplace=False in what follows",
                ", ".join(new),
            )
        self._hidden |= paths

    def extend(self, found: Rows, paths: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]) -> bool:
        """Takes in a step's rows, of nodes with module ``paths`` and output ``shapes``; whether the layout grew."""
        if all(key in self.layout.index for key, _ in found):
            return False
        path_of = dict(paths)
        layout = rows.extended(self.layout, [*found, *self._further_calls(found, path_of)])
        self.layout = layout
        units: dict[str, int] = {}
        programs: dict[str, dict[str, None]] = {}
        quantities: dict[str, dict[str, None]] = {}
        for row in layout.rows:
            units.setdefault(row.key.node, row.units)
            programs.setdefault(row.key.node, {})[row.key.program] = None
            quantities.setdefault(row.key.node, {})[row.key.quantity] = None
        for name, count in units.items():
            known = self.nodes.get(name) or self.describe(name, path_of[name])
            self.nodes[name] = replace(
                known,
                units=count,
                programs=tuple(programs[name]),
                quantities=tuple(quantities[name]),
                shape=shapes.get(name, known.shape),
            )
            if name in path_of:
                self._channels[name] = self._model.shares[path_of[name]].statistics
        whole = all(channels == STATISTICS for channels in self._channels.values())
        self.stored = (
            layout if whole else Layout(tuple(replace(r, channels=self._channels[r.key.node]) for r in layout.rows))
        )
        return True

    def _further_calls(self, found: Rows, paths: dict[str, str]) -> Iterator[tuple[RowKey, Tensor]]:
        """Rows for all calls that the user wants apart, so that a longer loop later needs no new layout."""
        for key, row in found:
            path = paths[key.node]
            output = key.node[len(path) :]  # of a further call it begins with #
            if key.quantity not in OF_CALLS or output.startswith("#"):
                continue
            for k in range(1, self._model.calls.get(path, 1)):
                name = f"{path}#{k}{output}"
                paths.setdefault(name, path)
                yield RowKey(name, key.program, key.quantity), row

    def describe(self, name: str, path: str) -> Node:
        """What is known of the node ``name`` of the module at ``path``."""
        kind = type(self._model.named[path]).__name__
        return self.nodes.get(name) or Node(
            name,
            kind,
            self._model.group(path),
            1,
            parameters=self._model.parameters(path),
            role=self._model.role(name, path),
        )
