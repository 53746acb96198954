"""``dgm-tb demo`` as a person runs it: the tab stands open while the training runs, and follows it without a reload."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.tab import Tab, opened
from tests.waiting import until

pytestmark = pytest.mark.timeout(600)

#: Seconds from a snapshot to its being on screen; browser, server and training share two cores here.
SOON = 10.0


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a demo that is training just now is served."""
    logdir = tmp_path_factory.mktemp("live")
    command = [str(Path(sys.executable).with_name("dgm-tb")), "demo", "--logdir", str(logdir), "--port", "0"]
    said = logdir / "said"
    with said.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        found = until(lambda: re.search(r"(http://\S+)#dgm", said.read_text()), seconds=180)
        assert found
        yield found[1]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def snapshots(tab: Tab) -> int:
    count: int = tab.ask("loss.snapshots.length")
    return count


def test_new_snapshots_appear_without_a_reload(browser: Browser, address: str) -> None:
    with opened(browser, address) as tab:
        tab.frame.evaluate("window.neverReloaded = true")
        expect(tab.element("live")).to_have_attribute("data-state", "live")
        for _ in range(5):
            before, step = snapshots(tab), tab.ask("focus.step")
            began = time.monotonic()
            until(lambda before=before: snapshots(tab) > before, seconds=SOON)  # type: ignore[misc]
            until(lambda step=step: tab.ask("focus.step") > step, seconds=SOON)  # type: ignore[misc]
            print(f"new snapshots after {time.monotonic() - began:.1f} s")
        assert tab.frame.evaluate("window.neverReloaded") is True
        assert tab.ask("errors") == {}
        tab.picture("light-live")


def test_a_pinned_focus_stays_while_snapshots_come(browser: Browser, address: str) -> None:
    with opened(browser, address) as tab:
        until(lambda: snapshots(tab) > 10)
        step = tab.ask("loss.snapshots[10]")
        tab.go_to(step)
        pinned, before = tab.ask("focus.step"), snapshots(tab)
        until(lambda: snapshots(tab) > before + 5, seconds=60)
        assert tab.ask("focus.step") == pinned
        tab.element("go-live").click()
        until(lambda: tab.ask("focus.step") > pinned, seconds=SOON)
