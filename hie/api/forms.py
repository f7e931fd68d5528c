"""Parameters as they come: in an address, and in the form of a POST _search (FHIR R4 http.html#search)."""

from __future__ import annotations

from flask import request

from hie.api import asking
from hie.errors import Malformed, TooLarge
from hie.repository.query import MOST_CHARACTERS, pairs

Params = list[tuple[str, str]]
FORM = "application/x-www-form-urlencoded"
NO_FORM = f"The parameters of a POST _search are sent as {FORM}; send them so, or in the address."
NO_TEXT = "The parameters are not UTF-8; send each as UTF-8, percent-encoded."
QUOTED = "%"  # what stands in a parameter where its bytes are no text, as in %FF
MOST_BYTES = 3 * MOST_CHARACTERS


def in_address() -> Params:
    """Return the parameters in the request's address. Raises: Malformed where they are no text."""
    found = list(request.args.items(multi=True))
    if any(QUOTED in name or QUOTED in value for name, value in found):
        _read(request.query_string)
    return found


def in_form() -> Params:
    """Return the parameters in the request's body, if it has one.

    Raises: UnsupportedMedia, Malformed, NotValid, TooLarge: what is sent is read, or refused.
    """
    if request.method != "POST":
        return []
    body = asking.body_bytes()
    if asking.media_type() == FORM:
        if len(body) > MOST_BYTES:
            raise TooLarge
        return _read(body)
    if body.strip():
        raise asking.UnsupportedMedia(NO_FORM)
    return []


def _read(raw: bytes) -> Params:
    try:
        return pairs(raw.decode(), errors="strict")
    except UnicodeDecodeError:
        raise Malformed(NO_TEXT) from None
