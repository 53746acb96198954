"""Other ways to keep what a run records: a raw file, HDF5, zarr and Parquet, written snapshot by snapshot.

All hold the same float32 numbers ``(snapshots, rows, series)``, a series being a unit's statistic. Those that cannot be
appended to by a row buffer `BLOCK` snapshots, as ours does in its background pass. First efforts with each library's
defaults beside the chunks named here, not tuned ones.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float32]

#: Snapshots in a block, as in ours.
BLOCK: Final = 64
#: Series in a chunk: with `BLOCK` snapshots 128 KB.
CHUNK: Final = 512


class Peer(ABC):
    """A store under ``path``; every reading method opens it anew."""

    #: The package that it needs; "" for none.
    package = ""

    def __init__(self, path: Path, snapshots: int, rows: int, series: int) -> None:
        self.path, self.shape = path, (snapshots, rows, series)
        self._buffer: list[Numbers] = []
        self._written = 0

    def append(self, numbers: Numbers) -> None:
        """Takes one snapshot ``(rows, series)``."""
        self._buffer.append(numbers)
        if len(self._buffer) == BLOCK:
            self.flush()

    def flush(self) -> None:
        if self._buffer:
            block = np.stack(self._buffer)
            self.write(self._written, block)
            self._written += len(block)
            self._buffer.clear()

    @abstractmethod
    def write(self, start: int, block: Numbers) -> None:
        """Writes ``(b, rows, series)`` from snapshot ``start`` on."""

    def close(self) -> None:
        """After the last snapshot."""
        self.flush()

    @abstractmethod
    def series(self, row: int, series: NDArray[np.int64]) -> Numbers:
        """``(snapshots, chosen series)`` of a row."""

    @abstractmethod
    def row(self, row: int) -> Numbers:
        """``(snapshots, series)``."""

    @abstractmethod
    def snapshot(self, index: int) -> Numbers:
        """``(rows, series)``."""


class Raw(Peer):
    """One file, a snapshot after the other, read through a memory map: no lengths, no checksums."""

    def append(self, numbers: Numbers) -> None:
        if not self._written:
            self._file = self.path.open("wb", buffering=0)
        self._file.write(numbers.tobytes())
        self._written += 1

    def write(self, start: int, block: Numbers) -> None:
        raise AssertionError("appended to by rows")

    def close(self) -> None:
        self._file.close()

    def _map(self) -> Numbers:
        return np.memmap(self.path, np.float32, "r", shape=self.shape)

    def series(self, row: int, series: NDArray[np.int64]) -> Numbers:
        return np.array(self._map()[:, row, series])

    def row(self, row: int) -> Numbers:
        return np.array(self._map()[:, row])

    def snapshot(self, index: int) -> Numbers:
        return np.array(self._map()[index])


class Hdf5(Peer):
    """One dataset in chunks of `BLOCK` × 1 × `CHUNK`."""

    package = "h5py"

    def write(self, start: int, block: Numbers) -> None:
        import h5py

        if not start:
            self._file = h5py.File(self.path, "w", libver="latest")
            _, rows, series = self.shape
            self._data = self._file.create_dataset(
                "x", (0, rows, series), "f4", maxshape=(None, rows, series), chunks=(BLOCK, 1, min(CHUNK, series))
            )
            self._file.swmr_mode = True
        self._data.resize(start + len(block), axis=0)
        self._data[start:] = block
        self._data.flush()

    def close(self) -> None:
        super().close()
        self._file.close()

    def _read(self, index: Any) -> Numbers:
        import h5py

        with h5py.File(self.path, "r") as file:
            return np.asarray(file["x"][index])

    def series(self, row: int, series: NDArray[np.int64]) -> Numbers:
        return self._read((slice(None), row, series))

    def row(self, row: int) -> Numbers:
        return self._read((slice(None), row))

    def snapshot(self, index: int) -> Numbers:
        return self._read(index)


class Zarr(Peer):
    """One array, a shard a block with chunks of `BLOCK` × 1 × `CHUNK`, zstd."""

    package = "zarr"

    def write(self, start: int, block: Numbers) -> None:
        import zarr

        _, rows, series = self.shape
        if not start:
            self._array = zarr.create_array(
                store=str(self.path),
                shape=(0, rows, series),
                chunks=(BLOCK, 1, min(CHUNK, series)),
                shards=(BLOCK, rows, -(-series // min(CHUNK, series)) * min(CHUNK, series)),
                dtype="f4",
            )
        self._array.resize((start + len(block), rows, series))
        self._array[start:] = block

    def _array_now(self) -> Any:
        import zarr

        return zarr.open_array(str(self.path), mode="r")

    def series(self, row: int, series: NDArray[np.int64]) -> Numbers:
        return np.asarray(self._array_now().oindex[:, row, series])

    def row(self, row: int) -> Numbers:
        return np.asarray(self._array_now()[:, row])

    def snapshot(self, index: int) -> Numbers:
        return np.asarray(self._array_now()[index])


class Parquet(Peer):
    """A file a block, a column a row, in it series by series; a row group is `CHUNK` series, byte-split and zstd."""

    package = "pyarrow"

    def write(self, start: int, block: Numbers) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path.mkdir(exist_ok=True)
        columns = [np.ascontiguousarray(block[:, row].T).reshape(-1) for row in range(block.shape[1])]
        names = [f"r{row}" for row in range(block.shape[1])]
        pq.write_table(
            pa.table(columns, names=names),
            self.path / f"{start:09d}.parquet",
            row_group_size=len(block) * CHUNK,
            use_dictionary=False,
            column_encoding=dict.fromkeys(names, "BYTE_STREAM_SPLIT"),
            compression="zstd",
        )

    def _parts(self, rows: list[int], groups: list[int] | None) -> list[Numbers]:
        """Of each file ``(snapshots, rows, series of the row groups)``."""
        import pyarrow.parquet as pq

        parts = []
        for start, path in zip(range(0, self.shape[0], BLOCK), sorted(self.path.iterdir()), strict=True):
            count = min(BLOCK, self.shape[0] - start)
            with pq.ParquetFile(path) as file:
                names = [f"r{row}" for row in rows]
                every = list(range(file.num_row_groups))
                table = file.read_row_groups(every if groups is None else groups, columns=names)
            columns = [table[name].to_numpy().reshape(-1, count).T for name in names]
            parts.append(np.stack(columns, axis=1))
        return parts

    def series(self, row: int, series: NDArray[np.int64]) -> Numbers:
        groups = np.unique(series // CHUNK)
        places = np.searchsorted(groups, series // CHUNK) * CHUNK + series % CHUNK
        return np.concatenate([part[:, 0, places] for part in self._parts([row], groups.tolist())])

    def row(self, row: int) -> Numbers:
        return np.concatenate([part[:, 0] for part in self._parts([row], None)])

    def snapshot(self, index: int) -> Numbers:
        import pyarrow.parquet as pq

        path = sorted(self.path.iterdir())[index // BLOCK]
        count = min(BLOCK, self.shape[0] - index // BLOCK * BLOCK)
        table = pq.read_table(path)
        return np.stack([column.to_numpy().reshape(-1, count)[:, index % BLOCK] for column in table.columns])


PEERS: Final[dict[str, type[Peer]]] = {
    "raw file, memory map": Raw,
    "HDF5 (SWMR)": Hdf5,
    "zarr, sharded": Zarr,
    "Parquet": Parquet,
}


def missing() -> list[str]:
    """The packages of peers that do not import here."""
    packages = [peer.package for peer in (Hdf5, Zarr, Parquet)]
    return [package for package in packages if importlib.util.find_spec(package) is None]
