"""``dgm-tb export``: rows of a run as npz, csv or parquet, a few snapshots in memory at a time."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.progress import Progress

if TYPE_CHECKING:  # heavy
    import numpy as np
    from numpy.typing import NDArray

    from dgm_tb.records import RowKey
    from dgm_tb.store.run import Run

#: Numbers in memory at a time, read and derived: 16 MB of float32, a few times that as a table.
_CHUNK: Final = 1 << 22
#: Snapshots that are read at a time at least: a block of 64 is read whole for any of them.
_LEAST: Final = 16


@dataclass(frozen=True, slots=True)
class Export:
    """What is exported: ``statistics`` of ``keys`` at ``positions`` (in ``run.steps``); ``units`` None for all."""

    run: Run
    keys: tuple[RowKey, ...]
    statistics: tuple[str, ...]
    positions: range
    units: NDArray[np.int64] | None

    def units_of(self, key: RowKey) -> NDArray[np.int64]:
        import numpy as np

        return np.arange(self.run.keys[key]) if self.units is None else self.units


Advance = Callable[[int], None]


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--node", "nodes", multiple=True, required=True, help="A node's name, as inspect lists it; repeatable.")
@click.option("--quantity", "quantities", multiple=True, help="activation, gradient, …; repeatable. Default: all.")
@click.option(
    "--statistic",
    "statistics",
    multiple=True,
    help="mean, std, min, max, zero_fraction, nonfinite, count, …; repeatable. Default: the six first.",
)
@click.option("--program", help="The program whose rows are meant. Default: each node's first.")
@click.option("--units", help="Units, e.g. 0-15,40. Default: all.")
@click.option("--first", type=int, help="The first step. Default: the run's first.")
@click.option("--last", type=int, help="The last step, included. Default: the run's last.")
@click.option(
    "--format", "form", type=click.Choice(["npz", "csv", "parquet"]), required=True, help="The file's format."
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file; replaced whole."
)
def export(
    run: Path,
    nodes: tuple[str, ...],
    quantities: tuple[str, ...],
    statistics: tuple[str, ...],
    program: str | None,
    units: str | None,
    first: int | None,
    last: int | None,
    form: str,
    output: Path,
) -> None:
    """Write the numbers of some nodes of RUN (a run directory) to a file.

    csv and parquet have a line a step and unit, a column a statistic; npz has an array (snapshots, units) for each row
    and statistic, named node/program/quantity/statistic, beside the array of the steps. What was not recorded is NaN.
    """
    from dgm_tb.errors import DgmError
    from dgm_tb.store.run import Run

    try:
        with Run(run) as opened:
            wanted = chosen(opened.pinned(), nodes, quantities, statistics, program, units, first, last)
            with _whole(output) as scratch, _progress(wanted) as advance:
                WRITERS[form](wanted, scratch, advance)
    except (DgmError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{output}: {len(wanted.positions):,} snapshots of {len(wanted.keys):,} rows", err=True)


def chosen(
    run: Run,
    nodes: Sequence[str],
    quantities: Sequence[str] = (),
    statistics: Sequence[str] = (),
    program: str | None = None,
    units: str | None = None,
    first: int | None = None,
    last: int | None = None,
) -> Export:
    """The choice as a person writes it, checked against the run. Raises `DgmError` with what there is instead."""
    import numpy as np

    from dgm_tb.errors import UnknownNameError, UsageError
    from dgm_tb.moments import DERIVED, STATISTICS
    from dgm_tb.queries.rows import find

    known = tuple(dict.fromkeys((*DERIVED, *STATISTICS)))
    for statistic in statistics:
        if statistic not in known:
            raise UsageError(f"--statistic {statistic}: there is none of that name; there are {', '.join(known)}")
    keys = []
    for node in dict.fromkeys(nodes):
        there = dict.fromkeys(key.quantity for key in run.keys if key.node == node)
        keys += [find(run.keys, node, quantity, program) for quantity in quantities or there or ("",)]
    start = 0 if first is None else int(np.searchsorted(run.steps, first))
    stop = len(run.steps) if last is None else int(np.searchsorted(run.steps, last, "right"))
    if start >= stop:
        span = f"{run.steps[0]:,} to {run.steps[-1]:,}" if len(run.steps) else "none yet"
        raise UnknownNameError(f"no snapshot lies from --first {first} to --last {last}; the run's steps are {span}")
    numbers = None if units is None else unit_numbers(units)
    if numbers is not None:
        for key in keys:
            if numbers[-1] >= run.keys[key]:
                raise UnknownNameError(
                    f"--units {units}: the {key.quantity} of {key.node} has units 0 to {run.keys[key] - 1}"
                )
    return Export(run, tuple(keys), tuple(dict.fromkeys(statistics)) or DERIVED, range(start, stop), numbers)


def unit_numbers(text: str) -> NDArray[np.int64]:
    """``0-15,40`` as ascending numbers. Raises `UsageError`."""
    import numpy as np

    from dgm_tb.errors import UsageError

    found: set[int] = set()
    for part in text.split(","):
        begin, dash, end = part.strip().partition("-")
        if not (begin.isascii() and begin.isdigit() and (not dash or (end.isascii() and end.isdigit()))):
            raise UsageError(f"--units {text}: {part!r} is no unit; write numbers and ranges, as in 0-15,40")
        found.update(range(int(begin), int(end if dash else begin) + 1))
    if not found:
        raise UsageError(f"--units {text}: names no unit; write numbers and ranges, as in 0-15,40")
    return np.array(sorted(found), np.int64)


def chunks(wanted: Export, key: RowKey) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """The steps ``(c,)`` and numbers ``(statistics, c, units)`` of one row, some snapshots after others."""
    import numpy as np

    from dgm_tb.moments import derive, sources
    from dgm_tb.store.parts import PART_SNAPSHOTS

    run, units = wanted.run, wanted.units_of(key)
    needed = tuple(dict.fromkeys(name for statistic in wanted.statistics for name in sources(statistic)))
    each = max(_LEAST, _CHUNK // max(1, len(units) * (len(needed) + len(wanted.statistics))))
    each -= each % min(each, PART_SNAPSHOTS)
    for start in range(wanted.positions.start, wanted.positions.stop, each):
        positions = slice(start, min(start + each, wanted.positions.stop))
        rows = run.read(key, positions, units=wanted.units, statistics=needed)
        yield run.steps[positions], np.stack([derive(rows, statistic, needed) for statistic in wanted.statistics])


def write_npz(wanted: Export, path: Path, advance: Advance) -> None:
    """One array ``(snapshots, units)`` a row and statistic, as `numpy.load` reads them; written as they are read."""
    import numpy as np

    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        steps = wanted.run.steps[wanted.positions.start : wanted.positions.stop]
        _write_array(archive, "steps", steps.shape, np.dtype(np.int64), iter([steps]))
        for key in wanted.keys:
            if wanted.units is not None:
                _write_array(
                    archive, _entry(key, "units"), wanted.units.shape, wanted.units.dtype, iter([wanted.units])
                )
            shape = (len(steps), len(wanted.units_of(key)))
            for statistic in wanted.statistics:
                only = Export(wanted.run, (key,), (statistic,), wanted.positions, wanted.units)
                parts = (numbers[0] for numbers in _counted(chunks(only, key), advance))
                _write_array(archive, _entry(key, statistic), shape, np.dtype(np.float32), parts)


def _entry(key: RowKey, name: str) -> str:
    return f"{key.node}/{key.program}/{key.quantity}/{name}"


def _counted(
    parts: Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]], advance: Advance
) -> Iterator[NDArray[np.float32]]:
    for _, numbers in parts:
        yield numbers
        advance(numbers.size)


def _write_array(
    archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], parts: Iterator[NDArray[Any]]
) -> None:
    from numpy.lib import format as npy

    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        npy.write_array_header_2_0(file, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
        for part in parts:
            file.write(part.tobytes())


_COLUMNS: Final = ("node", "program", "quantity", "step", "unit")


def write_csv(wanted: Export, path: Path, advance: Advance) -> None:
    """A line a row, step and unit; nine digits, so that every float32 reads back as it was, ``nan`` and ``inf``."""
    import csv

    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow((*_COLUMNS, *wanted.statistics))
        for key in wanted.keys:
            units = wanted.units_of(key).tolist()
            for steps, numbers in chunks(wanted, key):
                for place, step in enumerate(steps.tolist()):
                    writer.writerows(
                        (key.node, key.program, key.quantity, step, unit, *(f"{value:.9g}" for value in values))
                        for unit, values in zip(units, numbers[:, place].T.tolist(), strict=True)
                    )
                advance(numbers.size)


def write_parquet(wanted: Export, path: Path, advance: Advance) -> None:
    """The lines of `write_csv` as a Parquet table, float32. Raises `UsageError` without pyarrow."""
    from dgm_tb.errors import UsageError

    if importlib.util.find_spec("pyarrow") is None:
        raise UsageError("--format parquet needs pyarrow: install it with pip install pyarrow, or take npz or csv")
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [(name, pa.dictionary(pa.int32(), pa.string())) for name in _COLUMNS[:3]]
    numbers_of = [(statistic, pa.float32()) for statistic in wanted.statistics]
    schema = pa.schema([*names, ("step", pa.int64()), ("unit", pa.int32()), *numbers_of])
    with pq.ParquetWriter(path, schema) as writer:
        for key in wanted.keys:
            units = wanted.units_of(key)
            for steps, numbers in chunks(wanted, key):
                lines = len(steps) * len(units)
                same = [
                    pa.DictionaryArray.from_arrays(np.zeros(lines, np.int32), [text])
                    for text in (key.node, key.program, key.quantity)
                ]
                where = [np.repeat(steps, len(units)), np.tile(units, len(steps)).astype(np.int32)]
                columns = [*same, *where, *numbers.reshape(len(wanted.statistics), -1)]
                writer.write_table(pa.table(columns, schema=schema))
                advance(numbers.size)


WRITERS: Final[dict[str, Callable[[Export, Path, Advance], None]]] = {
    "npz": write_npz,
    "csv": write_csv,
    "parquet": write_parquet,
}


@contextlib.contextmanager
def _whole(output: Path) -> Iterator[Path]:
    """A scratch file beside ``output`` that takes its place when the block succeeded; else nothing is left."""
    scratch = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        yield scratch
        os.replace(scratch, output)
    finally:
        scratch.unlink(missing_ok=True)


@contextlib.contextmanager
def _progress(wanted: Export) -> Iterator[Advance]:
    total = len(wanted.positions) * len(wanted.statistics) * sum(len(wanted.units_of(key)) for key in wanted.keys)
    with Progress(console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task("exporting", total=total)
        yield lambda count: progress.advance(task, count)
