"""Giving up full parts whose snapshots survive rolled up: which go first, and the note that is left of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from dgm_tb.errors import FormatError
from dgm_tb.records import CONTEXT, DEEP, Layout, Thinned, rolled_layout
from dgm_tb.store import codec, framing
from dgm_tb.store.blocks import Block
from dgm_tb.store.manifests import read_manifest
from dgm_tb.store.parts import PART_SNAPSHOTS, ROLL, Part, parse
from dgm_tb.store.snapshots import SnapshotFormat, read_head, snapshot_format

_FIRST_STEP: Final = CONTEXT.index("first_step")
#: A file that is not finished and did not grow for so many seconds is one that a crash left: the greatest take some.
_LEFT_BEHIND: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Extent:
    """The steps that a part covers, and how many snapshots or points it has."""

    first_step: int
    last_step: int
    snapshots: int


@dataclass(frozen=True, slots=True)
class Held:
    """A full part that a higher level covers: ``size`` bytes in the file ``name`` of a session's ``directory``."""

    directory: Path
    name: str
    part: Part
    size: int
    extent: Extent


class Shelf:
    """The parts of one session directory; what was read of a part is kept, for parts do not change."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._layouts: dict[int, Layout | None] = {}
        self._extents: dict[Part, Extent | None] = {}

    def size(self) -> int:
        """Bytes of all files."""
        return sum(_sizes(self.directory).values()) + _deep_size(self.directory)

    def left_behind(self, now: float) -> dict[Path, int]:
        """The unfinished files that a crash left, ``now`` in seconds since the epoch, and their bytes."""
        left = {}
        for path in self.directory.glob(".*"):
            with suppress(FileNotFoundError):  # it was finished after it was listed
                status = path.stat(follow_symlinks=False)
                if parse(path.name[1:]) and status.st_mtime < now - _LEFT_BEHIND:
                    left[path] = status.st_size
        return left

    def held(self) -> list[Held]:
        """What may be given up; parts that cannot be read are none of it."""
        sizes = _sizes(self.directory)
        # In this order a block comes after its journal, and counts.
        found = {part: name for name in sorted(sizes, reverse=True) if (part := parse(name))}
        held = []
        for part in sorted(found):
            if self._full(part, sizes) and self._covered(part, sizes) and (extent := self._extent(part, found[part])):
                size = sizes.get(part.journal, 0) + sizes.get(part.block, 0)
                held.append(Held(self.directory, found[part], part, size, extent))
        return held

    def _full(self, part: Part, sizes: dict[str, int]) -> bool:
        return part.block in sizes or self._reaches(part, PART_SNAPSHOTS, sizes)

    def _reaches(self, part: Part, frames: int, sizes: dict[str, int]) -> bool:
        """Whether a part is there with so many frames at least."""
        if part.block in sizes:
            return True
        form = self._form(part)
        return form is not None and sizes.get(part.journal, 0) >= frames * form.length

    def _covered(self, part: Part, sizes: dict[str, int]) -> bool:
        """Whether a point of a higher level, that is still there, covers the part's last snapshot."""
        last = part.snapshots.stop - 1
        highest = max((known.level for name in sizes if (known := parse(name))), default=0)
        for level in range(part.level + 1, highest + 1):
            number, frame = divmod(last // ROLL**level, PART_SNAPSHOTS)
            if self._reaches(Part(level, part.segment, number), frame + 1, sizes):
                return True
        return False

    def _extent(self, part: Part, name: str) -> Extent | None:
        if part not in self._extents:
            try:
                self._extents[part] = self._read(part, name)
            except (OSError, FormatError, ValueError):  # damaged; ValueError: a first step that is no number
                self._extents[part] = None
        return self._extents[part]

    def _read(self, part: Part, name: str) -> Extent | None:
        form = self._form(part)
        if form is None:
            return None
        if name == part.block:
            block = Block.open(str(self.directory / name), form)
            ends = (int(block.steps[0]), block.context[0, _FIRST_STEP]), int(block.steps[-1])
        else:
            ends = _journal_ends(self.directory / name, form)
        (step, first), last = ends
        return Extent(int(first) if part.level else step, last, PART_SNAPSHOTS)

    def _form(self, part: Part) -> SnapshotFormat | None:
        """The form of a part's frames, by its segment's manifest."""
        if part.segment not in self._layouts:
            manifest = read_manifest(self.directory / f"segment-{part.segment:05d}")
            self._layouts[part.segment] = manifest.layout if manifest else None
        layout = self._layouts[part.segment]
        if layout is None:
            return None
        return snapshot_format(rolled_layout(layout) if part.level else layout)


def choose(held: Sequence[Held], need: int, most: int, protected: Sequence[tuple[int, int]]) -> list[Held]:
    """What to give up to free ``need`` bytes of a budget of ``most``, in this order.

    The oldest part of the lowest level that takes more than its share: a quarter of the budget at full resolution, an
    eighth at level 1, and so on, so that a run of any length keeps its newest part whole and all of it coarsely. Where
    no level does, the lowest. Parts that touch the ``protected`` stretches of steps come after all others.
    """
    chosen: list[Held] = []
    held = sorted(held, key=_age)
    taken = {level: sum(part.size for part in held if part.part.level == level) for level in _levels(held)}
    for guarded in (False, True):
        waiting = [part for part in held if _touches(part.extent, protected) == guarded]
        while need > 0 and waiting:
            levels = _levels(waiting)
            level = next((level for level in levels if taken[level] > most >> (level + 2)), levels[0])
            oldest = next(part for part in waiting if part.part.level == level)
            waiting.remove(oldest)
            chosen.append(oldest)
            taken[level] -= oldest.size
            need -= oldest.size
    return chosen


def give_up(parts: Sequence[Held], reason: str) -> list[Thinned]:
    """Deletes ``parts``, each after a note of it stands in its session's file ``thinned``. Raises `OSError`."""
    notes = []
    ordered = sorted(parts, key=lambda held: (held.directory, held.part))
    for (directory, level), group in groupby(ordered, key=lambda held: (held.directory, held.part.level)):
        for stretch in _stretches(list(group)):
            extents = [held.extent for held in stretch]
            notes.append(
                Thinned(
                    level,
                    min(extent.first_step for extent in extents),
                    max(extent.last_step for extent in extents),
                    sum(extent.snapshots for extent in extents),
                    reason,
                )
            )
            _note(directory / "thinned", notes[-1])
            for held in stretch:
                for name in (held.part.journal, held.part.block):
                    (directory / name).unlink(missing_ok=True)
    return notes


def sessions(bulk: Path, rank: int | None = None) -> list[Path]:
    """The session directories in ``bulk``, of one rank or all, the oldest first."""
    ending = "-rank*" if rank is None else f"-rank{rank}"
    return sorted(path for path in bulk.glob(f"*{ending}") if path.is_dir() and not path.is_symlink())


def _stretches(parts: list[Held]) -> Iterator[list[Held]]:
    """Parts of one level that follow each other."""
    begin = 0
    for index in range(1, len(parts) + 1):
        if index == len(parts) or parts[index].part != _next(parts[index - 1].part):
            yield parts[begin:index]
            begin = index


def _next(part: Part) -> Part:
    return Part(part.level, part.segment, part.part + 1)


def _age(held: Held) -> tuple[str, int, int, str]:
    """Older parts first, those of the ranks of a session side by side: what one rank has alone is of little use."""
    name = held.directory.name
    return name.rpartition("-rank")[0], held.part.segment, held.part.snapshots.start, name


def _levels(held: Sequence[Held]) -> list[int]:
    return sorted({part.part.level for part in held})


def _touches(extent: Extent, stretches: Sequence[tuple[int, int]]) -> bool:
    return any(first <= extent.last_step and extent.first_step <= last for first, last in stretches)


def _journal_ends(path: Path, form: SnapshotFormat) -> tuple[tuple[int, float], int]:
    """The first snapshot's step and ``first_step``, and the last one's step."""
    with open(path, "rb", buffering=0) as file:
        heads = []
        for frame in (0, PART_SNAPSHOTS - 1):
            file.seek(frame * form.length)
            heads.append(read_head(form, file.read(len(form.head))))
    first, last = heads
    if first is None or last is None:
        raise FormatError(f"{path}: a snapshot is damaged")
    return (first.step, first.context[_FIRST_STEP]), last.step


def _note(path: Path, note: Thinned) -> None:
    """Adds ``note`` to the file by replacing it, for it may be that of a session that ended long ago."""
    temporary = path.with_name(f".{path.name}")
    before = path.read_bytes() if path.exists() else b""
    temporary.write_bytes(before + framing.frame(codec.encode(note, 0.0)))
    os.replace(temporary, path)


def _deep_size(directory: Path) -> int:
    """Bytes of the deep snapshots, a directory each."""
    with suppress(OSError), os.scandir(directory / DEEP) as entries:
        return sum(sum(_sizes(Path(entry.path)).values()) for entry in entries if entry.is_dir(follow_symlinks=False))
    return 0


def _sizes(directory: Path) -> dict[str, int]:
    sizes = {}
    with suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # it went after it was listed
                sizes[entry.name] = entry.stat(follow_symlinks=False).st_size
    return sizes
