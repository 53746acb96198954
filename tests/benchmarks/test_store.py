"""The store's benchmark on a load of a few kilobytes: every store gives back what it was given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import store, store_peers
from benchmarks.store_bare import Files, Stretch
from benchmarks.store_load import Load, size_of, snapshots, write_ours, write_peer
from dgm_tb.moments import STATISTICS
from dgm_tb.store.run import Run

LOAD = Load(2, 24, 70)


def numbers() -> np.ndarray:
    return np.stack([snapshot.values.reshape(LOAD.rows, LOAD.series) for snapshot in snapshots(LOAD)])


@pytest.mark.parametrize("name", store_peers.PEERS)
def test_a_peer_gives_back_what_it_was_given(name: str, tmp_path: Path) -> None:
    make = store_peers.PEERS[name]
    if make.package in store_peers.missing():
        return  # it is named in the table instead
    peer, truth = make(tmp_path / "peer", LOAD.snapshots, LOAD.rows, LOAD.series), numbers()
    assert write_peer(peer, LOAD).bytes == size_of(peer.path)
    few = np.array([3, 77])
    np.testing.assert_array_equal(peer.series(4, few), truth[:, 4, few])
    np.testing.assert_array_equal(peer.row(5), truth[:, 5])
    np.testing.assert_array_equal(peer.snapshot(66), truth[66])


def test_all_stores_are_asked_for_the_same(tmp_path: Path) -> None:
    write_ours(tmp_path / "ours", LOAD)
    raw = store_peers.Raw(tmp_path / "raw", LOAD.snapshots, LOAD.rows, LOAD.series)
    write_peer(raw, LOAD)
    asked = store.questions(LOAD)
    with Run(tmp_path / "ours") as run:
        ours, theirs = store.read_ours(run, asked), store.read_peer(raw, asked)
        assert list(ours) == list(theirs)
        for name in ours:
            found, truth = np.asarray(ours[name]()), np.asarray(theirs[name]())
            assert found.size == truth.size, name
            np.testing.assert_array_equal(np.sort(found, axis=None), np.sort(truth, axis=None), err_msg=name)


def test_bare_reads_read_the_bytes_that_hold_the_answer(tmp_path: Path) -> None:
    write_ours(tmp_path / "ours", LOAD)
    asked = store.questions(LOAD)
    files = Files(tmp_path / "ours", LOAD)
    truth = numbers()
    row, (channel, unit) = asked.row, divmod(asked.one, LOAD.units)
    found = [np.frombuffer(bytes_of(stretch), "<f4") for stretch in files.series(row, channel, [unit])]
    (page, frames), series = (found[0], found[1:]), truth[:, row, asked.one]
    np.testing.assert_array_equal(page.reshape(-1, 64)[unit % 16], series[:64])
    assert [frame[unit % 16] for frame in frames] == series[64:].tolist()
    whole = sum(len(bytes_of(stretch)) for stretch in files.rows(range(LOAD.rows)))
    assert 0 < whole < truth.nbytes  # constants are not read
    block = sum(len(bytes_of(stretch)) for stretch in files.snapshot(3))
    assert block == whole - truth[64:].nbytes


def bytes_of(stretch: Stretch) -> bytes:
    with open(stretch.path, "rb") as file:
        file.seek(stretch.at)
        return file.read(stretch.size)


def test_a_load_with_fewer_statistics_has_these(tmp_path: Path) -> None:
    load = Load(1, 5, 3, ("activation",), ("count", "mean"))
    write_ours(tmp_path, load)
    with Run(tmp_path) as run:
        (key,) = run.keys
        told = run.read(key, slice(None))
        whole = np.stack([snapshot.values.reshape(2, 5) for snapshot in snapshots(load)], axis=1)
        np.testing.assert_array_equal(told[[STATISTICS.index("count"), STATISTICS.index("mean")]], whole)


def test_the_tables_have_all_stores_and_all_sizes() -> None:
    said = store.run(load=LOAD, many=Load(5, 4, 3), base=Load(1, 20, 20), factors=(1, 2), budgets=(100,))
    for name in store_peers.PEERS:
        assert name in said
    for package in store_peers.missing():
        assert f"`{package}` is not installed" in said
    assert "| append, a snapshot | ≤ 2.5 ms |" in said
    assert "| 15 series listed | ≤ 1 s |" in said
    assert "| layer, whole, 20 → 40 snapshots | ≤ 1.3 × |" in said
    assert "| disk budget, most ever taken | ≤ 1 × budget |" in said
    assert "40 × 20" in said
    assert "20 × 40" in said
