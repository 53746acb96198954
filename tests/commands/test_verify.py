"""dgm-tb verify: finds every flipped bit, and nothing where nothing is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from dgm_tb.cli import main
from dgm_tb.commands import census
from tests.store import made


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every kind of file."""
    run = tmp_path_factory.mktemp("run")
    made.write(
        run, [made.manifest(), made.GRAPH, *(made.plausible(step) for step in range(1100)), made.table(range(9))]
    )
    return run


@pytest.fixture
def run(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "run"))


def call(run: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["verify", str(run), *options])


def session(run: Path) -> Path:
    (path,) = (run / "plugins" / "dgm").iterdir()
    return path


def test_a_whole_run_is_whole(recorded: Path) -> None:
    done = call(recorded)
    assert done.exit_code == 0, done.output
    assert "nothing is damaged" in done.output
    found = json.loads(call(recorded, "--json").output)
    files = list(session(recorded).iterdir())
    assert (found["damaged"], found["torn"]) == ([], [])
    assert (found["files"], found["bytes"]) == (len(files), sum(path.stat().st_size for path in files))


def test_a_flipped_bit_anywhere_in_any_file_is_found(run: Path) -> None:
    rng = np.random.default_rng(0)
    kinds: dict[str, Path] = {}
    for file in census.sessions(run / "plugins" / "dgm")[0].files:
        kinds.setdefault(file.kind, file.path)
    assert set(kinds) >= {"segment", "journal", "block", "rollup", "rollblock", "steps", "end"}
    for path in kinds.values():
        data = path.read_bytes()
        for at in rng.integers(0, len(data), 12).tolist():
            damaged = bytearray(data)
            damaged[at] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged)
            done = call(run)
            assert done.exit_code == 1, f"byte {at} of {path.name}: {done.output}"
            assert path.name in done.output
        path.write_bytes(data)
    assert call(run).exit_code == 0


def test_what_is_lost_is_named(run: Path) -> None:
    journal = max(session(run).glob("journal-*"))
    data = bytearray(journal.read_bytes())
    data[-10] ^= 1  # the last row of the last snapshot
    journal.write_bytes(data)
    found = json.loads(call(run, "--json").output)
    assert {damage["file"] for damage in found["damaged"]} == {f"{session(run).name}/{journal.name}"}
    assert any("gradient of net.b#1 read as not recorded" in damage["what"] for damage in found["damaged"])


def test_a_torn_tail_is_told_and_is_no_damage(run: Path) -> None:
    journal = max(session(run).glob("journal-*"))
    with journal.open("r+b") as file:
        file.truncate(journal.stat().st_size - 1)
    done = call(run)
    assert done.exit_code == 0
    assert "last record is not whole" in " ".join(done.output.split())


def test_what_a_killed_process_left_of_a_block_is_no_damage(run: Path) -> None:
    block = min(session(run).glob("block-*"))
    data = block.read_bytes()
    (session(run) / ".block-00000-00017").write_bytes(data[: len(data) // 2])
    done = call(run)
    assert done.exit_code == 0, done.output
    assert "not whole" not in done.output


def test_a_journal_without_its_manifest_is_told(run: Path) -> None:
    (session(run) / "segment-00000").unlink()
    done = call(run)
    assert done.exit_code == 1
    assert "manifest" in done.output


def test_no_run_is_an_error(tmp_path: Path) -> None:
    assert (call(tmp_path / "nowhere").exit_code, call(tmp_path).exit_code) == (1, 1)
    assert "there is no" in call(tmp_path / "nowhere").output
