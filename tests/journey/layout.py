"""How wide a page is laid out, read only when it is whole."""

from __future__ import annotations

from playwright.sync_api import Page


def wait_whole(page: Page, selector: str) -> None:
    """Wait for the page that shows `selector`, then for its style sheets: without them it is far too wide.

    The selector must be one that the page before does not have, which may still be there after a click.
    """
    page.locator(selector).first.wait_for()
    page.wait_for_load_state("load")


def width(page: Page, selector: str) -> int:
    """Return the width in pixels that the page with `selector` takes."""
    wait_whole(page, selector)
    found: int = page.evaluate("document.documentElement.scrollWidth")
    return found
