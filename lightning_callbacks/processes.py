"""Which process of a distributed training this is, and the name that its processes give their recording."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch.distributed as dist

from dgm_tb.store.writer import new_session

_log = logging.getLogger("lightning_callbacks")

#: How many recordings this process has opened in a directory: the processes open theirs in the same order.
_opened: Final[Counter[str]] = Counter()


@dataclass(frozen=True, slots=True)
class Process:
    """This process is ``rank`` of ``ranks``; those that record into the same directory record one ``session``."""

    session: str
    rank: int = 0
    ranks: int = 1


def this_process(directory: Path, clock: Callable[[], float]) -> Process:
    """Where `torch.distributed` is initialized, one of its processes; else the only one.

    The first to come names the recording, in the key-value store at which the processes met. No collective operation:
    where only some of them record, that would wait for ever, or meet one of the training's.
    """
    session = new_session(clock)
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return Process(session)
    place = str(directory.absolute())
    number, _opened[place] = _opened[place], _opened[place] + 1
    try:
        store = dist.distributed_c10d._get_default_store()
        session = store.compare_set(f"dgm-tb/{number}/{place}", "", session).decode()
    except Exception as error:  # a back end without such a store
        _log.warning("DGM: each rank records a session of its own, since they have no store: %s", error)
    return Process(session, dist.get_rank(), dist.get_world_size())
