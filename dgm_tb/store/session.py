"""The files of one session directory: segments with their tiers of snapshots, the table of steps, the end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any

from dgm_tb.errors import FormatError
from dgm_tb.records import Graph, Manifest, Record, SessionEnd, Snapshot, StepTable
from dgm_tb.store import codec, framing
from dgm_tb.store.budget import Budget
from dgm_tb.store.manifests import next_sequence
from dgm_tb.store.tiers import Tier, append

_log = logging.getLogger(__name__)


class SessionFiles:
    """Writes a session into its directory, on the writer's thread.

    ``after`` is called with each record that was written; if it raises, it is not called again.
    """

    def __init__(
        self,
        directory: Path,
        budget: Budget,
        clock: Callable[[], float],
        after: Callable[[Record], None] | None,
        *,
        half: bool = False,
    ) -> None:
        self._directory, self._budget, self._clock, self._after = directory, budget, clock, after
        self._half = half
        self._segments = 0
        self._sequence: int | None = None
        self._snapshots: Tier | None = None
        self._segment: FileIO | None = None
        self._steps: FileIO | None = None
        self._ended = self._full = False
        self._write: Mapping[type, Callable[[Any], bool]] = {
            Manifest: self._manifest,
            Graph: self._graph,
            Snapshot: self._snapshot,
            StepTable: self._table,
            SessionEnd: self._end,
        }

    def write(self, record: Record) -> bool:
        """Whether there was room for the record. Raises `OSError`, and `FormatError` for what cannot be read again."""
        written = self._write[type(record)](record)
        if written and self._after is not None:
            try:
                self._after(record)
            except Exception:  # the small plane is not worth the recording
                self._after = None
                _log.warning("the summaries beside %s stop: writing one failed", self._directory, exc_info=True)
        return written

    def end(self, reason: str) -> None:
        """Writes the end, once."""
        if not self._ended:
            self.write(SessionEnd(reason, self._clock()))

    def close(self) -> None:
        for file in (self._segment, self._snapshots, self._steps):
            if file is not None:
                file.close()

    def _manifest(self, manifest: Manifest) -> bool:
        if self._sequence is None:
            self._sequence = next_sequence(self._directory.parent, self._directory.name.rpartition("-rank")[0])
        data = self._frame(replace(manifest, sequence=self._sequence))
        tier = Tier(self._directory, self._segments, manifest.layout, self._budget, half=self._half)
        for old in (self._segment, self._snapshots):
            if old is not None:
                old.close()
        self._segment = self._open(f"segment-{self._segments:05d}")
        self._append(self._segment, data)
        self._segments += 1
        self._snapshots = tier
        return True

    def _graph(self, graph: Graph) -> bool:
        if self._segment is None:
            raise FormatError("a graph was written before any manifest")
        return self._append(self._segment, self._frame(graph))

    def _snapshot(self, snapshot: Snapshot) -> bool:
        if self._snapshots is None:
            raise FormatError("a snapshot was written before any manifest")
        written = self._snapshots.append(snapshot)
        if not written and not self._full:
            _log.warning(
                "snapshots from step %d on find no room in the disk budget of %s: raise max_disk, or record less",
                snapshot.step,
                self._directory,
            )
        self._full = not written
        return written

    def _table(self, table: StepTable) -> bool:
        if self._steps is None:
            self._steps = self._open("steps")
        return self._append(self._steps, self._frame(table))

    def _end(self, end: SessionEnd) -> bool:
        self._ended = True
        with self._open("end") as file:
            return self._append(file, self._frame(end))

    def _append(self, file: FileIO, data: bytes) -> bool:
        append(file, data)
        self._budget.changed(len(data))
        return True

    def _frame(self, record: codec.Entry) -> bytes:
        return framing.frame(codec.encode(record, self._clock()))

    def _open(self, name: str) -> FileIO:
        return open(self._directory / name, "xb", buffering=0)
