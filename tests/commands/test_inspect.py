"""dgm-tb inspect: what it says is what is on the disk."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from dgm_tb.cli import main
from dgm_tb.commands.inspect import gaps, size
from dgm_tb.replay import deep
from tests.store import made

STEPS = [*range(0, 1100), *range(2000, 2030)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    made.write(run, [made.manifest(), made.GRAPH, *map(made.plausible, STEPS), made.table(range(9))], reason=None)
    made.write(run, [made.manifest(created=made.BEGAN + 9), made.plausible(3000)], session=made.LATER)
    return run


def test_deep_snapshots_are_told(tmp_path: Path) -> None:
    session = made.write(tmp_path, [made.manifest(), made.plausible(3)])
    for name in (deep.TAPE, deep.TENSORS):
        (session / deep.FOLDER / deep.name(3)).mkdir(parents=True, exist_ok=True)
        (session / deep.FOLDER / deep.name(3) / name).write_bytes(bytes(500))
    found = json.loads(call(tmp_path, "--json").output)
    assert (found["deep"], found["bytes"]["deep"]) == ([3], 1000)
    assert found["total_bytes"] == sum(path.stat().st_size for path in session.rglob("*") if path.is_file())
    assert "1 deep snapshots, the latest of step 3" in call(tmp_path).output


def call(run: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["inspect", str(run), *options])


def test_everything_in_json(run: Path) -> None:
    done = call(run, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    files = [path for path in run.rglob("*") if path.is_file()]
    assert (found["snapshots"], found["first_step"], found["last_step"]) == (len(STEPS) + 1, 0, 3000)
    assert found["logged_steps"] == 9
    assert (found["rows"], found["units"], found["quantities"]) == (2, 5, {"activation": 1, "gradient": 1})
    assert [(node["name"], node["units"]) for node in found["nodes"]] == [("net.a", 3), ("net.b#1", 2)]
    assert found["total_bytes"] == sum(path.stat().st_size for path in files) == sum(found["bytes"].values())
    levels = {level["level"]: level for level in found["levels"]}
    assert (levels[0]["each"], levels[0]["points"]) == (1, len(STEPS) + 1)
    assert (levels[1]["each"], levels[1]["points"]) == (16, len(STEPS) // 16)
    assert (levels[2]["each"], levels[2]["points"]) == (256, len(STEPS) // 256)
    assert found["gaps"] == [[1099, 2000], [2029, 3000]]
    assert found["thinned"] == found["problems"] == []
    first, second = found["sessions"]
    assert (first["session"], first["end"], first["snapshots"], first["segments"]) == (
        made.SESSION,
        None,
        len(STEPS),
        1,
    )
    assert (second["session"], second["end"], second["started"]) == (made.LATER, "finished", made.BEGAN + 9)


def test_a_person_is_told_the_same(run: Path) -> None:
    done = call(run)
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    for part in (
        "1,131 snapshots, steps 0 to 3,000",
        "net.b#1",
        "ReLU",
        "finished",
        "killed",
        "1,099 and 2,000",
        "block",
    ):
        assert part in said, part


def test_a_damaged_run_says_what_can_be_said(run: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(run, tmp_path / "run"))
    segment = copied / "plugins" / "dgm" / f"{made.SESSION}-rank0" / "segment-00000"
    segment.write_bytes(b"\xff" + segment.read_bytes()[1:])
    done = call(copied, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert found["snapshots"] == 1  # the second session's
    assert any("segment-00000" in problem for problem in found["problems"])
    assert "problem" in call(copied).output


def test_no_run_says_what_to_give(tmp_path: Path) -> None:
    done = call(tmp_path)
    assert done.exit_code == 1
    assert "plugins/dgm" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ([], []),
        ([5], []),
        ([0, 100], []),
        ([0, 1, 2, 4, 8, 16, 32, 64, 128], []),  # the dense start
        ([0, 50, 100, 101, 102, 103, 150, 200], []),  # a dense stretch
        ([0, 50, 100, 200, 300, 500, 700], []),  # the interval grows with the disk budget
        ([0, 50, 100, 400, 450], [(100, 400)]),
        ([0, 500, 510, 520], [(0, 500)]),
    ],
)
def test_gaps(steps: list[int], found: list[tuple[int, int]]) -> None:
    assert list(gaps(np.array(steps, np.int64))) == found


def test_sizes() -> None:
    assert [size(count) for count in (0, 1023, 1024, 5 * 2**30, 5000 * 2**30)] == [
        "0 B", "1,023 B", "1.0 KiB", "5.0 GiB", "5,000.0 GiB",
    ]  # fmt: skip
