"""The neuron level in a real browser: from the loss that is not finite to who did it, and a test of that cause."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.browser.failing import DRIVEN, EARLIER, FAILED, HEAD, write_failing, write_without
from tests.browser.tab import TIMEOUT, Tab, opened
from tests.integration.server import tensorboard

pytestmark = pytest.mark.timeout(600)

RUN = "#dgm&p.dgm.run=failing"
OPEN = f"{RUN}&p.dgm.focus={FAILED}&p.dgm.node={HEAD}&p.dgm.units={DRIVEN}&p.dgm.cause=change"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    logdir = tmp_path_factory.mktemp("failing")
    write_failing(logdir / "failing")
    write_without(logdir / "plain")
    with tensorboard("--logdir", str(logdir)) as server:
        assert server.address
        yield server.address


def answered(tab: Tab) -> None:
    """Waits until the worker has said who did it."""
    tab.frame.wait_for_function("window.__dgm.credit?.state === 'done'", timeout=TIMEOUT)


def sums(tab: Tab) -> dict[str, float]:
    """Layer → what of the change goes through it."""
    return {block["node"]: block["sum"] for column in tab.ask("credit.columns") for block in column["blocks"]}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_from_the_failure_to_its_cause_in_three_clicks(theme: str, browser: Browser, address: str) -> None:
    with opened(browser, address, dark=theme == "dark", fragment=RUN) as tab:
        # One: the step whose loss is not finite. Which op broke there and who drove it is told without being asked.
        tab.element("failure-show").click()
        expect(tab.element("origin")).to_contain_text("exp", timeout=TIMEOUT)
        driver = tab.ask("origin.driver")
        assert (driver["node"], driver["units"]) == (HEAD, [DRIVEN])
        assert driver["high"] == pytest.approx(200, abs=5)
        expect(tab.element("origin-driven")).to_contain_text(f"unit {DRIVEN} of {HEAD}")
        assert tab.ask("focus.step") == FAILED
        # Two: why is it so?
        tab.element("origin-driver").click()
        answered(tab)
        assert tab.ask("selection") == tab.ask("selection") | {"node": HEAD, "units": [DRIVEN]}
        # That unit was chosen; what it was and became is said, and how much of that is accounted for.
        credit = tab.ask("credit")
        assert credit["target"] == {"node": HEAD, "units": [DRIVEN]}
        assert (credit["from"], credit["to"]) == (EARLIER, FAILED)
        assert credit["after"] - credit["before"] == pytest.approx(200, abs=5)
        assert credit["converged"] is True
        expect(tab.element("credit-complete")).to_contain_text("Parts add up to")
        # The layers before it, in order; its own weights did it.
        nodes = [[block["node"] for block in column["blocks"]] for column in credit["columns"]]
        assert nodes[: credit["aim"] + 1] == [["encoder.0"], ["encoder.1"], [HEAD]]
        expect(tab.element(f"module-{HEAD}")).to_contain_text("100 %")
        # Where it became not finite stays in view.
        expect(tab.element("origin")).to_contain_text("exp")
        expect(tab.element("origin-driver")).to_have_count(0)
        # Samples as images; undoing the cause keeps the loss finite.
        drawn = tab.element("credit-samples").locator("canvas[data-drawn=true]")
        expect(drawn).to_have_count(6)
        # Three: the cause is put to the test.
        tab.element("origin-test").click()
        expect(tab.element("test-result")).to_be_in_viewport(timeout=TIMEOUT)
        expect(tab.element("test-result")).to_contain_text("stays finite", timeout=TIMEOUT)
        assert tab.ask("credit.trial.at") == HEAD
        assert tab.ask("credit.trial.change") == "clamp"
        assert tab.ask("credit.outcome.loss_finite_after") is True
        tab.page.mouse.move(5, 5)
        tab.picture(f"{theme}-8-cause")
        assert tab.ask("errors") == {}


def test_a_cause_that_is_none_is_refuted(browser: Browser, address: str) -> None:
    with opened(browser, address, fragment=OPEN) as tab:
        answered(tab)
        tab.element("change-restore-samples").click()
        tab.element("test-run").click()
        expect(tab.element("test-result")).to_contain_text("still not finite", timeout=TIMEOUT)
        tab.element("change-restore-weights").click()
        tab.element("test-run").click()
        expect(tab.element("test-result")).to_contain_text("This is a cause", timeout=TIMEOUT)


def test_the_blame_is_walked_back_and_forth(browser: Browser, address: str) -> None:
    with opened(browser, address, fragment=OPEN) as tab:
        answered(tab)
        tile = tab.frame.locator("[data-testid^='tile-encoder.1-']").first
        unit = int((tile.get_attribute("data-testid") or "").rpartition("-")[2])
        tile.click()
        tab.frame.wait_for_function("window.__dgm.credit?.target.node === 'encoder.1'")
        answered(tab)
        assert tab.ask("credit.target.units") == [unit]
        assert tab.ask("selection.node") == "encoder.1"
        assert tab.ask("credit.trail") == [{"node": HEAD, "units": [DRIVEN]}]
        tab.element("trail-0").click()
        tab.frame.wait_for_function(f"window.__dgm.credit?.target.node === '{HEAD}'")
        answered(tab)
        assert tab.ask("credit.trail") == []


def test_tiles_are_reached_by_the_keyboard(browser: Browser, address: str) -> None:
    with opened(browser, address, fragment=OPEN) as tab:
        answered(tab)
        first = tab.frame.locator("[data-testid='tableau'] button[tabindex='0']")
        expect(first).to_have_count(1)
        first.focus()
        for _ in range(2):  # two tiles stand beside each other in a column
            tab.page.keyboard.press("ArrowRight")
        focused = tab.frame.evaluate("document.activeElement.dataset.testid")
        assert focused.startswith("tile-encoder.1-")
        tab.page.keyboard.press("Enter")
        tab.frame.wait_for_function("window.__dgm.credit?.target.node === 'encoder.1'")
        tab.page.keyboard.press("Escape")
        tab.frame.wait_for_function("window.__dgm.credit === null")


def test_the_value_the_gradient_and_the_loss_are_explained_too(browser: Browser, address: str) -> None:
    with opened(browser, address, fragment=f"{OPEN},,{EARLIER}") as tab:
        # The first deep snapshot has none before it: its value can be explained.
        expect(tab.element("credit-first")).to_be_visible()
        tab.element("credit-value").click()
        answered(tab)
        assert tab.ask("credit.method") == "value"
        assert sums(tab)["encoder.1"] == pytest.approx(tab.ask("credit.after") - tab.ask("credit.before"), abs=1e-3)
        for of in ("gradient", "loss"):
            tab.element("choice-credit-of").select_option(of)
            tab.frame.wait_for_function(f"window.__dgm.credit?.of === '{of}' && window.__dgm.credit.state === 'done'")
            assert tab.ask("credit.columns.length") > 1


def test_a_click_on_a_diamond_explains_that_step(browser: Browser, address: str) -> None:
    with opened(browser, address, fragment=f"{RUN}&p.dgm.node={HEAD}") as tab:
        assert tab.ask("deep") == [EARLIER, FAILED]
        chart = tab.frame.locator(".loss-chart .u-over").bounding_box()
        assert chart is not None
        x, _ = tab.point(tab.ask(f"loss.pointOf({EARLIER})"))
        tab.page.mouse.click(x, chart["y"] + chart["height"] - 11)
        tab.frame.wait_for_function(f"window.__dgm.credit?.to === {EARLIER} && window.__dgm.focus.step === {EARLIER}")


def test_the_link_brings_the_cause_back(browser: Browser, address: str) -> None:
    with opened(browser, address, fragment=OPEN) as tab:
        answered(tab)
        tab.element("batch-same").click()
        tab.frame.locator("[data-testid^='tile-encoder.1-']").first.click()
        tab.page.wait_for_function("location.hash.includes('same') && location.hash.includes('trail')")
        link = tab.page.evaluate("location.hash")
    with opened(browser, address, fragment=link) as tab:
        answered(tab)
        assert tab.ask("credit.batch") == "same"
        assert tab.ask("credit.target.node") == "encoder.1"
        # The way that was walked, too: it leads back.
        assert tab.ask("credit.trail") == [{"node": HEAD, "units": [DRIVEN]}]
        tab.element("trail-0").click()
        tab.frame.wait_for_function(
            f"window.__dgm.credit.target.node === '{HEAD}' && !window.__dgm.credit.trail.length"
        )


def test_the_parts_and_the_picture_are_saved(browser: Browser, address: str, tmp_path: Path) -> None:
    with opened(browser, address, fragment=OPEN) as tab:
        answered(tab)
        tab.settle()
        for kind in ("csv", "png"):
            with tab.page.expect_download() as download:
                tab.element(f"save-{kind}").click()
            assert download.value.suggested_filename == f"cause-failing-{HEAD}-{EARLIER}-{FAILED}.{kind}"
            download.value.save_as(tmp_path / kind)
        rows = list(csv.DictReader((tmp_path / "csv").read_text().splitlines()))
        of_head = [row for row in rows if (row["kind"], row["node"]) == ("unit", HEAD)]
        assert [row["index"] for row in of_head if float(row["credit"]) != 0] == [str(DRIVEN)]
        assert float(of_head[DRIVEN]["share"]) == pytest.approx(1, abs=1e-3)
        ends = ("parameter", "buffer", "input", "noise", "labels", "unaccounted")
        assert sum(float(row["share"]) for row in rows if row["kind"] in ends) == pytest.approx(1, abs=1e-4)
        assert (tmp_path / "png").read_bytes().startswith(b"\x89PNG")


def test_a_run_without_deep_snapshots_says_how_to_get_some(browser: Browser, address: str) -> None:
    with opened(
        browser, address, fragment=f"#dgm&p.dgm.run=plain&p.dgm.focus={FAILED}&p.dgm.node={HEAD}&p.dgm.cause=change"
    ) as tab:
        expect(tab.element("no-deep")).to_contain_text("deep_every_n_steps")
        assert tab.ask("errors") == {}
        tab.element("credit-close").click()
        expect(tab.element("failure")).to_contain_text("This step is no deep snapshot")


def test_what_the_worker_cannot_do_is_said_and_all_else_works(browser: Browser, address: str) -> None:
    def refuse(route: Route) -> None:
        route.fulfill(json={"state": "failed", "message": "Credit and replay need PyTorch where TensorBoard runs"})

    with opened(browser, address, fragment=RUN) as tab:
        tab.page.route("**/credit?**", refuse)
        tab.click_step(FAILED)
        tab.element("jump-0").click()
        tab.frame.wait_for_function(f"window.__dgm.layer?.node === '{HEAD}'")
        tab.element("why").click()
        expect(tab.element("credit-failed")).to_contain_text("need PyTorch")
        assert tab.ask("layer.node") == HEAD
        tab.page.unroute("**/credit?**")
        tab.element("credit-retry").click()
        answered(tab)
