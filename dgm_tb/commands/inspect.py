"""``dgm-tb inspect``: what a run holds, and what it takes on the disk."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:  # heavy
    import numpy as np
    from numpy.typing import NDArray

    from dgm_tb.commands.census import File, SessionFiles
    from dgm_tb.store.run import Run

#: Nodes and gaps that a person is shown; ``--json`` has them all.
_MOST_LINES: Final = 40
#: Wider than any table: a node's name is there to be copied, and stays whole.
_WIDTH: Final = 10_000


@dataclass(frozen=True, slots=True)
class NodeLine:
    """A node as recorded."""

    name: str
    module_type: str
    units: int
    programs: tuple[str, ...]
    quantities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionLine:
    """A rank of a session; ``snapshots`` counts those on the disk at full resolution, ``end`` is None while it
    records, or where it was killed. Times in seconds since the epoch."""

    session: str
    rank: int
    started: float | None
    end: str | None
    segments: int
    snapshots: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Level:
    """A resolution: a point stands for ``each`` snapshots (1: full resolution)."""

    level: int
    each: int
    points: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Thin:
    """A stretch of steps of which ``level`` was given up to keep the disk budget."""

    level: int
    first_step: int
    last_step: int
    snapshots: int
    reason: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """A run at a glance. ``gaps`` are neighbouring captured steps that lie far apart: (before, after)."""

    directory: str
    snapshots: int
    first_step: int | None
    last_step: int | None
    logged_steps: int
    nodes: tuple[NodeLine, ...]
    rows: int
    units: int  # over all rows
    quantities: dict[str, int]  # rows of each
    levels: tuple[Level, ...]
    deep: tuple[int, ...]  # steps of which weights, batch and program were kept
    bytes: dict[str, int]  # by kind of file
    total_bytes: int
    gaps: tuple[tuple[int, int], ...]
    thinned: tuple[Thin, ...]
    sessions: tuple[SessionLine, ...]
    problems: tuple[str, ...]


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
def inspect(run: Path, as_json: bool) -> None:
    """Show what RUN (a run directory) holds: snapshots, nodes, levels, sessions, gaps and bytes."""
    from dgm_tb.errors import DgmError
    from dgm_tb.store.run import Run

    try:
        with Run(run) as opened:
            found = inspection(opened)
    except (DgmError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2))
    else:
        Console(highlight=False, width=_WIDTH).print(*_lines(found), sep="\n")


def inspection(run: Run) -> Inspection:
    """All that is said of a run; opens what stands beside the numbers, reads none of these."""
    from dgm_tb.commands import census
    from dgm_tb.queries.deep import snapshots as deep_snapshots
    from dgm_tb.replay.deep import listing

    steps, sessions = run.steps, census.sessions(run.directory)
    sizes: Counter[str] = Counter()
    levels: dict[int, list[int]] = {}
    lines = []
    for session in sessions:
        snapshots, deep = 0, sum(one.size for one in listing(session.path))
        if deep:
            sizes["deep"] += deep
        for file in session.files:
            sizes[file.kind] += file.size
            if file.kind in census.JOURNALS + census.BLOCKS:
                points = _points(session, file)
                level = levels.setdefault(file.level, [0, 0])
                level[0] += points
                level[1] += file.size
                snapshots += 0 if file.level else points
        lines.append(_session_line(session, snapshots, deep))
    return Inspection(
        directory=str(run.directory),
        snapshots=len(steps),
        first_step=int(steps[0]) if len(steps) else None,
        last_step=int(steps[-1]) if len(steps) else None,
        logged_steps=len(run.losses.steps),
        nodes=tuple(
            NodeLine(node.name, node.module_type, node.units, node.programs, node.quantities) for node in run.nodes
        ),
        rows=len(run.keys),
        units=sum(run.keys.values()),
        quantities=dict(Counter(key.quantity for key in run.keys)),
        levels=tuple(Level(number, 16**number, *counts) for number, counts in sorted(levels.items())),
        deep=tuple(deep_snapshots(run)),
        bytes=dict(sorted(sizes.items())),
        total_bytes=sum(sizes.values()),
        gaps=tuple(gaps(steps)),
        thinned=tuple(Thin(t.level, t.first_step, t.last_step, t.snapshots, t.reason) for t in run.thinned),
        sessions=tuple(lines),
        problems=run.problems,
    )


def gaps(steps: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Neighbouring steps more than twice as far apart as those before them and as those after them.

    So neither a dense stretch nor an interval that grows with the disk budget is a gap.
    """
    between = [after - before for before, after in pairwise(steps.tolist())]
    for index, distance in enumerate(between):
        beside = between[max(0, index - 1) : index] + between[index + 1 : index + 2]
        if beside and distance > 2 * max(beside):
            yield int(steps[index]), int(steps[index + 1])


def _points(session: SessionFiles, file: File) -> int:
    from dgm_tb.commands import census
    from dgm_tb.errors import FormatError
    from dgm_tb.store.blocks import Block

    form = session.form(file)
    if form is None:
        return 0
    if file.kind in census.JOURNALS:
        return file.size // form.length
    try:
        return len(Block.open(str(file.path), form).steps)
    except (FormatError, OSError):  # `Run.problems` tells it
        return 0


def _session_line(session: SessionFiles, snapshots: int, deep: int) -> SessionLine:
    started = min((manifest.created for manifest in session.manifests.values()), default=None)
    return SessionLine(
        session=session.session,
        rank=session.rank,
        started=started,
        end=session.end.reason if session.end else None,
        segments=len(session.manifests),
        snapshots=snapshots,
        bytes=sum(file.size for file in session.files) + deep,
    )


def _lines(found: Inspection) -> Iterator[str | Table]:
    span = f", steps {found.first_step:,} to {found.last_step:,}" if found.snapshots else ""
    yield f"[bold]{escape(found.directory)}[/]"
    yield f"{found.snapshots:,} snapshots{span}; losses of {found.logged_steps:,} steps; {size(found.total_bytes)}"
    yield (
        f"{len(found.nodes):,} nodes, {found.rows:,} rows, {found.units:,} units; "
        + ", ".join(f"{quantity} of {count:,}" for quantity, count in found.quantities.items())
    )  # fmt: skip
    yield _table(
        ("node", "type", "units", "programs", "quantities"),
        [
            (node.name, node.module_type, f"{node.units:,}", " ".join(node.programs), " ".join(node.quantities))
            for node in found.nodes[:_MOST_LINES]
        ],
    )
    yield from _rest(len(found.nodes), "nodes")
    yield _table(
        ("level", "snapshots a point", "points", "size"),
        [(str(level.level), f"{level.each:,}", f"{level.points:,}", size(level.bytes)) for level in found.levels],
    )
    if found.deep:
        yield f"{len(found.deep):,} deep snapshots, the latest of step {found.deep[-1]:,}"
    yield "; ".join(f"{kind} {size(count)}" for kind, count in found.bytes.items())
    yield _table(
        ("session", "rank", "began", "segments", "snapshots", "size", "ended"),
        [
            (
                session.session,
                str(session.rank),
                _time(session.started),
                str(session.segments),
                f"{session.snapshots:,}",
                size(session.bytes),
                session.end or "no (recording, or killed)",
            )
            for session in found.sessions
        ],
    )
    for before, after in found.gaps[:_MOST_LINES]:
        yield f"[yellow]gap[/]: nothing between steps {before:,} and {after:,}"
    yield from _rest(len(found.gaps), "gaps")
    for thin in found.thinned[:_MOST_LINES]:
        yield (
            f"thinned: level {thin.level} of steps {thin.first_step:,} to {thin.last_step:,} "
            f"({thin.snapshots:,} points): {escape(thin.reason)}"
        )
    yield from _rest(len(found.thinned), "thinned stretches")
    for problem in found.problems:
        yield f"[bold red]problem[/]: {escape(problem)}"


def _rest(count: int, what: str) -> Iterator[str]:
    if count > _MOST_LINES:
        yield f"… and {count - _MOST_LINES:,} more {what} (--json has them all)"


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _time(seconds: float | None) -> str:
    return "?" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def size(count: float) -> str:
    """Bytes as a person reads them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
