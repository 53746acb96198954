"""The files of a run by session and kind, and what can be said of them without reading their numbers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dgm_tb.errors import FormatError
from dgm_tb.records import Graph, Manifest, SessionEnd, StepTable, rolled_layout
from dgm_tb.store.bulk import SESSION_DIRECTORY
from dgm_tb.store.logs import Log
from dgm_tb.store.parts import parse
from dgm_tb.store.snapshots import SnapshotFormat, snapshot_format

_LOG: Final = re.compile(r"(?P<kind>segment|steps|end|thinned)(?:-(?P<segment>[0-9]{5,9}))?")
#: What is named otherwise: of a later release, or left half written by a process that was killed.
OTHER: Final = "other"
#: The kinds whose frames are snapshots, or points rolled up of them.
JOURNALS: Final = ("journal", "rollup")
BLOCKS: Final = ("block", "rollblock")


@dataclass(frozen=True, slots=True)
class File:
    """A file of a session; ``level`` is 0 at full resolution, ``segment`` None where the kind has none."""

    path: Path
    kind: str
    level: int
    segment: int | None
    size: int


@dataclass(frozen=True, slots=True)
class SessionFiles:
    """A session directory: its files in the order of their names, and the records of its small ones."""

    path: Path
    session: str
    rank: int
    files: tuple[File, ...]
    manifests: dict[int, Manifest]  # by segment
    graphs: int
    logged: int  # rows of its tables of steps
    end: SessionEnd | None

    def form(self, file: File) -> SnapshotFormat | None:
        """The form of a file's frames; None where its segment has no manifest that can be used."""
        manifest = self.manifests.get(-1 if file.segment is None else file.segment)
        if manifest is None:
            return None
        try:
            return snapshot_format(rolled_layout(manifest.layout) if file.level else manifest.layout)
        except FormatError:  # a layout of sizes that nobody can have written
            return None


def sessions(directory: Path) -> tuple[SessionFiles, ...]:
    """The sessions below ``directory`` (``<run>/plugins/dgm``) in the order of their names; links are left out."""
    with os.scandir(directory) as entries:
        found = sorted(
            (entry.name, entry.path)
            for entry in entries
            if SESSION_DIRECTORY.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        )
    return tuple(_session(Path(path), name) for name, path in found)


def _session(path: Path, name: str) -> SessionFiles:
    match = SESSION_DIRECTORY.fullmatch(name)
    assert match is not None
    files = tuple(sorted(_files(path), key=lambda file: file.path.name))
    manifests: dict[int, Manifest] = {}
    graphs = logged = 0
    end = None
    for file in files:
        if file.kind not in ("segment", "steps", "end"):
            continue
        for entry in Log(file.path).advance(file.size):
            if isinstance(entry, Manifest) and file.segment is not None:
                manifests[file.segment] = entry
            elif isinstance(entry, Graph):
                graphs += 1
            elif isinstance(entry, StepTable):
                logged += len(entry.values)
            elif isinstance(entry, SessionEnd):
                end = entry
    return SessionFiles(path, match["session"], int(match["rank"]), files, manifests, graphs, logged, end)


def _files(path: Path) -> Iterator[File]:
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                yield _file(Path(entry.path), entry.stat(follow_symlinks=False).st_size)


def _file(path: Path, size: int) -> File:
    part, log = parse(path.name), _LOG.fullmatch(path.name)
    if part is not None:
        return File(path, path.name.partition("-")[0], part.level, part.segment, size)
    if log is not None:
        return File(path, log["kind"], 0, int(log["segment"]) if log["segment"] else None, size)
    return File(path, OTHER, 0, None, size)
