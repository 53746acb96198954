"""``dgm-tb verify``: every checksum of a run, frame by frame and page by page."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

if TYPE_CHECKING:  # heavy
    from dgm_tb.commands.census import File, SessionFiles
    from dgm_tb.store.snapshots import SnapshotFormat

#: Bytes read at a time: a record may be 256 MiB, what is checked of it needs no more than this.
_PIECE: Final = 1 << 22
#: Units of a channel read at a time, whole pages.
_UNITS: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Damage:
    """A place whose bytes are not those that were written."""

    file: str
    what: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """``torn`` files end in the middle of a record, as one that is being written or whose process was killed."""

    files: int
    bytes: int
    frames: int
    damaged: tuple[Damage, ...]
    torn: tuple[str, ...]


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def verify(run: Path, as_json: bool) -> None:
    """Check every checksum of RUN (a run directory); exit with 1 and a list where something is damaged."""
    from dgm_tb.commands import census
    from dgm_tb.errors import DgmError
    from dgm_tb.store.run import Run

    try:
        with Run(run, listed=run.is_dir()) as opened:
            sessions = census.sessions(opened.directory)
        if not sessions:
            Run(run)  # says what is wrong with it
        total = sum(file.size for session in sessions for file in session.files)
        with Progress(console=Console(file=sys.stderr), transient=True) as progress:
            task = progress.add_task("verifying", total=total)
            found = verdict(sessions, lambda count: progress.advance(task, count))
    except (DgmError, OSError) as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2))
    else:
        _say(found, Console(highlight=False))
    if found.damaged:
        raise SystemExit(1)


def _say(found: Verdict, console: Console) -> None:
    for name in found.torn:
        note = "its last record is not whole (being written, or its process was killed)"
        console.print(f"{escape(name)}: {note}", soft_wrap=True)
    for damage in found.damaged:
        console.print(f"[bold red]{escape(damage.file)}[/]: {escape(damage.what)}", soft_wrap=True)
    said = f"{len(found.damaged):,} damaged places" if found.damaged else "nothing is damaged"
    console.print(f"{found.files:,} files, {found.frames:,} records, {found.bytes:,} bytes: {said}")


def verdict(sessions: tuple[SessionFiles, ...], advance: Callable[[int], None] = lambda count: None) -> Verdict:
    """Reads every byte of these sessions. Files that vanish meanwhile (a journal that becomes a block) are left out."""
    damaged: list[Damage] = []
    torn: list[str] = []
    files = frames = size = 0
    for session in sessions:
        for file in session.files:
            if file.path.name.startswith("."):  # a block in the making, or what a killed process left of one
                continue
            name = f"{session.path.name}/{file.path.name}"
            try:
                walk = _walk(file.path, file.size)
                troubles = [*walk.damaged, *_beyond_frames(session, file, bool(walk.damaged))]
            except FileNotFoundError:
                continue
            except OSError as error:
                damaged.append(Damage(name, f"cannot be read: {error.strerror}"))
                continue
            finally:
                advance(file.size)
            damaged += [Damage(name, trouble) for trouble in troubles]
            torn += [name] if walk.torn else []
            files, frames, size = files + 1, frames + walk.frames, size + file.size
    return Verdict(files, size, frames, tuple(damaged), tuple(torn))


@dataclass(frozen=True, slots=True)
class _Walk:
    """A file's frames: how many are whole, which are damaged, whether the last is torn."""

    frames: int
    damaged: tuple[str, ...]
    torn: bool


def _walk(path: Path, size: int) -> _Walk:
    from dgm_tb.store import framing
    from dgm_tb.store.journals import open_file

    frames, damaged, at = 0, [], 0
    with open_file(str(path)) as file:
        while at + framing.HEADER.size <= size:
            file.seek(at)
            head = file.read(framing.HEADER.size)
            length, check = framing.HEADER.unpack(head)
            if check != framing.masked(framing.crc32c(head[:8])):
                damaged.append(f"the record at byte {at:,} has a damaged length; what follows cannot be checked")
                return _Walk(frames, tuple(damaged), False)
            end = at + framing.OVERHEAD + length
            if end > size:
                break
            if not _good(file.fileno(), at + framing.HEADER.size, length):
                damaged.append(f"the record at bytes {at:,} to {end:,} is damaged")
            frames, at = frames + 1, end
    return _Walk(frames, tuple(damaged), at < size)


def _good(fd: int, start: int, length: int) -> bool:
    """Whether a payload matches the checksum after it, read in pieces."""
    from dgm_tb.store import framing

    crc = _crc(fd, start, length)
    footer = os.pread(fd, framing.FOOTER.size, start + length)
    return crc is not None and footer == framing.FOOTER.pack(framing.masked(crc))


def _crc(fd: int, start: int, length: int) -> int | None:
    """The plain checksum of some bytes, read in pieces; None where the file ends before."""
    import google_crc32c

    crc, at = 0, start
    while at < start + length:
        piece = os.pread(fd, min(_PIECE, start + length - at), at)
        if not piece:
            return None
        crc, at = int(google_crc32c.extend(crc, piece)), at + len(piece)
    return crc


def _beyond_frames(session: SessionFiles, file: File, known: bool) -> Iterator[str]:
    """What is wrong with a file beside its frames: its checksums of rows and pages, or nothing that tells its form.

    They lie inside the frames, so where these are good only a fault of the writer shows here; where a frame is damaged
    (``known``) they say which rows are lost.
    """
    from dgm_tb.commands import census

    if file.kind not in census.JOURNALS + census.BLOCKS:
        return
    form = session.form(file)
    if form is None:
        yield "cannot be read without its segment's manifest"
    elif file.kind in census.JOURNALS:
        yield from _rows_of_journal(file, form)
    else:
        yield from _pages_of_block(file, form)


def _rows_of_journal(file: File, form: SnapshotFormat) -> Iterator[str]:
    from dgm_tb.store.journals import open_file
    from dgm_tb.store.snapshots import read_head

    crcs = [form.aggregates_crc_at, *form.row_crcs_at.tolist()]
    begins = [form.aggregates_at, *form.rows_at.tolist()]
    sizes = [4 * prod((len(form.layout.rows), *form.layout.aggregate_shape))]
    sizes += [4 * len(row.channels) * row.units for row in form.layout.rows]
    names = ["the aggregates", *(f"{row.key.quantity} of {row.key.node}" for row in form.layout.rows)]
    with open_file(str(file.path)) as opened:
        fd = opened.fileno()
        for frame in range(file.size // form.length):
            base = frame * form.length
            if read_head(form, os.pread(fd, len(form.head), base)) is None:
                yield f"snapshot {frame}: its beginning is damaged, it is left out"
            for name, crc, begin, size in zip(names, crcs, begins, sizes, strict=True):
                if not _same(fd, base + begin, size, os.pread(fd, 4, base + crc)):
                    yield f"snapshot {frame}: {name} read as not recorded"


def _same(fd: int, start: int, size: int, expected: bytes) -> bool:
    """Whether some bytes have an unmasked checksum."""
    from dgm_tb.store import framing

    return _crc(fd, start, size) == framing.FOOTER.unpack(expected)[0] if len(expected) == 4 else False


def _pages_of_block(file: File, form: SnapshotFormat) -> Iterator[str]:
    from dgm_tb.errors import FormatError
    from dgm_tb.store.blocks import Block
    from dgm_tb.store.columns import PAGE_UNITS
    from dgm_tb.store.journals import open_file

    try:
        block = Block.open(str(file.path), form)
    except FormatError as error:
        yield f"none of its snapshots can be read: {error}"
        return
    with open_file(str(file.path)) as opened:
        fd = opened.fileno()
        for index, row in enumerate(form.layout.rows):
            if block.read_aggregates(fd, index) is None:
                yield f"the aggregates of the {row.key.quantity} of {row.key.node} read as not recorded"
            # In two pieces at least: a channel that is read at once is checked as one.
            piece = min(_UNITS, max(PAGE_UNITS, row.units // 2 // PAGE_UNITS * PAGE_UNITS))
            for channel, name in enumerate(row.channels):
                for start in range(0, row.units, piece):
                    units = slice(start, min(start + piece, row.units))
                    if block.read(fd, index, channel, units, slice(None)) is None:
                        yield (
                            f"{name} of units {units.start} to {units.stop - 1} of the {row.key.quantity} of "
                            f"{row.key.node} read as not recorded"
                        )
