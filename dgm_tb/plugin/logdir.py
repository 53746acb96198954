"""TensorBoard's ``--logdir`` and ``--logdir_spec`` → the directories to look for runs in."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

# tensorboard/backend/event_processing/data_ingester.py reads a specification in the same way.
_URL: Final = re.compile("[a-zA-Z][0-9a-zA-Z.]*://.*")


def roots(logdir: str, spec: str) -> Mapping[str, Path]:
    """Directories by the prefix of their runs' names: ``""`` for ``logdir``, the given names for ``spec``.

    ``spec`` is ``name:path,name2:path2,path3``; an unnamed path has the prefix ``""``, a second unnamed one its own
    text, so that no run hides another. URLs are left out: only local directories can be read.
    """
    if logdir:
        return {} if _URL.match(logdir) else {"": _path(logdir)}
    found: dict[str, Path] = {}
    for part in filter(None, spec.split(",")):
        name, path = _named(part)
        if not _URL.match(path):
            found[path if name in found else name] = _path(path)
    return found


def _named(part: str) -> tuple[str, str]:
    """``name:path`` apart; ``/foo:bar``, ``C:\\foo`` and ``s3://foo`` have no name."""
    if ":" in part and part[0] != "/" and not _URL.match(part) and not os.path.splitdrive(part)[0]:
        name, _, path = part.partition(":")
        return name, path
    return "", part


def _path(text: str) -> Path:
    return Path(os.path.realpath(os.path.expanduser(text)))
