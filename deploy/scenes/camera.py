"""One browser in four ways - two languages, desk and phone - and a picture of each page in each of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from deploy.scenes.people import Shown
from deploy.stack.errors import Trouble

CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser")
LANGUAGES = {"zh": "zh-CN", "en": "en-GB"}
SIZES: dict[str, ViewportSize] = {
    "desktop": {"width": 1280, "height": 860},
    "phone": {"width": 390, "height": 844},
}
ZONE = "Asia/Shanghai"


@dataclass(slots=True)
class View:
    """A page as one kind of reader sees it: in a language, on a screen of a size."""

    language: str
    size: str
    page: Page

    def settle(self, selector: str) -> None:
        """Wait for the page that shows `selector` with its style sheets, fonts and charts."""
        self.page.locator(selector).first.wait_for()
        self.page.wait_for_load_state("networkidle")
        self.page.evaluate("document.fonts.ready")

    def shoot(self, out: Path, name: str, *, whole: bool = False) -> Path:
        """Take a picture of what is in sight, or of the whole page.

        Raises: Trouble if the page scrolls sideways.
        """
        width = self.page.evaluate("document.documentElement.scrollWidth")
        path = out / f"{name}-{self.language}-{self.size}.png"
        if width > SIZES[self.size]["width"]:
            raise Trouble(f"{path.name}: the page is {width} pixels wide and scrolls sideways.")
        self.page.screenshot(path=path, full_page=whole, animations="disabled", caret="hide")
        return path


@dataclass(frozen=True, slots=True)
class Visit:
    """What a scene needs to know: where the pages are, and whom the pictures show."""

    url: str
    shown: Shown


@dataclass(frozen=True, slots=True)
class Scene:
    """One page: how it is reached, what must be there before the picture, and how much of it is taken."""

    name: str
    go: Callable[[View, Visit], None]
    ready: str
    whole: bool = False


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Give a browser. Raises: Trouble if there is none on this machine."""
    found = next((path for path in CHROMIUM if Path(path).exists()), None)
    if found is None:
        raise Trouble("Chromium is missing; install it: apt-get install chromium fonts-noto-cjk.")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield made
        made.close()


@contextlib.contextmanager
def views(made: Browser) -> Iterator[list[View]]:
    """Give a view for each language and size; each keeps its own session."""
    found: list[View] = []
    for language, locale in LANGUAGES.items():
        for size, viewport in SIZES.items():
            context = made.new_context(
                locale=locale, timezone_id=ZONE, viewport=viewport, reduced_motion="reduce"
            )
            found.append(View(language, size, context.new_page()))
    yield found
    for view in found:
        view.page.context.close()
