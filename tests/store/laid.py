"""Sessions laid out file by file, in any mix that a writer, a crash or a budget may leave; no writer is involved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dgm_tb.moments import DERIVED, STATISTICS, derive
from dgm_tb.records import CONTEXT, Layout, Manifest, RowKey, SessionEnd, Snapshot, Thinned, rolled_layout
from dgm_tb.store import codec, framing, parts
from dgm_tb.store.blockwriter import write_block
from dgm_tb.store.parts import Part
from dgm_tb.store.snapshots import SnapshotEncoder, snapshot_format
from tests.store import made, oracles

#: What becomes of a full part: the names of its files that are there.
Fate = str
JOURNAL, BLOCK, BOTH, THINNED = FATES = ("journal", "block", "both", "thinned")


@dataclass(frozen=True)
class Session:
    """What one rank wrote in one session: its segments' snapshots in the order of writing, each of its layout."""

    segments: Sequence[tuple[Layout, Sequence[Snapshot]]]
    name: str = made.SESSION
    rank: int = 0
    created: float = made.BEGAN
    ended: bool = True
    levels: int = 3


def lay(run: Path, session: Session, fate: Callable[[Part], Fate] = lambda part: JOURNAL) -> Path:
    """Writes the session's files; ``fate`` says what became of each full part. Answers its directory."""
    directory = run / "plugins" / "dgm" / f"{session.name}-rank{session.rank}"
    directory.mkdir(parents=True)
    for number, (layout, snapshots) in enumerate(session.segments):
        manifest = Manifest(layout, made.NODES, session.created + number)
        (directory / f"segment-{number:05d}").write_bytes(framing.frame(codec.encode(manifest, session.created)))
        for level in range(session.levels + 1):
            points = snapshots if level == 0 else rolled(layout, snapshots, level)
            for start in range(0, len(points), parts.PART_SNAPSHOTS):
                part = Part(level, number, start // parts.PART_SNAPSHOTS)
                chunk = points[start : start + parts.PART_SNAPSHOTS]
                full = len(chunk) == parts.PART_SNAPSHOTS
                _lay_part(directory, part, layout, chunk, fate(part) if full else JOURNAL)
    if session.ended:
        end = SessionEnd("finished", session.created)
        (directory / "end").write_bytes(framing.frame(codec.encode(end, session.created)))
    return directory


def rolled(layout: Layout, snapshots: Sequence[Snapshot], level: int) -> list[Snapshot]:
    """The full points of a level, each from the snapshots themselves."""
    each = parts.ROLL**level
    return [_point(layout, snapshots[at : at + each]) for at in range(0, len(snapshots) - each + 1, each)]


def derived(layout: Layout, snapshots: Sequence[Snapshot], key: RowKey, statistic: str) -> NDArray[np.float32]:
    """A statistic of a row ``(snapshots, units)``, from the records; NaN where it is not stored."""
    row = layout.index[key]
    stored = layout.rows[row].channels
    out = []
    for snapshot in snapshots:
        table = np.full((len(STATISTICS), layout.rows[row].units), np.nan, np.float32)
        table[[STATISTICS.index(channel) for channel in stored]] = layout.row_of(snapshot.values, row)
        out.append(derive(table, statistic))
    return np.stack(out)


def _point(layout: Layout, snapshots: Sequence[Snapshot]) -> Snapshot:
    target = rolled_layout(layout)
    values = np.empty(target.starts[-1], np.float32)
    for index, row in enumerate(target.rows):
        out = target.row_of(values, index)
        for statistic in DERIVED:
            if f"{statistic}/mean" in row.channels:
                place = row.channels.index(f"{statistic}/min")
                out[place : place + 4] = oracles.rolled(derived(layout, snapshots, row.key, statistic))
    context = snapshots[-1].context.copy()
    context[CONTEXT.index("first_step")] = snapshots[0].step
    aggregates = np.moveaxis(oracles.rolled(np.stack([snapshot.aggregates for snapshot in snapshots])), 0, -1)
    return Snapshot(snapshots[-1].step, context, values, aggregates.astype(np.float32))


def _lay_part(directory: Path, part: Part, layout: Layout, points: Sequence[Snapshot], fate: Fate) -> None:
    form = snapshot_format(rolled_layout(layout) if part.level else layout)
    encoder = SnapshotEncoder(form.layout)
    journal = directory / part.journal
    journal.write_bytes(b"".join(encoder.encode(point).tobytes() for point in points))
    if fate in (BLOCK, BOTH):
        write_block(directory / part.block, form, journal)
    if fate in (BLOCK, THINNED):
        journal.unlink()
    if fate == THINNED:
        first = int(points[0].context[CONTEXT.index("first_step")]) if part.level else points[0].step
        lost = Thinned(part.level, first, points[-1].step, len(points), "max_disk")
        with open(directory / "thinned", "ab") as file:
            file.write(framing.frame(codec.encode(lost, made.BEGAN)))
