"""The main job in a real browser on the real demo: from the loss spike to the layer to the units behind it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

import dgm_tb
from dgm_tb.run import RunView
from tests.browser.tab import Tab, opened
from tests.conftest import Demo
from tests.integration.server import TensorBoard
from tests.integration.test_demo import HEAD
from tests.spike import positions_before, spike_step

pytestmark = pytest.mark.timeout(600)

RUN = "#dgm&p.dgm.run=unclamped"


@pytest.fixture(scope="module")
def run(demo: Demo) -> Iterator[RunView]:
    with dgm_tb.open_run(demo.logdir / "unclamped") as run:
        yield run


def walk(tab: Tab, run: RunView, theme: str) -> None:
    """Loss → node → layer → unit."""
    spike = spike_step(run)
    tab.picture(f"{theme}-1-opened")
    tab.go_to(spike)
    assert tab.ask("focus.step") == spike
    expect(tab.element("focus-step")).to_have_text(f"{spike:,}")
    # B: the failing head ranks first, is listed first and is the hottest box.
    assert tab.ask("ranking[0].node") == HEAD
    expect(tab.element("jump-0")).to_have_attribute("data-node", HEAD)
    boxes = [box for box in tab.ask("nodes") if box["kind"] == "node" and box["score"] is not None]
    assert max(boxes, key=lambda box: box["score"])["name"] == HEAD
    tab.picture(f"{theme}-2-focus")
    # C: its units; the outliers are marked.
    tab.element("jump-0").click()
    tab.frame.wait_for_function(f"window.__dgm.layer?.node === '{HEAD}'")
    tab.settle()
    layer = tab.ask("layer")
    assert layer["focus"] == spike
    assert layer["total"] == 512
    assert layer["drawn"] == 300
    assert layer["outliers"]
    expect(tab.element("layer-count")).to_contain_text("300 of 512 units")
    # Units jump extremely here, so the list beside the lines is that of the jumps.
    expect(tab.element("list-jumps")).to_have_attribute("aria-pressed", "true")
    # A unit: clicked on its line, shown over the whole run.
    unit = biggest_mover(run, spike, layer["units"])
    tab.click(tab.ask(f"layer.pointOf({unit}, {spike})"))
    tab.frame.wait_for_function("window.__dgm.selection.series.length > 0")
    tab.settle()
    (chosen,) = tab.ask("selection.units")
    assert tab.ask("selection.series") == [chosen]
    expect(tab.element(f"unit-{chosen}")).to_be_visible()
    expect(tab.element("series-chart")).to_be_visible()
    tab.page.mouse.move(5, 5)
    tab.picture(f"{theme}-3-unit")
    assert tab.ask("errors") == {}


def biggest_mover(run: RunView, spike: int, among: list[int]) -> int:
    before = run.steps[positions_before(run, spike)[-2:]]
    values = run.series(HEAD, "activation", steps=before, units=among)
    return among[int(np.argmax(np.abs(np.diff(values, axis=0))[0]))]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_from_the_spike_to_the_unit(theme: str, browser: Browser, server: TensorBoard, run: RunView) -> None:
    with opened(browser, str(server.address), dark=theme == "dark", fragment=RUN) as tab:
        tab.frame.wait_for_function(f"window.__dgm.quantity.theme === '{theme}'")
        walk(tab, run, theme)


def test_an_outlier_chosen_in_the_list_is_shown_too(browser: Browser, server: TensorBoard, run: RunView) -> None:
    with opened(browser, str(server.address), fragment=RUN) as tab:
        tab.go_to(spike_step(run))
        tab.element("jump-0").click()
        tab.frame.wait_for_function(f"window.__dgm.layer?.node === '{HEAD}'")
        tab.settle()
        tab.element("list-outliers").click()
        outlier = tab.ask("layer.outliers[0]")
        tab.element(f"outlier-{outlier}").get_by_role("button").click()
        tab.frame.wait_for_function(f"window.__dgm.selection.series.includes({outlier})")


def test_another_quantity_is_another_ranking(browser: Browser, server: TensorBoard, run: RunView) -> None:
    with opened(browser, str(server.address), fragment=RUN) as tab:
        tab.go_to(spike_step(run))
        before = tab.ask("ranking")
        tab.element("choice-quantity").select_option("gradient")
        tab.frame.wait_for_function("window.__dgm.quantity.quantity === 'gradient'")
        tab.settle()
        assert tab.ask("ranking") != before


def test_the_link_brings_the_same_picture_back(browser: Browser, server: TensorBoard, run: RunView) -> None:
    spike = spike_step(run)
    with opened(browser, str(server.address), fragment=RUN) as tab:
        tab.go_to(spike)
        tab.element("jump-0").click()
        tab.frame.wait_for_function(f"window.__dgm.layer?.node === '{HEAD}'")
        tab.page.wait_for_function("location.hash.includes('variance2')")
        link = tab.page.evaluate("location.hash")
    with opened(browser, str(server.address), fragment=link) as tab:
        assert tab.ask("focus.step") == spike
        assert tab.ask("selection.node") == HEAD
        assert tab.ask("run.name") == "unclamped"


def test_the_healthy_twin_can_be_chosen(browser: Browser, server: TensorBoard) -> None:
    with opened(browser, str(server.address), fragment=RUN) as tab:
        tab.element("choice-run").select_option("clamped")
        tab.frame.wait_for_function("window.__dgm.run.name === 'clamped'")
        tab.settle()
        assert tab.ask("errors") == {}
        tab.picture("light-4-healthy")
