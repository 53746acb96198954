"""``dgm-tb prune``: give up the oldest full-resolution snapshots of a run until it fits; their rollups stay."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

from dgm_tb.commands.inspect import size

if TYPE_CHECKING:  # heavy
    from collections.abc import Callable, Iterable

    from dgm_tb.records import Thinned
    from dgm_tb.store.thinning import Held

_UNITS: Final = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Steps of which ``level`` was given up: ``snapshots`` of them, or points rolled up."""

    level: int
    first_step: int
    last_step: int
    snapshots: int


@dataclass(frozen=True, slots=True)
class Pruning:
    """Bytes before and after, and what was given up, or would be (``dry_run``)."""

    before: int
    after: int
    wanted: int
    dry_run: bool
    given_up: tuple[Stretch, ...]


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--max-disk", required=True, help="What all sessions of the run may take together: 500MiB, 2GiB, …")
@click.option("--dry-run", is_flag=True, help="Only say what would be given up.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def prune(run: Path, max_disk: str, dry_run: bool, as_json: bool) -> None:
    """Give up the oldest full-resolution snapshots of RUN (a run directory), keeping their rollups.

    Losses, the graph and what was summed up over 16, 256, … snapshots stay. Exits with 1 where that is not enough.
    """
    from dgm_tb.errors import DgmError
    from dgm_tb.store.run import Run

    try:
        most = bytes_of(max_disk)
        with Run(run) as opened:
            directory = opened.directory
        done = would(directory, most) if dry_run else pruned(directory, most)
    except (DgmError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(asdict(done), indent=2))
    else:
        _say(done, Console(highlight=False))
    if done.after > most:
        raise SystemExit(1)


def bytes_of(text: str) -> int:
    """``500MiB`` as a number of bytes. Raises `UsageError`."""
    from dgm_tb.errors import UsageError

    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)\s*", text.lower())
    if found is None or found[2] not in _UNITS:
        raise UsageError(f"--max-disk {text}: is no size; write for example 500MiB, 2GiB or a number of bytes")
    return int(float(found[1]) * _UNITS[found[2]])


def pruned(directory: Path, most: int) -> Pruning:
    """Prunes the run in ``directory`` (``plugins/dgm``)."""
    from dgm_tb.store import budget

    done = budget.prune(directory, most)
    return Pruning(done.before, done.after, most, False, tuple(map(_stretch, done.thinned)))


def would(directory: Path, most: int, clock: Callable[[], float] = time.time) -> Pruning:
    """What `pruned` would do."""
    from dgm_tb.store.thinning import Shelf, choose, sessions

    shelves = [Shelf(path) for path in sessions(directory)]
    before = sum(shelf.size() for shelf in shelves)
    left = sum(sum(shelf.left_behind(clock()).values()) for shelf in shelves)
    chosen = choose([part for shelf in shelves for part in shelf.held()], before - left - most, most, ())
    after = before - left - sum(part.size for part in chosen)
    return Pruning(before, after, most, True, tuple(_by_level(chosen)))


def _stretch(thinned: Thinned) -> Stretch:
    return Stretch(thinned.level, thinned.first_step, thinned.last_step, thinned.snapshots)


def _by_level(chosen: Iterable[Held]) -> Iterable[Stretch]:
    levels: dict[int, list[Held]] = {}
    for part in chosen:
        levels.setdefault(part.part.level, []).append(part)
    for level, parts in sorted(levels.items()):
        yield Stretch(
            level,
            min(part.extent.first_step for part in parts),
            max(part.extent.last_step for part in parts),
            sum(part.extent.snapshots for part in parts),
        )


def _say(done: Pruning, console: Console) -> None:
    verb = "would be given up" if done.dry_run else "given up"
    for stretch in done.given_up:
        what = "snapshots" if stretch.level == 0 else f"points of level {stretch.level}"
        console.print(f"{verb}: {stretch.snapshots:,} {what}, steps {stretch.first_step:,} to {stretch.last_step:,}")
    now = "would take" if done.dry_run else "takes"
    console.print(f"the run took {size(done.before)} and {now} {size(done.after)}")
    if done.after > done.wanted:
        console.print(
            f"[yellow]more than {size(done.wanted)}: no more can be given up without losing steps altogether[/]",
            soft_wrap=True,
        )
