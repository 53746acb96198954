"""Recordings → one run: sessions in order, abandoned steps replaced, the ranks of a session side by side (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.records import CONTEXT, Graph, Manifest, Node, RowKey, StepTable
from dgm_tb.store.index import Recording
from dgm_tb.store.journals import Journal
from dgm_tb.store.losses import Losses, before, combine, losses

#: A rank that wrote nothing for so many seconds no longer holds back the others' snapshots.
_PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Track:
    """Where one rank's part of each snapshot stands: ``(snapshots,)`` each, -1 where it has none."""

    journal: NDArray[np.int64]
    frame: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Timeline:
    """A run as it could be read at one moment."""

    steps: NDArray[np.int64]  # (snapshots,), ascending
    context: NDArray[np.float64]  # (snapshots, CONTEXT), of the lowest rank that has the step
    tracks: tuple[Track, ...]  # by rank
    journals: tuple[Journal, ...]
    losses: Losses
    nodes: tuple[Node, ...]
    keys: Mapping[RowKey, int]
    graph: Graph | None
    graph_id: str | None
    started: float
    last_wall_time: float
    end_reason: str | None
    held_back: bool  # snapshots that wait for another rank
    replaced: int  # snapshots and steps that later sessions abandoned
    problems: tuple[str, ...]


def empty_timeline(modified: float) -> Timeline:
    """A run of which nothing can be read; ``modified`` is when its directory last changed."""
    return Timeline(
        steps=np.empty(0, np.int64),
        context=np.empty((0, len(CONTEXT))),
        tracks=(),
        journals=(),
        losses=losses(combine(())),
        nodes=(),
        keys={},
        graph=None,
        graph_id=None,
        started=modified,
        last_wall_time=modified,
        end_reason=None,
        held_back=False,
        replaced=0,
        problems=(),
    )


@dataclass(frozen=True, slots=True)
class _Session:
    """The ranks of a session joined: as in `Timeline`, with journals numbered over the whole run."""

    steps: NDArray[np.int64]
    context: NDArray[np.float64]
    tracks: Mapping[int, Track]
    table: StepTable
    held_back: bool
    replaced: int


def timeline(recordings: Sequence[Recording], now: float) -> Timeline:
    """The run that ``recordings`` make; ``now`` in seconds since the epoch. At least one recording."""
    ordered = sorted(recordings, key=lambda recording: (recording.session, recording.rank))
    groups = [tuple(group) for _, group in groupby(ordered, key=lambda recording: recording.session)]
    groups.sort(key=lambda ranks: (min(recording.created for recording in ranks), ranks[0].session))
    journals = tuple(journal for ranks in groups for recording in ranks for journal in recording.journals)
    sessions, first_journal = [], 0
    for ranks in groups:
        sessions.append(_join(ranks, first_journal, now))
        first_journal += sum(len(recording.journals) for recording in ranks)
    cut, abandoned = _cut(sessions)
    tables = [session.table for session in cut]
    newest_first = [recording for ranks in reversed(groups) for recording in ranks]
    graph, graph_id = next(((of.graph, of.graph_id) for of in newest_first if of.graph is not None), (None, None))
    manifests = [manifest for recording in newest_first for manifest in reversed(recording.manifests)]
    keys, conflicts = _keys(manifests)
    return Timeline(
        steps=np.concatenate([session.steps for session in cut]),
        context=np.concatenate([session.context for session in cut]),
        tracks=_tracks(cut),
        journals=journals,
        losses=losses(combine(tables)),
        nodes=_nodes(graph, manifests),
        keys=keys,
        graph=graph,
        graph_id=graph_id,
        started=groups[0][0].created,
        last_wall_time=max(recording.last_wall_time for recording in recordings),
        end_reason=groups[-1][0].end.reason if groups[-1][0].end is not None else None,
        held_back=any(session.held_back for session in cut),
        replaced=abandoned + sum(session.replaced for session in sessions),
        problems=conflicts,
    )


def _join(ranks: Sequence[Recording], first_journal: int, now: float) -> _Session:
    """A session's ranks side by side. A step counts once all ranks have reached it, or nobody writes any more."""
    kept = [_last_written(recording.steps) for recording in ranks]
    union = np.unique(np.concatenate([recording.steps[keep] for recording, keep in zip(ranks, kept, strict=True)]))
    steps = union[union <= _frontier(ranks, now)]
    context = np.full((len(steps), len(CONTEXT)), np.nan)
    tracks = {}
    for recording, keep in reversed([*zip(ranks, kept, strict=True)]):  # the lowest rank's context stays
        has, here = np.isin(steps, recording.steps[keep]), np.isin(recording.steps[keep], steps)
        journal, frame = np.full(len(steps), -1), np.full(len(steps), -1)
        later = sum(len(other.journals) for other in ranks if other.rank < recording.rank)
        journal[has] = recording.journal[keep][here] + first_journal + later
        frame[has] = recording.frame[keep][here]
        context[has] = recording.context[keep][here]
        tracks[recording.rank] = Track(journal, frame)
    table = next((recording.table for recording in ranks if len(recording.table.values)), ranks[0].table)
    rewound = sum(int(np.count_nonzero(~keep)) for keep in kept)
    return _Session(steps, context, tracks, table, len(steps) < len(union), rewound)


def _frontier(ranks: Sequence[Recording], now: float) -> float:
    """The last step that every rank has which is still recording; snapshots beyond it could still gain a rank."""
    busy = [rank for rank in ranks if rank.end is None and now - rank.last_wall_time <= _PATIENCE]
    return min((float(rank.steps[-1]) if len(rank.steps) else -math.inf for rank in busy), default=math.inf)


def _last_written(steps: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which snapshots ``(snapshots,)`` remain, in writing order: those that nothing at or before their step follows."""
    remains = np.ones(len(steps), bool)
    remains[:-1] = steps[:-1] < np.minimum.accumulate(steps[:0:-1])[::-1]
    return remains


def _cut(sessions: Sequence[_Session]) -> tuple[list[_Session], int]:
    """The sessions, each up to the first step of those after it, and how many snapshots and steps that removed."""
    cut: list[_Session] = []
    end, abandoned = math.inf, 0
    for session in reversed(sessions):
        keep = int(np.searchsorted(session.steps, end))
        table = before(session.table, end)
        abandoned += len(session.steps) - keep + len(session.table.values) - len(table.values)
        tracks = {rank: Track(track.journal[:keep], track.frame[:keep]) for rank, track in session.tracks.items()}
        first = (*session.steps[:1], *session.table.values[:1, 0])
        end = min(end, *(float(step) for step in first)) if first else end
        steps, context = session.steps[:keep], session.context[:keep]
        cut.append(replace(session, steps=steps, context=context, tracks=tracks, table=table))
    return cut[::-1], abandoned


def _tracks(sessions: Sequence[_Session]) -> tuple[Track, ...]:
    def joined(rank: int) -> Track:
        none = [Track(*np.full((2, len(session.steps)), -1)) for session in sessions]
        parts = [session.tracks.get(rank, missing) for session, missing in zip(sessions, none, strict=True)]
        return Track(np.concatenate([part.journal for part in parts]), np.concatenate([part.frame for part in parts]))

    return tuple(joined(rank) for rank in sorted({rank for session in sessions for rank in session.tracks}))


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
