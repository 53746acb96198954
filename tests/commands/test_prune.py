"""dgm-tb prune: what it says is what it does, and what stays reads as before."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dgm_tb.cli import main
from dgm_tb.commands.prune import bytes_of
from dgm_tb.errors import UsageError
from dgm_tb.store.run import Run
from tests.crash.truth import Truth
from tests.store import made


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    made.write(
        run, [made.manifest(), made.GRAPH, *(made.plausible(step) for step in range(1100)), made.table(range(9))]
    )
    return run


@pytest.fixture
def run(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "run"))


def call(run: Path, most: int | str, *options: str) -> Result:
    return CliRunner().invoke(main, ["prune", str(run), "--max-disk", str(most), *options])


def taken(run: Path) -> int:
    return sum(path.stat().st_size for path in run.rglob("*") if path.is_file())


def test_a_pruned_run_fits_and_says_what_is_gone(run: Path) -> None:
    before = taken(run)
    most = before * 3 // 4
    done = call(run, most)
    assert done.exit_code == 0, done.output
    assert taken(run) <= most
    assert "given up" in done.output
    opened = Run(run)
    gone = {step for thin in opened.thinned if thin.level == 0 for step in range(thin.first_step, thin.last_step + 1)}
    assert gone
    assert Truth().never_wrong(opened) == set(range(1100)) - gone
    assert Truth().rollups_never_wrong(opened) - {0}


def test_a_dry_run_says_the_same_and_does_nothing(run: Path) -> None:
    files = {path: path.stat().st_size for path in run.rglob("*") if path.is_file()}
    most = taken(run) * 3 // 4
    said = json.loads(call(run, most, "--dry-run", "--json").output)
    assert {path: path.stat().st_size for path in run.rglob("*") if path.is_file()} == files
    done = json.loads(call(run, most, "--json").output)
    assert done["before"] == said["before"]
    assert sum(one["snapshots"] for one in done["given_up"]) == sum(one["snapshots"] for one in said["given_up"])
    # What is left grows by the note of what is gone.
    assert said["after"] <= done["after"] <= said["after"] + 2000


def test_a_dry_run_counts_what_a_crash_left_unfinished_and_needs_less(run: Path) -> None:
    before = taken(run)
    (session,) = (run / "plugins" / "dgm").iterdir()
    for name, age in ((".block-00000-00003", 4000), (".block-00000-00004", 10), (".other", 4000)):
        (session / name).write_bytes(bytes(before // 2))
        os.utime(session / name, (time.time() - age,) * 2)
    most = before * 2 + 1000
    said = json.loads(call(run, most, "--dry-run", "--json").output)
    assert not said["given_up"]
    assert said["before"] - said["after"] == before // 2
    done = json.loads(call(run, most, "--json").output)
    assert done == {**said, "dry_run": False}


def test_what_fits_already_stays(run: Path) -> None:
    files = {path: path.stat().st_size for path in run.rglob("*") if path.is_file()}
    assert call(run, "1GiB").exit_code == 0
    assert {path: path.stat().st_size for path in run.rglob("*") if path.is_file()} == files


def test_more_than_can_be_given_up_is_no_success(run: Path) -> None:
    done = call(run, 1)
    assert done.exit_code == 1
    assert "no more can be given up" in " ".join(done.output.split())
    assert Run(run).losses.steps.tolist() == list(range(9))


@pytest.mark.parametrize(("text", "size"), [("500MiB", 500 * 2**20), ("2 GB", 2 * 10**9), ("1.5kib", 1536), ("77", 77)])
def test_sizes(text: str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "much", "5 parsec", "-1GiB", "1e9"])
def test_what_is_no_size_is_refused(text: str, run: Path) -> None:
    with pytest.raises(UsageError, match="500MiB"):
        bytes_of(text)
    assert call(run, text).exit_code == 1
