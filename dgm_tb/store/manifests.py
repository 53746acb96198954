"""Manifests as the writer reads them back: a segment's layout, and which session of a run comes after which."""

from __future__ import annotations

import os
from pathlib import Path

from dgm_tb.errors import FormatError
from dgm_tb.records import Manifest
from dgm_tb.store import codec, framing


def read_manifest(segment: Path) -> Manifest | None:
    """The manifest at the beginning of a segment's file; None where it cannot be read."""
    try:
        with open(segment, "rb", buffering=0) as file:
            frame = next(framing.frames(file, 0, os.fstat(file.fileno()).st_size), None)
        manifest = codec.decode(frame.payload) if frame and frame.payload else None
    except (OSError, FormatError):
        return None
    return manifest if isinstance(manifest, Manifest) else None


def next_sequence(bulk: Path, session: str) -> int:
    """The `Manifest.sequence` of ``session``, which comes after all others that are in ``bulk``; 0 for the first."""
    others = (path for path in bulk.glob("*-rank*") if not path.name.startswith(f"{session}-rank"))
    found = (read_manifest(path / "segment-00000") for path in others if not path.is_symlink())
    return max((manifest.sequence + 1 for manifest in found if manifest is not None), default=0)
