"""What can go wrong behind the neuron level, provoked behind a real TensorBoard: the tab says what and what helps."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from dgm_tb.replay import deep
from dgm_tb.replay.client import MEMORY
from tests.browser.failing import DRIVEN, EARLIER, FAILED, HEAD, write_failing
from tests.browser.tab import TIMEOUT, Tab, opened
from tests.integration.server import TensorBoard, tensorboard

pytestmark = pytest.mark.timeout(600)


def link(run: str, step: int = FAILED) -> str:
    return f"#dgm&p.dgm.run={run}&p.dgm.focus={step}&p.dgm.node={HEAD}&p.dgm.units={DRIVEN}&p.dgm.cause=change"


def says(tab: Tab, *parts: str) -> None:
    """The panel has given up, says so in these words, and everything above it works."""
    message = tab.element("credit-failed")
    for part in parts:
        expect(message).to_contain_text(part, timeout=TIMEOUT)
    expect(tab.element("credit-progress")).to_have_count(0)
    expect(tab.element("credit-waiting")).to_have_count(0)
    assert tab.ask("errors") == {}
    assert tab.ask("layer.node") == HEAD


@contextmanager
def refused(browser: Browser, server: TensorBoard, fragment: str) -> Iterator[Tab]:
    """A tab whose questions are answered by a 404 or 409: the browser tells of each on its console."""
    assert server.address
    with opened(browser, server.address, fragment=fragment) as tab:
        yield tab
        tab.page.wait_for_timeout(100)  # Playwright learns of the console only while it runs
        tab.complaints[:] = [text for text in tab.complaints if "Failed to load resource" not in text]


def answered(tab: Tab) -> None:
    tab.frame.wait_for_function("window.__dgm.credit?.state === 'done'", timeout=TIMEOUT)


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    logdir = tmp_path_factory.mktemp("failures")
    for name in ("killed", "shared", "hostile", "deleted", "torn"):
        write_failing(logdir / name)
    return logdir


@pytest.fixture(scope="module")
def server(logdir: Path) -> Iterator[TensorBoard]:
    with tensorboard("--logdir", str(logdir)) as server:
        yield server


def snapshot(logdir: Path, run: str, step: int = FAILED) -> Path:
    """The directory of a deep snapshot."""
    (session,) = (logdir / run / "plugins" / "dgm").iterdir()
    return next(one.path for one in deep.listing(session) if one.step == step)


def workers(server: TensorBoard) -> list[int]:
    """The processes that run tapes for a server; its threads start them, and come and go."""
    found: list[int] = []
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        with suppress(OSError):
            children = (task / "children").read_text().split()
            found += [int(pid) for pid in children if "dgm_tb.replay" in Path(f"/proc/{pid}/cmdline").read_text()]
    return found


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@contextmanager
def nothing_lives(server: TensorBoard) -> Iterator[None]:
    """Kills each worker as soon as it is there."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            for pid in workers(server):
                kill(pid)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_worker_that_is_killed_again_and_again_is_told_and_one_that_is_killed_once_is_not_noticed(
    browser: Browser, server: TensorBoard
) -> None:
    assert server.address
    with opened(browser, server.address, fragment=link("killed")) as tab:
        answered(tab)
        alive = workers(server)
        assert len(alive) == 1
        kill(alive[0])
        tab.element("batch-same").click()
        answered(tab)
        with nothing_lives(server):
            tab.element("method-value").click()
            says(tab, "ended twice (signal 9", MEMORY)
            tab.picture("failure-1-killed")
        tab.element("credit-retry").click()
        answered(tab)
        expect(tab.element("credit-failed")).to_have_count(0)


def test_behind_another_tabs_question_it_waits_says_so_and_is_answered(browser: Browser, server: TensorBoard) -> None:
    assert server.address
    target = {"run": "shared", "step": FAILED, "node": "mean"}
    with opened(browser, server.address, fragment=link("shared")) as tab:
        tab.frame.wait_for_function("window.__dgm.credit?.laterState === 'done'", timeout=TIMEOUT)
        (worker,) = workers(server)
        os.kill(worker, signal.SIGSTOP)
        try:
            assert server.json("data/plugin/dgm/credit", **target, asker="another")["state"] == "running"
            tab.element("batch-same").click()
            expect(tab.element("panel-credit")).to_have_attribute("aria-busy", "true")
            tab.frame.wait_for_function("window.__dgm.credit.state === 'waiting'", timeout=TIMEOUT)
            # The other tab is still there: the line stays as it is.
            assert server.json("data/plugin/dgm/credit", **target, asker="another")["state"] == "running"
            assert tab.ask("credit.state") == "waiting"
        finally:
            os.kill(worker, signal.SIGCONT)
        answered(tab)
        status, kind, _ = server.get("data/plugin/dgm/credit", **target, asker="another")
        assert (status, kind) == (200, "application/octet-stream")


def test_a_tape_with_an_op_off_the_list_is_refused(browser: Browser, server: TensorBoard, logdir: Path) -> None:
    tape = snapshot(logdir, "hostile") / deep.TAPE
    tape.write_bytes(tape.read_bytes().replace(b"aten.exp.default", b"aten.from_file.default"))
    with refused(browser, server, link("hostile")) as tab:
        says(tab, "aten.from_file.default", "not among the ops that are run")
        tab.picture("failure-2-hostile")


def test_a_deep_snapshot_that_is_deleted_meanwhile_is_told(browser: Browser, server: TensorBoard, logdir: Path) -> None:
    with refused(browser, server, link("deleted").partition("&p.dgm.cause")[0]) as tab:
        expect(tab.element("why")).to_contain_text(f"from step {EARLIER} to {FAILED}")
        shutil.rmtree(snapshot(logdir, "deleted"))
        tab.element("why").click()
        says(tab, f"step {FAILED} is no deep snapshot")
        tab.picture("failure-3-deleted")
        tab.element("credit-retry").click()
        expect(tab.element("credit-first")).to_contain_text(f"Step {EARLIER} is the first deep snapshot")


def test_numbers_that_are_cut_off_are_told(browser: Browser, server: TensorBoard, logdir: Path) -> None:
    tensors = snapshot(logdir, "torn") / deep.TENSORS
    tensors.write_bytes(tensors.read_bytes()[:-100])
    with refused(browser, server, link("torn")) as tab:
        says(tab, "bytes of numbers, its header tells of")
        tab.picture("failure-4-torn")


def test_a_step_that_is_too_large_for_the_memory_limit_is_told(browser: Browser, logdir: Path) -> None:
    with tensorboard("--logdir", str(logdir), environment={MEMORY: "1000000"}) as server:
        assert server.address
        with opened(browser, server.address, fragment=link("killed")) as tab:
            says(tab, "PyTorch alone takes", MEMORY)
            tab.picture("failure-5-memory")


def test_without_a_torch_that_works_the_tab_says_so_and_everything_else_works(
    browser: Browser, logdir: Path, tmp_path: Path
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('no kernel image is available')")
    with tensorboard("--logdir", str(logdir), environment={"PYTHONPATH": str(tmp_path)}) as server:
        assert server.address
        with opened(browser, server.address, fragment=link("killed")) as tab:
            says(tab, "pip install torch safetensors", "no kernel image is available")
            tab.element("credit-close").click()
            tab.click_step(EARLIER)
            tab.element("jump-0").click()
            tab.settle()
            tab.picture("failure-6-no-torch")
