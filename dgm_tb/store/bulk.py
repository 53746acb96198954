"""Where a run's recordings lie: its ``plugins/dgm`` and the session directories in it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from dgm_tb.store.parts import SESSION

SESSION_DIRECTORY: Final = re.compile(rf"(?P<session>{SESSION.pattern})-rank(?P<rank>[0-9]{{1,6}})")


def bulk_directory(path: Path) -> Path:
    """``<run>/plugins/dgm`` of a run directory, or the path itself where it is that."""
    path = Path(os.path.abspath(path.expanduser()))
    is_bulk = path.parts[-2:] == ("plugins", "dgm") and not (path / "plugins" / "dgm").is_dir()
    return path if is_bulk else path / "plugins" / "dgm"


def nothing_in(directory: Path) -> str:
    """Why there is nothing to be read in a ``plugins/dgm``, for a person."""
    run = directory.parent.parent
    if not run.exists():
        return f"there is no {run}; give a run directory, the one with the recording's plugins/dgm in it"
    beneath = sorted(path.parent.parent for depth in ("*", "*/*") for path in run.glob(f"{depth}/plugins/dgm"))[:3]
    hint = f"; did you mean {' or '.join(map(str, beneath))}?" if beneath else ""
    return f"{run} has no plugins/dgm, so DynamicsMonitor() recorded nothing there{hint}"


def sessions(directory: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    """Session directories with their inodes, and problems."""
    try:
        with os.scandir(directory) as entries:
            found = list(entries)
    except OSError as error:
        return {}, (f"{directory} cannot be listed: {error.strerror}",)
    ours = [entry for entry in found if SESSION_DIRECTORY.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)]
    problems = (
        () if ours or not found else (f"{directory} holds {found[0].name!r} and nothing that was recorded by DGM",)
    )
    return {entry.name: entry.inode() for entry in ours}, problems


def modified(directory: Path) -> float:
    """When the directory last changed, in seconds since the epoch; 0 where there is none."""
    try:
        return directory.stat().st_mtime
    except OSError:
        return 0.0
