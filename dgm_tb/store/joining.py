"""The ranks of a session side by side: its snapshots, and the rolled-up points that all of them have (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dgm_tb.records import CONTEXT
from dgm_tb.store.levels import Track
from dgm_tb.store.parts import ROLL
from dgm_tb.store.recording import Recording, Written
from dgm_tb.store.remaining import remaining


@dataclass(frozen=True, slots=True)
class JoinedLevel:
    """As `dgm_tb.store.levels.Level`, with the tracks of the ranks that there are."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    each: int  # snapshots a point
    context: NDArray[np.float64]  # (points, CONTEXT), of the lowest rank that has it
    tracks: Mapping[int, Track]

    def before(self, step: float) -> JoinedLevel:
        """The points that end before a step."""
        keep = int(np.searchsorted(self.last, step))
        tracks = {rank: Track(track.part[:keep], track.frame[:keep]) for rank, track in self.tracks.items()}
        return JoinedLevel(self.first[:keep], self.last[:keep], self.each, self.context[:keep], tracks)


@dataclass(frozen=True, slots=True)
class _Rank:
    """What remains of one rank; ``first_file`` is where its files begin among the run's."""

    rank: int
    levels: tuple[Written, ...]
    first_file: int


@dataclass(frozen=True, slots=True)
class Joined:
    """A session's levels from 0 up; ``held_back``: more snapshots wait for a rank; ``rewound`` were abandoned."""

    levels: tuple[JoinedLevel, ...]
    held_back: bool
    rewound: int


def join(recordings: Sequence[Recording], first_files: Sequence[int], frontier: float) -> Joined:
    """The ranks' points up to step ``frontier``; ``first_files`` say where each rank's files begin among the run's.

    A snapshot is there if any rank has it. A point is there if every rank that has anything in its steps has a point of
    just the same steps, so that a rolled-up number never lacks a rank.
    """
    ranks, rewound = [], 0
    for recording, first_file in zip(recordings, first_files, strict=True):
        keeps = remaining(recording.levels)
        rewound += int(np.count_nonzero(~keeps[0]))
        levels = tuple(_ascending(level, keep) for level, keep in zip(recording.levels, keeps, strict=True))
        ranks.append(_Rank(recording.rank, levels, first_file))
    snapshots = _snapshots(ranks)
    shown = _until(snapshots, frontier)
    rolled = [_until(_points(ranks, level), frontier) for level in range(1, max(len(rank.levels) for rank in ranks))]
    return Joined((shown, *rolled), len(shown.last) < len(snapshots.last), rewound)


def _until(level: JoinedLevel, frontier: float) -> JoinedLevel:
    return level.before(np.nextafter(frontier, np.inf))


def _ascending(level: Written, keep: NDArray[np.bool_]) -> Written:
    """What remains ascends in the order of writing already."""
    return Written(
        level.begin[keep], level.end[keep], level.first[keep], level.last[keep],
        level.context[keep], level.part[keep], level.frame[keep],
    )  # fmt: skip


def _snapshots(ranks: Sequence[_Rank]) -> JoinedLevel:
    steps = np.unique(np.concatenate([rank.levels[0].last for rank in ranks]))
    return _joined(ranks, 0, steps, steps)


def _points(ranks: Sequence[_Rank], level: int) -> JoinedLevel:
    of = [rank.levels[level] for rank in ranks if level < len(rank.levels)]
    pairs = np.unique(np.concatenate([np.stack([points.first, points.last], axis=1) for points in of]), axis=0)
    good = np.ones(len(pairs), bool)
    for rank in ranks:
        own = rank.levels[level] if level < len(rank.levels) else None
        has = _matches(own, pairs)[0] if own is not None else np.zeros(len(pairs), bool)
        good &= has | ~_touches(rank, pairs)
    return _joined(ranks, level, pairs[good, 0], pairs[good, 1])


def _touches(rank: _Rank, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the rank has anything in each stretch of steps."""
    touched = np.zeros(len(pairs), bool)
    for points in rank.levels:
        touched |= np.searchsorted(points.last, pairs[:, 0]) < np.searchsorted(points.first, pairs[:, 1], "right")
    return touched


def _matches(points: Written, pairs: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which pairs of first and last step a rank has, and where."""
    if not len(points.last):
        return np.zeros(len(pairs), bool), np.zeros(len(pairs), np.int64)
    at = np.minimum(np.searchsorted(points.last, pairs[:, 1]), len(points.last) - 1)
    return (points.first[at] == pairs[:, 0]) & (points.last[at] == pairs[:, 1]), at


def _joined(ranks: Sequence[_Rank], level: int, first: NDArray[np.int64], last: NDArray[np.int64]) -> JoinedLevel:
    pairs = np.stack([first, last], axis=1)
    context = np.full((len(pairs), len(CONTEXT)), np.nan)
    tracks = {}
    for rank in reversed(ranks):  # the lowest rank's context stays
        part, frame = np.full((2, len(pairs)), -1)
        if level < len(rank.levels):
            points = rank.levels[level]
            has, at = _matches(points, pairs)
            part[has] = points.part[at[has]] + rank.first_file
            frame[has] = points.frame[at[has]]
            context[has] = points.context[at[has]]
        tracks[rank.rank] = Track(part, frame)
    return JoinedLevel(first, last, ROLL**level, context, tracks)
