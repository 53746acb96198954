"""A run too long to be drawn snapshot by snapshot, in a real browser: the whole of it, a brushed part, single ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.tab import Tab, opened
from tests.integration.server import tensorboard
from tests.synthetic import EVERY, JUMPERS, SPIKE_NODE, WIDE_NODE, Shape, write_run

pytestmark = pytest.mark.timeout(600)

#: More than the 2,048 columns that a reply holds, so that points of 16 snapshots are drawn.
SHAPE = Shape(width=8, snapshots=2400)
SPIKE = SHAPE.spike * EVERY
LAST = (SHAPE.snapshots - 1) * EVERY
RUN = f"#dgm&p.dgm.run=long&p.dgm.focus={SPIKE}&p.dgm.node={SPIKE_NODE}"
WORDS = "each point: min and max over 16 snapshots"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    logdir = tmp_path_factory.mktemp("long")
    write_run(Path(logdir) / "long", SHAPE)
    with tensorboard("--logdir", str(logdir)) as server:
        assert server.address
        yield server.address


def show_whole(tab: Tab) -> None:
    tab.element("whole-run").click()
    tab.frame.wait_for_function("window.__dgm.resolution?.level === 1 && window.__dgm.layer?.level === 1")
    tab.settle()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_whole_run_then_a_part_then_its_snapshots(theme: str, browser: Browser, address: str) -> None:
    with opened(browser, address, dark=theme == "dark", fragment=RUN) as tab:
        assert tab.ask("resolution.level") == 0
        show_whole(tab)
        # Every chart reaches from the first to the last snapshot, in no more columns than a screen shows.
        for of in ("resolution", "layer"):
            assert tab.ask(f"{of}.each") == 16
        assert (tab.ask("resolution.first"), tab.ask("resolution.last")) == (0, LAST)
        assert (tab.ask("layer.steps[0]"), tab.ask("layer.steps.at(-1)")) == (0, LAST)
        assert 2 * (SHAPE.snapshots // 16) <= tab.ask("layer.steps.length") <= 2048
        expect(tab.element("resolution").first).to_have_text(WORDS)
        expect(tab.element("layer-resolution")).to_have_text(WORDS)
        # The focus is a single snapshot still: the jump into it ranks first, its units are listed first.
        assert tab.ask("focus.step") == SPIKE
        assert tab.ask("ranking[0].node") == SPIKE_NODE
        for unit in JUMPERS:
            expect(tab.element(f"outlier-{unit}")).to_be_visible()
        tab.picture(f"{theme}-5-whole")
        # A unit: its outline says which steps it sums up, and within which values.
        tab.click(tab.ask(f"layer.pointOf({JUMPERS[0]}, {SPIKE})"))
        tab.frame.wait_for_function(f"window.__dgm.selection.series.includes({JUMPERS[0]})")
        tab.settle()
        assert tab.ask("selection.level") == 1
        tab.page.mouse.move(*tab.point(tab.ask(f"layer.pointOf({JUMPERS[0]}, {SPIKE})")))
        expect(tab.element("layer-tip")).to_contain_text(f"over steps {SPIKE // 160 * 160:,} to")
        expect(tab.element("layer-tip")).to_contain_text(" to ")
        tab.picture(f"{theme}-6-whole-unit")
        # A part of it: every snapshot again.
        tab.brush(SPIKE - 4000, SPIKE + 2000)
        tab.frame.wait_for_function("window.__dgm.layer?.level === 0 && window.__dgm.selection.level === 0")
        tab.settle()
        steps = tab.ask("layer.steps")
        assert steps[0] >= SPIKE - 4100
        assert steps[-1] <= SPIKE + 2100
        assert len(steps) > 500
        assert steps == list(range(int(steps[0]), int(steps[-1]) + 1, EVERY))
        assert tab.ask("selection.steps") == steps
        expect(tab.element("resolution").first).to_have_text("every snapshot")
        tab.page.mouse.move(5, 5)
        tab.picture(f"{theme}-7-part")
        assert tab.ask("errors") == {}


def test_a_click_in_a_summed_up_chart_takes_a_single_snapshot(browser: Browser, address: str) -> None:
    with opened(browser, address, fragment=f"{RUN}&p.dgm.units={JUMPERS[0]}") as tab:
        show_whole(tab)
        box = tab.element("series-chart").bounding_box()
        assert box is not None
        tab.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        tab.frame.wait_for_function(f"window.__dgm.focus.step !== {SPIKE}")
        tab.settle()
        step = tab.ask("focus.step")
        assert step in tab.ask("loss.snapshots")
        assert abs(step - LAST / 2) < LAST / 10
        assert tab.ask("layer.focus") == step
        assert tab.ask("resolution.level") == 1


def test_the_link_brings_the_whole_run_back(browser: Browser, address: str) -> None:
    with opened(browser, address, fragment=f"{RUN}&p.dgm.range=whole") as tab:
        tab.frame.wait_for_function("window.__dgm.focus.whole && window.__dgm.resolution.level === 1")
        tab.element("clear-range").click()
        tab.frame.wait_for_function("window.__dgm.resolution.level === 0")
        expect(tab.element("slider-window")).to_be_visible()


def test_what_a_user_called_a_module_is_said(browser: Browser, address: str) -> None:
    with opened(browser, address, fragment=f"{RUN}&p.dgm.units={JUMPERS[0]}") as tab:
        expect(tab.element("strip-role")).to_contain_text("log-variance")
        expect(tab.element("layer-count")).to_contain_text("log-variance")
        assert "role: log-variance" in (tab.element(f"node-{SPIKE_NODE}").get_attribute("title") or "")


def test_a_layer_too_wide_to_be_read_at_every_snapshot_is_drawn_at_all_of_them(
    browser: Browser, tmp_path: Path
) -> None:
    shape = Shape(width=8, snapshots=45, wide=450_000, wide_statistics=("count", "mean"))
    write_run(tmp_path / "wide", shape)
    spike = shape.spike * EVERY
    with tensorboard("--logdir", str(tmp_path)) as server:
        assert server.address
        link = f"#dgm&p.dgm.run=wide&p.dgm.focus={spike}&p.dgm.node={WIDE_NODE}"
        with opened(browser, server.address, fragment=link) as tab:
            tab.frame.wait_for_function("window.__dgm.layer?.total === 450000", timeout=60_000)
            tab.settle()
            assert tab.ask("layer.steps") == list(range(spike - 25 * EVERY, 45 * EVERY, EVERY))
            assert tab.ask("layer.drawn") == 300
            for unit in JUMPERS:
                expect(tab.element(f"outlier-{unit}")).to_be_visible()
            tab.picture("light-8-wide")
            tab.element("whole-run").click()
            tab.frame.wait_for_function("window.__dgm.layer?.steps.length === 45", timeout=60_000)
            tab.settle()
            assert tab.ask("layer.level") == 0
            assert tab.ask("errors") == {}
            tab.picture("light-9-wide-whole")
