"""The portal's pages, in the order in which a doctor, a steward, an auditor and an engineer come to them."""

from __future__ import annotations

from collections.abc import Callable

from deploy.scenes.camera import Scene, View, Visit

LANGUAGE_COOKIE = "hie_lang"
# A search with a parameter that is misspelled: what it was understood as, what was left aside, its plan.
SEARCH = "Observation?patient=x&code=718-7&date=ge2026-01-01&statsu=final"

# Marks the test with most numbers among the columns of its panel.
MARK = """() => {
  const rows = [...document.querySelectorAll('#laboratory details[open] .sheet tbody tr:not(.trend-row)')];
  const is_number = value => /^[0-9.]+$/.test(value.textContent.trim());
  const results = row => [...row.querySelectorAll('.sheet-cell .value')].filter(is_number).length;
  rows.sort((one, other) => results(other) - results(one));
  rows[0].querySelector('.sheet-test a').dataset.shown = '1';
}"""


def choose_language(view: View, url: str) -> None:
    """Let the pages be in the view's language."""
    view.page.context.add_cookies([{"name": LANGUAGE_COOKIE, "value": view.language, "url": url}])


def sign_in(view: View, url: str, username: str, password: str) -> None:
    """Sign in, in the view's language."""
    choose_language(view, url)
    view.page.goto(url)
    view.page.locator("#username").fill(username)
    view.page.locator("#password").fill(password)
    view.page.locator(".sign-in-form button").click()
    view.settle(".who")


def search(view: View, visit: Visit) -> None:
    """Look for the person by name and birth date."""
    view.page.goto(visit.url)
    view.page.locator("#q").fill(f"{visit.shown.name} {visit.shown.birth_date}")
    view.page.locator("#q").press("Enter")


def ask(view: View, visit: Visit) -> None:
    """Fill in two identifiers and the purpose."""
    view.page.goto(f"{visit.url}people/{visit.shown.person_id}/confirm")
    view.page.locator("#name").fill(visit.shown.name)
    view.page.locator("#birth_date").fill(visit.shown.birth_date)
    view.page.locator("input[name=purpose]").first.check()


def read(view: View, visit: Visit) -> None:
    """Open the record; where it was not opened yet, confirm first."""
    answer = view.page.goto(f"{visit.url}people/{visit.shown.person_id}")
    if answer is None or answer.status != 200:
        ask(view, visit)
        view.page.locator("button.btn-wide").click()


def trend(view: View, visit: Visit) -> None:
    """Open the trend of the test with most results in sight, under its row."""
    read(view, visit)
    view.settle("#laboratory .sheet-test a")
    view.page.evaluate(MARK)
    view.page.locator("[data-shown]").click()
    view.settle(".chart svg")
    view.page.evaluate("document.querySelector('[data-shown]').closest('tr').scrollIntoView()")


def visits(view: View, visit: Visit) -> None:
    """Go to the timeline."""
    read(view, visit)
    view.settle("#visits .event")
    view.page.evaluate("document.getElementById('visits').scrollIntoView()")


def first_review(view: View, visit: Visit) -> None:
    """Open the first open question of the index."""
    view.page.goto(f"{visit.url}identities")
    view.page.locator(".pairs a.btn").first.click()


def looks(view: View, visit: Visit) -> None:
    """List who looked at the person."""
    view.page.goto(f"{visit.url}audit?patient={visit.shown.person_id}")


def explain(view: View, visit: Visit) -> None:
    """Ask how a search runs."""
    view.page.goto(f"{visit.url}searches")
    view.page.locator("#search").fill(SEARCH)
    view.page.locator("#search").press("Enter")


def at(path: str) -> Callable[[View, Visit], None]:
    """Return the way to a page that has an address of its own."""

    def go(view: View, visit: Visit) -> None:
        view.page.goto(f"{visit.url}{path}")

    return go


# Before anybody signs in; then by role. The first scenes of the doctor come before the record is confirmed.
SIGN_IN = (Scene("portal-sign-in", at("sign-in"), ".sign-in-form"),)
DOCTOR = (
    Scene("portal-results", search, ".person"),
    Scene("portal-confirm", ask, ".chosen", whole=True),
    Scene("portal-record", read, ".patient-name"),
    Scene("portal-trend", trend, ".chart svg"),
    Scene("portal-visits", visits, "#visits .event"),
    Scene("portal-find", at(""), "#open-title"),
    Scene("portal-not-found", at("people/00000000-0000-4000-8000-000000000000"), ".error"),
)
STEWARD = (
    Scene("portal-reviews", at("identities"), ".pairs"),
    Scene("portal-review", first_review, ".compare"),
)
AUDITOR = (Scene("portal-audit", looks, ".trail"),)
ENGINEER = (Scene("portal-codes", at("codes"), ".codes"),)
OPERATOR = (Scene("portal-searches", explain, ".plan", whole=True),)
BY_ROLE = {
    "doctor": DOCTOR,
    "steward": STEWARD,
    "auditor": AUDITOR,
    "engineer": ENGINEER,
    "operator": OPERATOR,
}
