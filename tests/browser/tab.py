"""The DGM tab in a real browser, as the tests drive it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Frame, Locator, Page

from tests.waiting import until

#: Where screenshots go; git ignores it.
OUTPUT = Path(__file__).parents[1] / "output"
#: What TensorBoard 2.21 itself says on the console, whatever its tabs do.
TENSORBOARD_SAYS = ("Multiple instances of Three.js being imported",)
TIMEOUT = 60_000  # milliseconds


@dataclass
class Tab:
    """TensorBoard's page, the frame with our tab in it, and what the console complained about."""

    page: Page
    frame: Frame
    complaints: list[str] = field(default_factory=list)

    def ask(self, expression: str) -> Any:
        """A value of the tab's account of itself, such as ``focus.step``."""
        return self.frame.evaluate(f"window.__dgm.{expression}")

    def settle(self) -> None:
        """Waits until everything on show is drawn from the answers to what is asked now."""
        self.frame.wait_for_function("window.__dgm && window.__dgm.ready", timeout=TIMEOUT)

    def element(self, name: str) -> Locator:
        return self.frame.get_by_test_id(name)

    def point(self, place: dict[str, float]) -> tuple[float, float]:
        """A place in the tab's own pixels, in the page's."""
        box = self.frame.frame_element().bounding_box()
        assert box is not None
        return box["x"] + place["x"], box["y"] + place["y"]

    def click(self, place: dict[str, float]) -> None:
        self.page.mouse.click(*self.point(place))

    def brush(self, first: int, last: int) -> None:
        """Drags over the loss chart, so that it shows these steps only."""
        self.page.mouse.move(*self.point(self.ask(f"loss.pointOf({first})")))
        self.page.mouse.down()
        self.page.mouse.move(*self.point(self.ask(f"loss.pointOf({last})")), steps=5)
        self.page.mouse.up()
        until(lambda: self.ask("focus.range"))
        self.settle()

    def click_step(self, step: int) -> None:
        """Clicks where ``step`` stands in the loss chart, and waits until the focus is there and everything follows."""
        self.click(self.ask(f"loss.pointOf({step})"))
        until(lambda: self.ask("focus.step") == step)
        self.settle()

    def go_to(self, step: int) -> None:
        """As a person meets a step that is less than a pixel wide: a closer look at its surroundings, then a click."""
        known = self.ask("loss.snapshots")
        self.brush(max(step - 40, known[0]), min(step + 40, known[-1]))
        self.click_step(step)

    def picture(self, name: str) -> Path:
        """Takes a screenshot of the whole page."""
        OUTPUT.mkdir(exist_ok=True)
        path = OUTPUT / f"{name}.png"
        self.page.screenshot(path=path)
        return path


@contextmanager
def opened(browser: Browser, address: str, *, dark: bool = False, fragment: str = "#dgm") -> Iterator[Tab]:
    """Opens TensorBoard at our tab and waits for the first charts; at the end no complaint may be left."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    try:
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
        page.goto(address + fragment)
        if dark:
            _make_dark(page)
        frame = until(lambda: _frame(page), seconds=60)
        assert frame is not None
        tab = Tab(page, frame, complaints)
        tab.settle()
        yield tab
        serious = [text for text in complaints if text.startswith(("error", "warning", "exception"))]
        assert [text for text in serious if not any(known in text for known in TENSORBOARD_SAYS)] == []
    finally:
        page.close()


def _frame(page: Page) -> Frame | None:
    page.wait_for_timeout(50)  # Playwright learns of new frames only while it runs
    return next((frame for frame in page.frames if "name=dgm" in frame.url), None)


def _make_dark(page: Page) -> None:
    """As a person does it: TensorBoard's own switch."""
    page.get_by_label("Menu for changing light or dark theme").click()
    page.get_by_role("menuitem", name="Dark").click()
    page.wait_for_function("document.body.classList.contains('dark-mode')")
