"""What holds for all pages: vendored files unmodified, no inline script or style, every word translated."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

from hie.portal.pages import as_date, safe_next, yuan
from hie.portal.session import csrf_token, is_csrf_token

PORTAL = Path(__file__).parents[2] / "hie" / "portal"
TEMPLATES = sorted((PORTAL / "templates" / "portal").glob("*.html"))
CATALOGUE = PORTAL / "translations" / "en" / "LC_MESSAGES"


def test_the_vendored_files_are_the_published_ones() -> None:
    table = (PORTAL / "static" / "vendor" / "README.md").read_text("utf-8")
    listed = re.findall(r"^\| `([\w.]+)` .*\b([0-9a-f]{64}) \|$", table, re.M)
    assert len(listed) == 3
    for name, wanted in listed:
        assert hashlib.sha256((PORTAL / "static" / "vendor" / name).read_bytes()).hexdigest() == wanted


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_no_inline_script_or_style_and_names_no_other_host(template: Path) -> None:
    text = template.read_text("utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|hx-on|https?://", text)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_form_that_changes_something_carries_its_token(template: Path) -> None:
    for form in re.findall(r"<form[^>]*method=\"post\".*?</form>", template.read_text("utf-8"), re.S):
        assert "csrf_field()" in form


ASKED = {"_": None, "gettext": None, "ngettext": (1, 2)}


def texts(said: Any) -> tuple[str, ...]:
    """Return a text as one, a text and its plural as two."""
    return (said,) if isinstance(said, str) else tuple(said)


def words_of(catalogue: Catalog) -> dict[tuple[str, ...], tuple[str, ...]]:
    return {texts(message.id): texts(message.string) for message in catalogue if message.id}


def test_every_word_of_the_pages_has_its_english() -> None:
    with (CATALOGUE / "messages.po").open("rb") as file:
        english = words_of(read_po(file))
    asked = set()
    for method, files in (("jinja2", TEMPLATES), ("python", sorted(PORTAL.glob("*.py")))):
        extractor = "jinja2.ext:babel_extract" if method == "jinja2" else method
        for path in files:
            found = extract_from_file(extractor, path, keywords=ASKED)
            asked |= {texts(message) for _, message, _, _ in found}
    assert any(len(text) == 2 for text in asked)
    assert asked - {text for text, translated in english.items() if all(translated)} == set()
    with (CATALOGUE / "messages.mo").open("rb") as file:
        assert words_of(read_mo(file)) == english


@pytest.mark.parametrize("text", ["1965-03-02", "1965.3.2", "1965/03/02", "19650302"])
def test_a_birth_date_may_be_typed_in_the_usual_ways(text: str) -> None:
    found = as_date(text)
    assert found is not None and found.isoformat() == "1965-03-02"
    assert as_date("1965-02-30") is None and as_date("x") is None


def test_money_is_shown_in_yuan_with_two_digits() -> None:
    assert (yuan(1271450), yuan(-305), yuan(7)) == ("12,714.50", "-3.05", "0.07")


def test_after_signing_in_nobody_is_led_away() -> None:
    for good in ("/", "/people/x", "/audit?actor=li&since=2026-03-01"):
        assert safe_next(good) == good
    evil = (
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/\r\n/evil.example",
    )
    for bad in (*evil, "/a\\b", "/ /evil.example", "evil.example", ""):
        with pytest.raises(RuntimeError):  # home's address is asked for, which needs an application
            safe_next(bad)


def test_a_form_token_belongs_to_one_session() -> None:
    assert is_csrf_token("cookie", csrf_token("cookie"))
    assert not is_csrf_token("other", csrf_token("cookie"))
    assert not is_csrf_token("", csrf_token(""))
