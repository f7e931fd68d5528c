"""The pages of a hospital's console, as its engineer comes to them."""

from __future__ import annotations

from deploy.scenes.camera import Scene, View, Visit


def sign_in(view: View, visit: Visit, password: str) -> None:
    """Sign in."""
    door(view, visit)
    view.page.locator("input[type=password]").fill(password)
    view.page.keyboard.press("Enter")
    view.settle(".tiles")


def door(view: View, visit: Visit) -> None:
    """Open the first page in the view's language: who is not signed in is asked to."""
    view.page.goto(f"{visit.url}?lang={view.language}")


def messages(view: View, visit: Visit) -> None:
    """List what came by HL7 v2."""
    view.page.goto(f"{visit.url}?lang={view.language}&inlet=mllp")


def message(view: View, visit: Visit) -> None:
    """Open the newest message that the hub has stored, with its content."""
    view.page.goto(f"{visit.url}?fate=stored&inlet=mllp")
    view.page.locator(".messages tbody a").first.click()


SIGN_IN = (Scene("console-sign-in", door, "input[type=password]"),)
PAGES = (
    Scene("console-messages", messages, ".tiles"),
    Scene("console-message", message, ".road", whole=True),
)
