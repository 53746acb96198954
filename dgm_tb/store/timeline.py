"""Recordings → one run: sessions in order, abandoned steps replaced, the ranks of a session side by side (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.records import CONTEXT, Graph, Manifest, Node, RowKey, StepTable, Thinned
from dgm_tb.store.joining import JoinedLevel, join
from dgm_tb.store.levels import Level, Track
from dgm_tb.store.losses import Losses, before, combine, losses
from dgm_tb.store.partfiles import PartFile
from dgm_tb.store.parts import ROLL
from dgm_tb.store.recording import Recording

#: A rank that wrote nothing for so many seconds no longer holds back the others' snapshots.
_PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Timeline:
    """A run as it could be read at one moment."""

    levels: tuple[Level, ...]  # from 0 up, at least that one; tracks by rank
    context: NDArray[np.float64]  # (snapshots, CONTEXT), of the lowest rank that has the step
    files: tuple[PartFile, ...]
    losses: Losses
    nodes: tuple[Node, ...]
    keys: Mapping[RowKey, int]
    graph: Graph | None
    graph_id: str | None
    schedule: Mapping[str, int | str]  # the newest
    started: float
    last_wall_time: float
    end_reason: str | None
    ranks: int
    thinned: tuple[Thinned, ...]  # ascending
    held_back: bool  # snapshots that wait for another rank
    replaced: int  # snapshots and steps that later sessions abandoned
    problems: tuple[str, ...]

    @property
    def steps(self) -> NDArray[np.int64]:
        """``(snapshots,)``, ascending."""
        return self.levels[0].last

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The snapshots' places by rank."""
        return self.levels[0].tracks


def empty_timeline(modified: float) -> Timeline:
    """A run of which nothing can be read; ``modified`` is when its directory last changed."""
    none = np.empty(0, np.int64)
    return Timeline(
        levels=(Level(none, none, none, ()),),
        context=np.empty((0, len(CONTEXT))),
        files=(),
        losses=losses(combine(())),
        nodes=(),
        keys={},
        graph=None,
        graph_id=None,
        schedule={},
        started=modified,
        last_wall_time=modified,
        end_reason=None,
        ranks=0,
        thinned=(),
        held_back=False,
        replaced=0,
        problems=(),
    )


@dataclass(frozen=True, slots=True)
class _Session:
    """The ranks of a session joined."""

    levels: tuple[JoinedLevel, ...]
    table: StepTable
    thinned: tuple[Thinned, ...]
    held_back: bool
    replaced: int

    @property
    def first(self) -> float:
        """The first step of which anything is known; infinite where nothing is."""
        first = [*(level.first[:1] for level in self.levels), self.table.values[:1, 0]]
        return min(np.concatenate(first).tolist(), default=math.inf)


def timeline(recordings: Sequence[Recording], now: float) -> Timeline:
    """The run that ``recordings`` make; ``now`` in seconds since the epoch. At least one recording."""
    ordered = sorted(recordings, key=lambda recording: (recording.session, recording.rank))
    groups = [tuple(group) for _, group in groupby(ordered, key=lambda recording: recording.session)]
    groups.sort(key=_place)
    written = [recording for ranks in groups for recording in ranks]
    first_files = iter(accumulate((len(recording.files) for recording in written), initial=0))
    sessions = [_join(ranks, [next(first_files) for _ in ranks], now) for ranks in groups]
    cut, abandoned = _cut(sessions)
    newest_first = [recording for ranks in reversed(groups) for recording in ranks]
    graph, graph_id = next(((of.graph, of.graph_id) for of in newest_first if of.graph is not None), (None, None))
    manifests = [manifest for recording in newest_first for manifest in reversed(recording.manifests)]
    keys, conflicts = _keys(manifests)
    return Timeline(
        levels=_levels(cut),
        context=np.concatenate([session.levels[0].context for session in cut]),
        files=tuple(file for recording in written for file in recording.files),
        losses=losses(combine([session.table for session in cut])),
        nodes=_nodes(graph, manifests),
        keys=keys,
        graph=graph,
        graph_id=graph_id,
        schedule=manifests[0].schedule if manifests else {},
        started=groups[0][0].created,
        last_wall_time=max(recording.last_wall_time for recording in recordings),
        end_reason=groups[-1][0].end.reason if groups[-1][0].end is not None else None,
        ranks=max(len(ranks) for ranks in groups),
        thinned=tuple(sorted((lost for session in cut for lost in session.thinned), key=lambda lost: lost.first_step)),
        held_back=any(session.held_back for session in cut),
        replaced=abandoned + sum(session.replaced for session in sessions),
        problems=conflicts,
    )


def _place(ranks: Sequence[Recording]) -> tuple[int, float, str]:
    """Sorts a session among the others: as they were counted, since a clock may have been put back between them."""
    sequence = max(recording.sequence for recording in ranks)
    return sequence, min(recording.created for recording in ranks), ranks[0].session


def _join(ranks: Sequence[Recording], first_files: Sequence[int], now: float) -> _Session:
    """A session's ranks side by side. A step counts once all ranks have reached it, or nobody writes any more."""
    joined = join(ranks, first_files, _frontier(ranks, now))
    table = next((recording.table for recording in ranks if len(recording.table.values)), ranks[0].table)
    thinned = tuple(dict.fromkeys(lost for recording in ranks for lost in recording.thinned))
    return _Session(joined.levels, table, thinned, joined.held_back, joined.rewound)


def _frontier(ranks: Sequence[Recording], now: float) -> float:
    """The last step that every rank has which is still recording; snapshots beyond it could still gain a rank.

    A rank whose clock is far off in either direction may be a dead one, and must not hold the others back for ever.
    """
    busy = [rank for rank in ranks if rank.end is None and abs(now - rank.last_wall_time) <= _PATIENCE]
    return min((float(rank.steps[-1]) if len(rank.steps) else -math.inf for rank in busy), default=math.inf)


def _cut(sessions: Sequence[_Session]) -> tuple[list[_Session], int]:
    """The sessions, each up to the first step of those after it, and how many snapshots and steps that removed."""
    cut: list[_Session] = []
    end, abandoned = math.inf, 0
    for session in reversed(sessions):
        table = before(session.table, end)
        levels = tuple(level.before(end) for level in session.levels)
        abandoned += len(session.levels[0].last) - len(levels[0].last) + len(session.table.values) - len(table.values)
        thinned = tuple(
            replace(lost, last_step=int(min(lost.last_step, end - 1)))
            for lost in session.thinned
            if lost.first_step < end
        )
        cut.append(replace(session, levels=levels, table=table, thinned=thinned))
        end = min(end, session.first)
    return cut[::-1], abandoned


def _levels(sessions: Sequence[_Session]) -> tuple[Level, ...]:
    """The sessions' levels end to end, each with a track for every rank of the run."""
    ranks = sorted({rank for session in sessions for rank in session.levels[0].tracks})
    return tuple(
        _level([session.levels[number] for session in sessions if number < len(session.levels)], number, ranks)
        for number in range(max(len(session.levels) for session in sessions))
    )


def _level(parts: Sequence[JoinedLevel], number: int, ranks: Sequence[int]) -> Level:
    def joined(rank: int) -> Track:
        missing = [Track(*np.full((2, len(part.last)), -1)) for part in parts]
        tracks = [part.tracks.get(rank, none) for part, none in zip(parts, missing, strict=True)]
        return Track(
            np.concatenate([track.part for track in tracks]), np.concatenate([track.frame for track in tracks])
        )

    last = np.concatenate([part.last for part in parts])
    snapshots = np.full(len(last), ROLL**number)
    return Level(np.concatenate([part.first for part in parts]), last, snapshots, tuple(joined(rank) for rank in ranks))


def _keys(manifests: Iterable[Manifest]) -> tuple[dict[RowKey, int], tuple[str, ...]]:
    """Units by row key, the newest manifest's first; where manifests disagree the newest counts, and it is said."""
    keys: dict[RowKey, int] = {}
    changed: dict[str, None] = {}
    for manifest in manifests:
        for row in manifest.layout.rows:
            if keys.setdefault(row.key, row.units) != row.units:
                changed[row.key.node] = None
    return keys, tuple(f"{node} had another number of units earlier: that is shown as not recorded" for node in changed)


def _nodes(graph: Graph | None, manifests: Sequence[Manifest]) -> tuple[Node, ...]:
    """The graph's nodes, then those that only manifests know; what they list of programs and quantities is joined."""
    nodes: dict[str, Node] = {}
    for node in (*(graph.nodes if graph else ()), *(node for manifest in manifests for node in manifest.nodes)):
        known = nodes.get(node.name)
        if known is None:
            nodes[node.name] = node
        elif known != node:
            nodes[node.name] = replace(
                known,
                units=known.units or node.units,
                programs=_joined(known.programs, node.programs),
                quantities=_joined(known.quantities, node.quantities),
            )
    return tuple(nodes.values())


def _joined(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))
