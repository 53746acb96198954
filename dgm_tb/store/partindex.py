"""The parts of a session: journals followed as they grow, and the blocks that they become."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dgm_tb.errors import FormatError
from dgm_tb.records import CONTEXT, rolled_layout
from dgm_tb.store.journals import Heads, JournalFollower
from dgm_tb.store.partfiles import PartFile, open_block
from dgm_tb.store.parts import PART_SNAPSHOTS, ROLL, Part, parse
from dgm_tb.store.recording import Written
from dgm_tb.store.snapshots import SnapshotFormat, snapshot_format

#: More snapshots than this are in no segment; what file names claim beyond it would not fit int64 further on.
_MOST_SNAPSHOTS: Final = 1 << 40
_FIRST_STEP: Final = CONTEXT.index("first_step")

#: `parse`, remembered: a run that is looked at every two seconds has thousands of names.
part_of = lru_cache(maxsize=1 << 15)(parse)


@dataclass(slots=True)
class _Followed:
    """A part: its journal, read as it grows, and once it has become a block what that says."""

    form: SnapshotFormat
    journal: JournalFollower
    heads: Heads
    blocked: bool = False
    trouble: str | None = None  # why the block cannot be read


class PartIndex:
    """Follows the parts of one session's directory; not thread safe. ``identity`` is that of its parts."""

    def __init__(self, path: Path, pool: Executor) -> None:
        self._path, self._pool = path, pool
        self._followed: dict[Part, _Followed] = {}
        self._rolled: dict[int, SnapshotFormat | None] = {}  # a segment's rollups' form
        self._orphans: tuple[str, ...] = ()

    def lost(self, sizes: Mapping[str, int]) -> bool:
        """Whether a journal has less than was read of it: somebody put other files in the place of these."""
        return any(
            not followed.blocked and sizes.get(part.journal, followed.journal.known_size) < followed.journal.known_size
            for part, followed in self._followed.items()
        )

    def missing(self, names: Mapping[str, int]) -> bool:
        """Whether a part of which something is known is in no file: thinned, or between two names while we listed."""
        return any(part.journal not in names and part.block not in names for part in self._followed)

    def refresh(self, sizes: Mapping[str, int], layouts: Mapping[int, SnapshotFormat]) -> bool:
        """Reads what is new in a listing of the directory; whether there was anything.

        ``layouts`` are the segments' forms. Raises FileNotFoundError where a file went meanwhile: list again.
        """
        there = {part for name in sizes if (part := part_of(name)) is not None and _plausible(part)}
        gone = [part for part in self._followed if part not in there]
        for part in gone:
            del self._followed[part]
        orphans = []
        new_blocks = []
        changed = bool(gone)
        for part in there:
            form = self._form(part, layouts)
            if form is None:
                orphans.append(part.journal if part.journal in sizes else part.block)
                continue
            followed = self._followed.get(part)
            if followed is None:
                journal = JournalFollower(self._path / part.journal, form)
                followed = self._followed[part] = _Followed(form, journal, journal.heads)
            if part.block in sizes and not followed.blocked and followed.trouble is None:
                new_blocks.append((part, followed))
            elif part.journal in sizes and not followed.blocked:
                changed = self._grow(followed, sizes[part.journal]) or changed
        for part, followed in self._open(new_blocks):
            changed = True
            if followed.trouble is not None and part.journal in sizes:  # what it was made of is still there
                self._grow(followed, sizes[part.journal])
        self._orphans = tuple(sorted(orphans))
        return changed

    def written(self, identity: int) -> tuple[tuple[PartFile, ...], tuple[Written, ...]]:
        """All parts with something readable, and the snapshots and points in them by level from 0 up."""
        parts = [part for part in sorted(self._followed) if len(self._followed[part].heads.frames)]
        segments = {segment: index for index, segment in enumerate(sorted({part.segment for part in parts}))}
        files = tuple(
            PartFile(
                str(self._path),
                part,
                self._followed[part].form,
                hash((str(self._path), identity, part)),
                self._followed[part].blocked,
            )
            for part in parts
        )
        highest = max((part.level for part in parts), default=0)
        levels = []
        for level in range(highest + 1):
            chosen = [(index, part) for index, part in enumerate(parts) if part.level == level]
            heads = [self._followed[part].heads for _, part in chosen]
            levels.append(_written(level, chosen, heads, segments))
        return files, tuple(levels)

    def problems(self) -> Iterator[str]:
        if self._orphans:
            yield f"{self._path.name}: {', '.join(self._orphans[:3])} cannot be read without a manifest"
        damaged = sum(followed.journal.damaged for followed in self._followed.values() if not followed.blocked)
        if damaged:
            yield f"{self._path.name}: damaged snapshots, skipped: {damaged}"
        for part, followed in sorted(self._followed.items()):
            if followed.trouble:
                yield f"{self._path.name}/{part.block}: {followed.trouble}"
            elif followed.journal.trouble and not followed.blocked:
                yield f"{self._path.name}/{part.journal}: {followed.journal.trouble}"

    def _form(self, part: Part, layouts: Mapping[int, SnapshotFormat]) -> SnapshotFormat | None:
        plain = layouts.get(part.segment)
        if plain is None or not part.level:
            return plain
        if part.segment not in self._rolled:
            try:
                self._rolled[part.segment] = snapshot_format(rolled_layout(plain.layout))
            except FormatError:  # longer than any frame: such a layout has no rollups
                self._rolled[part.segment] = None
        return self._rolled[part.segment]

    def _grow(self, followed: _Followed, size: int) -> bool:
        changed = followed.journal.advance(size)
        followed.heads = followed.journal.heads
        return changed

    def _open(self, found: Sequence[tuple[Part, _Followed]]) -> Sequence[tuple[Part, _Followed]]:
        """Reads the directories of new blocks, many at a time: from a cold disk each is a wait."""

        def read(pair: tuple[Part, _Followed]) -> None:
            part, followed = pair
            try:
                block = open_block(str(self._path / part.block), followed.form)
            except FileNotFoundError:
                raise
            except (FormatError, OSError) as error:
                followed.trouble = str(error)
            else:
                followed.heads = Heads(block.steps, block.context, np.arange(len(block.steps)))
                followed.blocked = True

        for _ in self._pool.map(read, found) if len(found) > 1 else map(read, found):
            pass
        return found


def _plausible(part: Part) -> bool:
    return part.snapshots.stop <= _MOST_SNAPSHOTS


def _written(
    level: int, parts: Sequence[tuple[int, Part]], heads: Sequence[Heads], segments: Mapping[int, int]
) -> Written:
    lengths = [len(each.frames) for each in heads]
    frame = _joined([each.frames for each in heads])
    context = np.concatenate([each.context for each in heads]) if heads else np.empty((0, len(CONTEXT)))
    last = _joined([each.steps for each in heads])
    before = np.repeat([part.part * PART_SNAPSHOTS for _, part in parts], lengths).astype(np.int64)
    segment = np.repeat([segments[part.segment] for _, part in parts], lengths).astype(np.int64)
    begin = segment * _MOST_SNAPSHOTS + (before + frame) * ROLL**level
    first = last
    good = np.ones(len(last), bool)
    if level:
        begun = context[:, _FIRST_STEP]
        good = np.abs(begun) < 2.0**62  # NaN fails too: a frame that says nothing
        first = np.where(good, begun, 0).astype(np.int64)
        good &= first <= last
    return Written(
        begin=begin[good],
        end=begin[good] + ROLL**level,
        first=first[good],
        last=last[good],
        context=context[good],
        part=np.repeat([index for index, _ in parts], lengths).astype(np.int64)[good],
        frame=frame[good],
    )


def _joined(arrays: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(arrays) if arrays else np.empty(0, np.int64)
