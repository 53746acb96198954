from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from dgm_tb.plugin.desk import Desk
from dgm_tb.queries import warmth
from dgm_tb.store import catalog
from tests.waiting import until


def test_asking_whether_there_are_runs_waits_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "a" / "plugins" / "dgm").mkdir(parents=True)
    desk = Desk(str(tmp_path), {"": tmp_path})
    assert not desk.active  # nothing was opened yet, and asking does not
    desk.open_soon()
    until(lambda: desk.active)


def test_all_threads_get_the_same_catalogue(tmp_path: Path) -> None:
    desk, found = Desk(str(tmp_path), {"": tmp_path}), []
    threads = [threading.Thread(target=lambda: found.append((desk.catalog, desk.heartbeat))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1


def test_a_catalogue_that_cannot_be_made_is_logged_and_leaves_the_tab_inactive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(catalog, "Catalog", None)
    desk = Desk(str(tmp_path), {"": tmp_path})
    with caplog.at_level(logging.ERROR):
        desk.open_soon()
        until(lambda: "its tab stays inactive" in caplog.text)
    assert not desk.active


def test_the_kernels_are_compiled_once_and_a_failure_is_only_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    def failing() -> None:
        calls.append(1)
        raise RuntimeError("no compiler")

    monkeypatch.setattr(warmth, "compile_kernels", failing)
    desk = Desk(str(tmp_path), {"": tmp_path})
    with caplog.at_level(logging.ERROR):
        desk.warm_soon()
        until(lambda: "cannot prepare the layer panel" in caplog.text)
        desk.warm_soon()
    assert calls == [1]
