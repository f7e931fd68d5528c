"""What a request asks: who, on which type, with which content; the first checks of every route."""

from __future__ import annotations

import gzip
import zlib
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from flask import current_app, g, request
from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session
from werkzeug.http import parse_options_header

from esb.fhir import lexemes
from esb.fhir.types import RESOURCE_TYPES
from hie.errors import HieError, Malformed, NotFound, NotPermitted, NotSupported, TooLarge
from hie.repository.search import Search
from hie.security.actor import Actor
from hie.security.hub import Hub
from hie.security.policy import Decision, decide
from hie.security.rules import WRITING

JSON_TYPES = frozenset({"application/fhir+json", "application/json", "text/json", ""})
# Rendered when read, never stored by an asker.
MADE_BY_THE_HUB = frozenset({"AuditEvent", "Person"})
ELEMENTS = "_elements is not answered here; leave it out and whole resources are given."
PATCH_TYPE = "application/json-patch+json"


class NotAcceptable(HieError):
    """Only JSON is offered; ask for application/fhir+json."""

    http = 406
    code = "not-supported"


class ReadOnly(HieError):
    """The hub alone makes these; they can be read and searched."""

    http = 405
    code = "not-supported"


class UnsupportedMedia(HieError):
    """This content type is not read here; send application/fhir+json."""

    http = 415
    code = "not-supported"


def hub() -> Hub:
    """Return the hub behind the request at hand."""
    found: Hub = current_app.extensions["hie"]
    return found


def actor() -> Actor:
    """Return who asks."""
    found: Actor = g.actor
    return found


def now() -> datetime:
    """Return the instant of the request."""
    return datetime.now(UTC)


def permitted(action: str, resource_type: str) -> Decision:
    """Return the policy's decision. Raises: NotPermitted; NotFound for a type that R4 does not have."""
    if resource_type != "*" and resource_type not in RESOURCE_TYPES:
        raise NotFound("There is no such resource type in FHIR R4; see /fhir/metadata.")
    if resource_type in MADE_BY_THE_HUB and action in WRITING:
        raise ReadOnly
    decision = decide(actor(), action, resource_type)
    if not decision.allowed:
        raise NotPermitted(f"You may not {action} {resource_type if resource_type != '*' else 'here'}.")
    return decision


def search_by(session: Session, where: ColumnElement[bool]) -> Search:
    """Return what a search of this request needs."""
    return Search(session, where, hub().config.zone, page_secret(), now(), reach)


def page_secret() -> bytes:
    """Return what signs the links to further pages."""
    return sha256(b"page links " + hub().config.database_url.encode()).digest()


def reach(type_: str) -> ColumnElement[bool]:
    """Return the policy's condition for a type that a search goes through: hidden is not there."""
    return decide(actor(), "search", type_).where


def check_accept(*, in_parts: bool = False) -> None:
    """Check that the asker takes JSON, and whole resources where no parts are given.

    Raises: NotAcceptable, NotSupported.
    """
    if "_elements" in request.args and not in_parts:
        raise NotSupported(ELEMENTS)
    wanted = request.args.get("_format") or request.headers.get("Accept") or "*/*"
    if not any(word in wanted for word in ("json", "*/*", "application/*")):
        raise NotAcceptable


def body_bytes() -> bytes:
    """Return the request's body, unpacked if it was sent gzipped. Raises: TooLarge, Malformed."""
    raw = request.get_data(cache=False)
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding == "identity":
        return raw
    if encoding != "gzip":
        raise UnsupportedMedia("The body may be sent plainly or with gzip.")
    limit = hub().config.max_body
    try:
        unpacked = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(raw, limit + 1)
    except zlib.error:
        raise Malformed("The body is no gzip; check that it was sent whole.") from None
    if len(unpacked) > limit:
        raise TooLarge
    return unpacked


def media_type() -> str:
    """Return the content type of the request's body, without parameters."""
    return parse_options_header(request.headers.get("Content-Type", ""))[0].lower()


def body_text() -> bytes:
    """Return the request's body, which must be JSON. Raises: UnsupportedMedia, Malformed, TooLarge."""
    if media_type() not in JSON_TYPES:
        raise UnsupportedMedia
    return body_bytes()


def body_resource() -> dict[str, Any]:
    """Return the resource in the request's body, digits kept.

    Raises: UnsupportedMedia, Malformed, TooLarge.
    """
    return lexemes.loads(body_text())


def if_match() -> int | None:
    """Return the version that If-Match insists on, or None. Raises: Malformed."""
    given = request.headers.get("If-Match")
    return None if given is None else version_of(given)


def version_of(etag: str) -> int:
    """Return the version in an ETag, `W/"3"`. Raises: Malformed."""
    number = etag.strip().removeprefix("W/").strip('"')
    if not number.isascii() or not number.isdigit() or len(number) > 9:
        raise Malformed('If-Match takes a version as in W/"3".')
    return int(number)


def is_strict() -> bool:
    """Say whether the asker wants unknown search parameters refused (Prefer: handling=strict)."""
    return "handling=strict" in request.headers.get("Prefer", "").replace(" ", "")


def wants_nothing_back() -> bool:
    """Say whether the asker wants no content back (Prefer: return=minimal)."""
    return "return=minimal" in request.headers.get("Prefer", "").replace(" ", "")


def accepts_gzip() -> bool:
    """Say whether the answer may be sent gzipped."""
    return "gzip" in request.headers.get("Accept-Encoding", "")


def packed(content: bytes) -> bytes:
    """Return content gzipped, fast rather than small."""
    return gzip.compress(content, 1, mtime=0)


__all__ = ["NotSupported"]
