from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from dgm_tb.errors import UnknownNameError
from dgm_tb.store.catalog import Catalog
from tests.store import made

DEADLINE = 30.0


def record(run: Path, steps: tuple[int, ...] = (0,), session: str = made.SESSION) -> None:
    made.write(run, [made.manifest(), *(made.snapshot(step) for step in steps)], session=session)


@pytest.mark.parametrize(
    ("run", "name"),
    [
        ("", "."),
        ("version_0", "version_0"),
        ("lightning_logs/version_0", "lightning_logs/version_0"),
        ("a/b/c/d", "a/b/c/d"),
    ],
)
def test_a_run_is_named_by_its_place_as_tensorboard_does(tmp_path: Path, run: str, name: str) -> None:
    record(tmp_path / run)
    catalog = Catalog({"": tmp_path})
    assert catalog.names() == (name,)
    assert catalog.open(name).name == name
    assert catalog.open(name).steps.tolist() == [0]


def test_runs_deeper_than_a_log_directory_goes_are_not_looked_for(tmp_path: Path) -> None:
    record(tmp_path / "a/b/c/d/e")
    assert Catalog({"": tmp_path}).names() == ()


def test_named_roots_prefix_their_runs(tmp_path: Path) -> None:
    record(tmp_path / "one" / "v0")
    record(tmp_path / "two")
    assert Catalog({"first": tmp_path / "one", "second": tmp_path / "two"}).names() == ("first/v0", "second/.")


def test_a_run_below_a_run_is_found_too(tmp_path: Path) -> None:
    record(tmp_path)
    record(tmp_path / "v1")
    assert Catalog({"": tmp_path}).names() == (".", "v1")


@pytest.mark.parametrize("root", ["nowhere", "a_file"])
def test_a_root_that_is_no_directory_has_no_runs(tmp_path: Path, root: str) -> None:
    (tmp_path / "a_file").write_text("")
    catalog = Catalog({"": tmp_path / root})
    assert catalog.names() == ()
    assert not catalog.active


def test_an_unknown_run_names_those_there_are(tmp_path: Path) -> None:
    catalog = Catalog({"": tmp_path})
    with pytest.raises(UnknownNameError, match="no run 'x'; the runs are: none yet"):
        catalog.open("x")
    record(tmp_path / "v0")
    catalog.scan()
    with pytest.raises(UnknownNameError, match=r"no run '../v0'; the runs are: v0"):
        catalog.open("../v0")


def test_links_out_of_the_log_directory_are_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path / "secret")
    logdir = tmp_path / "logs"
    record(logdir / "v0")
    (logdir / "out").symlink_to(tmp_path / "secret")
    (logdir / "latest").symlink_to(logdir / "v0")
    (logdir / "loop").symlink_to(logdir)
    (logdir / "v1" / "plugins").mkdir(parents=True)
    (logdir / "v1" / "plugins" / "dgm").symlink_to(tmp_path / "secret" / "plugins" / "dgm")
    listed: list[str] = []
    scandir = os.scandir

    def noting(path: str) -> object:
        listed.append(os.path.realpath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noting)
    names = Catalog({"": logdir}).names()
    assert [path for path in listed if not path.startswith(str(logdir))] == []
    assert {"v0", "latest"} <= set(names)
    assert not [name for name in names if "out" in name or "v1" in name]
    linked = tmp_path / "a link to all logs"
    linked.symlink_to(logdir)
    assert "v0" in Catalog({"": linked}).names()


def test_a_foreign_folder_is_listed_and_says_why(tmp_path: Path) -> None:
    record(tmp_path / "good")
    (tmp_path / "bad" / "plugins" / "dgm").mkdir(parents=True)
    (tmp_path / "bad" / "plugins" / "dgm" / "holiday.jpg").write_bytes(b"\xff\xd8")
    catalog = Catalog({"": tmp_path})
    assert catalog.names() == ("bad", "good")
    run = catalog.open("bad")
    assert run.steps.tolist() == []
    assert "nothing that was recorded by DGM" in run.problems[0]
    record(tmp_path / "bad")
    assert catalog.open("bad").steps.tolist() == [0]
    assert catalog.open("bad").problems == ()


def test_open_follows_growth_and_does_not_move_what_was_opened(tmp_path: Path) -> None:
    record(tmp_path / "v0")
    catalog = Catalog({"": tmp_path})
    before = catalog.open("v0")
    made.write(tmp_path / "v0", [made.manifest(created=made.BEGAN + 9), made.snapshot(7)], session=made.LATER)
    after = catalog.open("v0")
    assert before.steps.tolist() == [0]
    assert after.steps.tolist() == [0, 7]
    assert not before.refresh()


def test_runs_come_and_go(tmp_path: Path) -> None:
    record(tmp_path / "v0")
    catalog = Catalog({"": tmp_path})
    catalog.open("v0")
    shutil.rmtree(tmp_path / "v0")
    assert catalog.open("v0").steps.tolist() == []  # until it is known to be gone
    record(tmp_path / "v1")
    catalog.scan()
    assert catalog.names() == ("v1",)
    assert catalog.active


def test_a_run_made_anew_between_two_looks_has_a_later_generation(tmp_path: Path) -> None:
    record(tmp_path / "v0")
    catalog = Catalog({"": tmp_path})
    before = catalog.open("v0").generation
    shutil.rmtree(tmp_path / "v0")
    catalog.scan()
    record(tmp_path / "v0")
    catalog.scan()
    assert catalog.open("v0").generation > before


def test_the_thread_finds_a_run_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dgm_tb.store.catalog._PAUSE", 0.01)
    before = threading.enumerate()
    with Catalog({"": tmp_path}) as catalog:
        assert catalog.names() == ()
        record(tmp_path / "v0")
        deadline = time.monotonic() + DEADLINE
        while not catalog.active:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        assert catalog.names() == ("v0",)
    assert set(threading.enumerate()) <= set(before)


def test_a_scan_that_fails_is_logged_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("dgm_tb.store.catalog._PAUSE", 0.01)
    record(tmp_path / "v0")
    scans = iter([RuntimeError("once"), None])
    scan = Catalog.scan

    def failing(self: Catalog) -> None:
        error = next(scans, None)
        if error is not None:
            raise error
        scan(self)

    monkeypatch.setattr(Catalog, "scan", failing)
    with Catalog({"": tmp_path}) as catalog:
        deadline = time.monotonic() + DEADLINE
        while not catalog.active:
            assert time.monotonic() < deadline
            time.sleep(0.005)
    assert "scanning" in caplog.text


def test_a_directory_that_may_not_be_read_hides_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path / "v0")
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert Catalog({"": tmp_path}).names() == ("v0",)
