"""The small plane: layer means in the logger's own event file, so that TensorBoard knows of the run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from dgm_tb.moments import DERIVED
from dgm_tb.records import FORMAT_VERSION, PLUGIN_NAME, QUANTITIES, Layout, Manifest, Record, Snapshot

#: Seconds between two events: the logger's queue holds ten and blocks when it is full.
INTERVAL: Final = 2.0


class Summaries:
    """Called with each record the writer wrote, on the writer's thread; ``experiment`` is the logger's SummaryWriter.

    One Event with one Value a quantity, tag ``dgm/<quantity>``, tensor ``[nodes, DERIVED]``: the mean over each
    node's units, NaN where it has none; of a node with several programs the first. The first Event of a layout names
    the nodes and the bulk files in its plugin content.
    """

    def __init__(self, experiment: Any, clock: Callable[[], float] = time.time) -> None:
        self._writer, self._clock = experiment._get_file_writer(), clock
        self._layout = Layout(())
        self._rows: dict[str, dict[str, int]] = {}  # quantity -> node -> row
        self._nodes: tuple[str, ...] = ()
        self._announced: set[str] = set()
        self._written = -np.inf

    def __call__(self, record: Record) -> None:
        if isinstance(record, Manifest):
            self._layout = record.layout
            self._nodes = tuple(dict.fromkeys(row.key.node for row in record.layout.rows))
            self._rows = {quantity: self._first_rows(quantity) for quantity in QUANTITIES}
            self._announced.clear()
            self._written = -np.inf  # the new names must stand before the numbers
        elif isinstance(record, Snapshot) and self._clock() - self._written >= INTERVAL:
            self._written = self._clock()
            self._writer.add_event(self._event(record), record.step, record.context[0])

    def _first_rows(self, quantity: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for index, row in enumerate(self._layout.rows):
            if row.key.quantity == quantity:
                found.setdefault(row.key.node, index)
        return found

    def _event(self, snapshot: Snapshot) -> Any:
        from tensorboard.compat.proto import event_pb2, summary_pb2, types_pb2
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

        values = []
        for quantity, row_of in self._rows.items():
            if not row_of:
                continue
            table = np.full((len(self._nodes), len(DERIVED)), np.nan, np.float32)
            for place, node in enumerate(self._nodes):
                if node in row_of:
                    table[place] = snapshot.aggregates[row_of[node], :, 0]
            shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=n) for n in table.shape])
            tensor = TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape=shape, tensor_content=table.tobytes())
            plugin = summary_pb2.SummaryMetadata.PluginData(plugin_name=PLUGIN_NAME, content=self._content(quantity))
            metadata = summary_pb2.SummaryMetadata(plugin_data=plugin, data_class=summary_pb2.DATA_CLASS_TENSOR)
            values.append(summary_pb2.Summary.Value(tag=f"dgm/{quantity}", metadata=metadata, tensor=tensor))
        return event_pb2.Event(summary=summary_pb2.Summary(value=values))

    def _content(self, quantity: str) -> bytes:
        """The manifest, with the first value of a tag only: later ones need no more than the plugin's name."""
        if quantity in self._announced:
            return b""
        self._announced.add(quantity)
        manifest = {"v": FORMAT_VERSION, "bulk": "plugins/dgm", "nodes": self._nodes, "statistics": DERIVED}
        return json.dumps(manifest, separators=(",", ":")).encode()
