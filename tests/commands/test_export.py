"""dgm-tb export: what is in the file is what was recorded, to the bit."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from dgm_tb.cli import main
from dgm_tb.commands import export
from dgm_tb.errors import UsageError
from dgm_tb.moments import DERIVED, STATISTICS, derive
from dgm_tb.records import Snapshot
from dgm_tb.store.run import Run
from tests.store import made

SNAPSHOTS = [made.plausible(step) for step in range(0, 700, 5)]  # two full parts and a rest


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    made.write(run, [made.manifest(), made.GRAPH, *SNAPSHOTS])
    return run


def call(run: Path, output: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["export", str(run), "-o", str(output), *options])


def expected(statistic: str, snapshots: list[Snapshot] = SNAPSHOTS) -> np.ndarray:
    """``(snapshots, units)`` of the row A."""
    row = made.LAYOUT.index[made.A]
    return np.stack([derive(made.LAYOUT.row_of(snapshot.values, row), statistic) for snapshot in snapshots])


def test_npz_has_an_array_a_statistic_and_the_steps(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_CHUNK", 100)  # several pieces
    done = call(run, tmp_path / "out.npz", "--node", "net.a", "--format", "npz")
    assert done.exit_code == 0, done.output
    with np.load(tmp_path / "out.npz") as file:
        assert file["steps"].tolist() == [snapshot.step for snapshot in SNAPSHOTS]
        assert sorted(file.files) == sorted(["steps", *(f"net.a/backward#0/activation/{name}" for name in DERIVED)])
        for statistic in DERIVED:
            found = file[f"net.a/backward#0/activation/{statistic}"]
            np.testing.assert_array_equal(made.bits(found), made.bits(expected(statistic)))
    assert [path.name for path in tmp_path.iterdir()] == ["out.npz"]


def test_a_choice_of_units_steps_and_statistics(run: Path, tmp_path: Path) -> None:
    options = ["--units", "0,2", "--first", "11", "--last", "100", "--statistic", "count", "--statistic", "std"]
    done = call(run, tmp_path / "out.npz", "--node", "net.a", "--format", "npz", *options)
    assert done.exit_code == 0, done.output
    inside = [snapshot for snapshot in SNAPSHOTS if 11 <= snapshot.step <= 100]
    with np.load(tmp_path / "out.npz") as file:
        assert file["steps"].tolist() == [snapshot.step for snapshot in inside]
        assert file["net.a/backward#0/activation/units"].tolist() == [0, 2]
        for statistic in ("count", "std"):
            found = file[f"net.a/backward#0/activation/{statistic}"]
            np.testing.assert_array_equal(found, expected(statistic, inside)[:, [0, 2]])


def test_csv_reads_back_to_the_bit(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_CHUNK", 100)
    nodes = ["--node", "net.a", "--node", "net.b#1"]
    done = call(run, tmp_path / "out.csv", *nodes, "--format", "csv", "--statistic", "mean", "--statistic", "m2")
    assert done.exit_code == 0, done.output
    with (tmp_path / "out.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(SNAPSHOTS) * (3 + 2)
    of_a = [line for line in lines if line["node"] == "net.a"]
    assert [(int(line["step"]), int(line["unit"])) for line in of_a[:4]] == [(0, 0), (0, 1), (0, 2), (5, 0)]
    assert {(line["program"], line["quantity"]) for line in of_a} == {("backward#0", "activation")}
    for statistic in ("mean", "m2"):
        found = np.array([line[statistic] for line in of_a]).astype(np.float32).reshape(-1, 3)
        np.testing.assert_array_equal(made.bits(found), made.bits(expected(statistic)))


def test_parquet_reads_back(run: Path, tmp_path: Path) -> None:
    done = call(run, tmp_path / "out.parquet", "--node", "net.a", "--format", "parquet")
    assert done.exit_code == 0, done.output
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["node", "program", "quantity", "step", "unit", *DERIVED]
    assert table["node"].to_pylist() == ["net.a"] * (len(SNAPSHOTS) * 3)
    assert table["step"].to_pylist()[::3] == [snapshot.step for snapshot in SNAPSHOTS]
    assert table["unit"].to_pylist()[:4] == [0, 1, 2, 0]
    for statistic in DERIVED:
        found = table[statistic].to_numpy().reshape(-1, 3)
        np.testing.assert_array_equal(made.bits(found), made.bits(expected(statistic)))


def test_without_pyarrow_parquet_names_the_remedy(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    done = call(run, tmp_path / "out.parquet", "--node", "net.a", "--format", "parquet")
    assert (done.exit_code, "pip install pyarrow" in done.output) == (1, True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--node", "net.z"], "'net.z' has no recorded rows"),
        (["--node", "net.a", "--quantity", "weight"], "recorded: activation"),
        (["--node", "net.a", "--program", "p"], "recorded in: backward#0"),
        (["--node", "net.a", "--statistic", "median"], "there are mean, std"),
        (["--node", "net.a", "--units", "3"], "has units 0 to 2"),
        (["--node", "net.a", "--units", "1-x"], "'1-x' is no unit"),
        (["--node", "net.a", "--units", "2-1"], "names no unit"),
        (["--node", "net.a", "--first", "701"], "the run's steps are 0 to 695"),
    ],
)
def test_a_wrong_choice_says_what_there_is(run: Path, tmp_path: Path, options: list[str], said: str) -> None:
    done = call(run, tmp_path / "out.csv", "--format", "csv", *options)
    assert done.exit_code == 1
    assert said in " ".join(done.output.split())
    assert not list(tmp_path.iterdir())


def test_what_fails_on_the_way_leaves_the_old_file(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out.csv").write_text("before")
    monkeypatch.setattr(Run, "read", lambda *arguments, **options: (_ for _ in ()).throw(OSError("gone")))
    assert call(run, tmp_path / "out.csv", "--node", "net.a", "--format", "csv").exit_code == 1
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out.csv", "before")]


def test_no_run_is_an_error(tmp_path: Path) -> None:
    done = call(tmp_path / "nowhere", tmp_path / "out.csv", "--node", "a", "--format", "csv")
    assert done.exit_code == 1
    assert "there is no" in done.output


def test_unit_numbers_are_ascending_and_distinct() -> None:
    assert export.unit_numbers("7,0-2, 1").tolist() == [0, 1, 2, 7]
    with pytest.raises(UsageError, match="write numbers and ranges"):
        export.unit_numbers("")


def test_every_statistic_that_is_stored_can_be_exported(run: Path, tmp_path: Path) -> None:
    options = [part for name in STATISTICS for part in ("--statistic", name)]
    assert call(run, tmp_path / "out.npz", "--node", "net.a", "--format", "npz", *options).exit_code == 0
