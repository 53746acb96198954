"""The files of a session: how they are named and how many snapshots each holds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

#: Snapshots (or rolled-up points) in one journal or block: a length at which cold reads of scattered units are quick.
PART_SNAPSHOTS: Final = 64
#: Snapshots in a point of level 1, and points of a level in one of the next.
ROLL: Final = 16

SESSION: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
#: Each number of at most nine digits, so that no name asks for more than an int64 holds.
_PART: Final = re.compile(
    r"(?:(?P<plain>journal|block)|(?P<rolled>rollup|rollblock)-(?P<level>[0-9]{1,2}))"
    r"-(?P<segment>[0-9]{5,9})-(?P<part>[0-9]{5,9})"
)


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """Which snapshots a file holds: those of ``level`` (0: as recorded) in ``part`` of a segment."""

    level: int
    segment: int
    part: int

    @property
    def journal(self) -> str:
        """The name of the row-major file that is written first."""
        return f"{f'rollup-{self.level}' if self.level else 'journal'}-{self.segment:05d}-{self.part:05d}"

    @property
    def block(self) -> str:
        """The name of the unit-major file that a full journal becomes."""
        return f"{f'rollblock-{self.level}' if self.level else 'block'}-{self.segment:05d}-{self.part:05d}"

    @property
    def snapshots(self) -> range:
        """The segment's snapshots, in their order of writing, that a full part covers."""
        covered = PART_SNAPSHOTS * ROLL**self.level
        return range(self.part * covered, (self.part + 1) * covered)


def parse(name: str) -> Part | None:
    """The part whose journal or block is called so; None for every other name."""
    match = _PART.fullmatch(name)
    if match is None:
        return None
    part = Part(int(match["level"] or 0), int(match["segment"]), int(match["part"]))
    return part if name in (part.journal, part.block) else None
