from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dgm_tb.errors import UnknownNameError
from dgm_tb.queries.runs import Heartbeat, Request
from dgm_tb.store.catalog import Catalog
from dgm_tb.store.run import Run
from tests.store import made
from tests.waiting import until

DEADLINE = 30.0
SESSION_DIRECTORY = f"{made.SESSION}-rank0"


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


def test_links_inside_a_run_are_not_followed(tmp_path: Path) -> None:
    record(tmp_path / "secret", steps=(0, 1, 2))
    secret = tmp_path / "secret" / "plugins" / "dgm" / SESSION_DIRECTORY
    logdir = tmp_path / "logs"
    record(logdir / "v0")
    (logdir / "v0" / "plugins" / "dgm" / f"{made.LATER}-rank0").symlink_to(secret)  # a session
    own = logdir / "v0" / "plugins" / "dgm" / SESSION_DIRECTORY
    for name in ("steps", "segment-00001", "journal-00000-00001", "block-00000-00001"):  # files of a session
        (own / name).symlink_to(secret / "journal-00000-00000")
    catalog = Catalog({"": logdir})
    assert catalog.open("v0").steps.tolist() == [0]
    assert catalog.open("v0").problems == ()
    (own / "journal-00000-00000").unlink()
    (own / "journal-00000-00000").symlink_to(secret / "journal-00000-00000")
    assert catalog.open("v0").steps.tolist() == []


@pytest.mark.parametrize("opened", [False, True])
def test_a_run_that_is_replaced_by_a_link_after_the_scan_is_not_opened(tmp_path: Path, opened: bool) -> None:
    record(tmp_path / "secret")
    record(tmp_path / "logs" / "v0")
    catalog = Catalog({"": tmp_path / "logs"})
    if opened:
        assert catalog.open("v0").steps.tolist() == [0]
    catalog.scan()
    shutil.rmtree(tmp_path / "logs" / "v0")
    (tmp_path / "logs" / "v0").symlink_to(tmp_path / "secret")
    with pytest.raises(UnknownNameError, match="no longer below the log directory"):
        catalog.open("v0")


def test_what_waits_to_be_opened_is_listed_newest_first(tmp_path: Path) -> None:
    for age, name in enumerate(("b", "c", "a")):
        record(tmp_path / name)
        os.utime(tmp_path / name / "plugins" / "dgm", (1000.0 - age, 1000.0 - age))
    catalog = Catalog({"": tmp_path})
    assert catalog.waiting() == ("b", "c", "a")
    catalog.open("c")
    assert catalog.waiting() == ("b", "a")


def test_a_thousand_runs_are_found_and_each_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path / "r")
    for number in range(1000):
        directory = tmp_path / f"group{number % 7}" / f"{number:04d}" / "plugins" / "dgm" / SESSION_DIRECTORY
        directory.mkdir(parents=True)
        os.link(tmp_path / "r" / "plugins" / "dgm" / SESSION_DIRECTORY / "segment-00000", directory / "segment-00000")
    opened: list[str] = []

    class Counted(Run):
        def __init__(self, directory: Path, name: str = "", **options: Any) -> None:
            opened.append(name)
            super().__init__(directory, name, **options)

    monkeypatch.setattr("dgm_tb.store.catalog.Run", Counted)
    catalog = Catalog({"": tmp_path})
    assert len(catalog.names()) == 1001
    assert not opened  # listing opens nothing
    heartbeat, heard, cursor = Heartbeat(catalog, "", time.time), set[str](), None

    def beat() -> bool:
        nonlocal cursor
        view = heartbeat.beat(Request(cursor))
        cursor = view.cursor
        heard.update(run.name for run in view.runs)
        return view.unread == 0

    until(beat)
    assert heard == set(catalog.names())
    assert sorted(opened) == sorted(catalog.names())


def test_threads_that_open_a_run_at_once_read_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path / "v0")
    opened, go_on = [], threading.Event()

    class Slow(Run):
        def __init__(self, directory: Path, name: str = "", **options: Any) -> None:
            opened.append(name)
            assert go_on.wait(30)
            super().__init__(directory, name, **options)

    monkeypatch.setattr("dgm_tb.store.catalog.Run", Slow)
    catalog, found = Catalog({"": tmp_path}), []
    threads = [threading.Thread(target=lambda: found.append(catalog.open("v0").steps.tolist())) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: opened)
    go_on.set()
    for thread in threads:
        thread.join()
    assert (found, opened) == ([[0]] * 4, ["v0"])


def test_a_run_that_is_deleted_while_it_is_open_reads_as_an_error_and_never_as_numbers(tmp_path: Path) -> None:
    record(tmp_path / "v0", steps=(0, 1))
    catalog = Catalog({"": tmp_path})
    open_one = catalog.open("v0")
    shutil.rmtree(tmp_path / "v0")
    with pytest.raises(FileNotFoundError):
        open_one.read(made.A, slice(None))
    assert catalog.open("v0").steps.tolist() == []
    catalog.scan()
    with pytest.raises(UnknownNameError, match="no run 'v0'"):
        catalog.open("v0")


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
