"""What a request asks: who, on which type, with which content; the first checks of every route."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from itertools import chain
from typing import Any

from flask import current_app, g, request
from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session
from werkzeug.http import parse_options_header

from esb.fhir import lexemes
from esb.fhir.types import RESOURCE_TYPES
from hie.errors import HieError, Malformed, NotFound, NotPermitted, NotSupported, NotValid, TooLarge
from hie.repository.query import FORM
from hie.repository.search import Search, Target
from hie.repository.writes import ANY
from hie.security.actor import Actor
from hie.security.hub import Hub
from hie.security.policy import Decision, decide
from hie.security.rules import WRITING

JSON_TYPES = frozenset({"application/fhir+json", "application/json", "text/json", ""})
# Rendered when read, never stored by an asker.
MADE_BY_THE_HUB = frozenset({"AuditEvent", "Person"})
ELEMENTS = "_elements is not answered here; leave it out and whole resources are given."
# Asked of or answered by operations; R4 gives it no place to be kept (parameters.html).
NEVER_KEPT = frozenset({"Parameters"})
PATCH_TYPE = "application/json-patch+json"
# What _format may say (http.html#mime-type).
JSON_FORMATS = frozenset({"json", "application/json", "application/fhir+json", "text/json"})
NO_GZIP = "The body is no gzip; check that it was sent whole."
MOST_MEMBERS = 100
PART = 1 << 16  # of a body that is taken as it comes
RETURNS = frozenset({"minimal", "representation", "OperationOutcome"})


class NotAcceptable(HieError):
    """Only JSON is offered; ask for application/fhir+json, by Accept or by _format=json."""

    http = 406
    code = "not-supported"


class ReadOnly(HieError):
    """The hub alone makes these; they can be read and searched."""

    http = 405
    code = "not-supported"
    methods: tuple[str, ...] = ("GET", "HEAD")


class NotOffered(ReadOnly):
    """No method is offered here."""

    methods = ()


class LengthRequired(HieError):
    """Say how long the body is, by Content-Length, or send it gzipped: else nobody sees if it was cut."""

    http = 411
    code = "required"


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
    if resource_type in NEVER_KEPT and action in WRITING:
        raise NotOffered("Parameters are sent to operations and never kept; send it to one, or a patch.")
    decision = decide(actor(), action, resource_type)
    if not decision.allowed:
        raise NotPermitted(f"You may not {action} {resource_type if resource_type != '*' else 'here'}.")
    return decision


def search_by(session: Session, where: ColumnElement[bool]) -> Search:
    """Return what a search of this request needs."""
    return Search(session, where, hub().config.zone, page_secret(), now(), reach)


def search_of(session: Session, target: Target, where: ColumnElement[bool]) -> Search:
    """Return what a search needs; its statement is kept where the policy keeps its condition."""
    how = search_by(session, where)
    is_kept = len(target.types) == 1 and where is reach(target.types[0])
    return replace(how, is_kept=True) if is_kept else how


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
    wanted = request.args.get("_format")
    if wanted is not None:
        # A "+" that was not escaped arrives as a space.
        if wanted.partition(";")[0].strip().lower().replace(" ", "+") not in JSON_FORMATS:
            raise NotAcceptable
        return
    accepted = request.headers.get("Accept") or "*/*"
    if not any(word in accepted for word in ("json", "*/*", "application/*")):
        raise NotAcceptable


def check_no_criteria(instead: str) -> None:
    """Check that the address of a write holds nothing that would go unread. Raises: NotValid.

    Args:
        instead: where a condition goes.
    """
    if request.query_string and not request.args.keys() <= FORM:
        raise NotValid(f"A write of one resource takes no search parameters in its address; {instead}.")


def check_names(known: Collection[str], instead: str) -> None:
    """Check that the address of a read holds nothing that would go unread, under strict handling.

    Args:
        instead: what is taken, for the message.

    Raises: NotSupported.
    """
    if request.query_string and is_strict() and not all(name in known for name in request.args):
        raise NotSupported(instead)


def body_bytes() -> bytes:
    """Return the request's body, unpacked if it was sent gzipped. Raises: TooLarge, Malformed."""
    raw = request.get_data(cache=False)
    return unpacked(raw, hub().config.max_body) if is_packed() else raw


def is_packed() -> bool:
    """Say whether the body is gzipped, which shows by itself if it was cut. Raises: UnsupportedMedia."""
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise UnsupportedMedia("The body may be sent plainly or with gzip.")
    return encoding == "gzip"


def body_parts() -> Iterator[bytes]:
    """Give the request's body in parts, as it comes, unpacked if it was sent gzipped.

    Raises: TooLarge, Malformed.
    """
    sent = iter(lambda: request.stream.read(PART), b"")
    return unpacked_parts(sent, hub().config.max_body) if is_packed() else sent


def unpacked(raw: bytes, limit: int) -> bytes:
    """Return the content of a gzip. Raises: TooLarge, Malformed."""
    # A part at a time: what is left of one is copied again for each piece that comes out of it.
    sent = (raw[at : at + PART] for at in range(0, len(raw), PART))
    return b"".join(unpacked_parts(sent, limit))


def unpacked_parts(sent: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """Give the content of a gzip, of all its members (RFC 1952 §2.2). Raises: TooLarge, Malformed."""
    member, members = None, 0
    for part in chain(sent, (b"",)):
        left, is_full = part, False
        while left or is_full or (member and not part):
            if member is None:
                left = left.lstrip(b"\0") if members else left
                if not left:
                    break
                member, members = zlib.decompressobj(zlib.MAX_WBITS | 16), members + 1
                if members > MOST_MEMBERS:
                    raise Malformed("The body is a gzip of too many members; pack it as one.")
            try:
                content = member.decompress(left, PART)
            except zlib.error:
                raise Malformed(NO_GZIP) from None
            limit -= len(content)
            if limit < 0:
                raise TooLarge
            if content:
                yield content
            left, is_full = member.unconsumed_tail, len(content) == PART
            if member.eof:
                left, is_full, member = member.unused_data, False, None
            elif not (left or is_full or part):
                raise Malformed(NO_GZIP)


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
    """Return the version in an ETag, `W/"3"`; ANY for `*` (RFC 9110 §13.1.1). Raises: Malformed."""
    if etag.strip() == "*":
        return ANY
    number = etag.strip().removeprefix("W/").strip('"')
    if not number.isascii() or not number.isdigit() or len(number) > 9 or int(number) == 0:
        raise Malformed('If-Match takes a version as in W/"3", or *.')
    return int(number)


def preferences() -> dict[str, str]:
    """Return what the Prefer header says (RFC 7240); what is not known here is left alone."""
    said = ",".join(request.headers.getlist("Prefer")).replace(";", ",").split(",")
    pairs = (part.strip().partition("=") for part in reversed(said))
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


def is_strict() -> bool:
    """Say whether the asker wants unknown search parameters refused (Prefer: handling=strict)."""
    return preferences().get("handling") == "strict"


def returned(default: str) -> str:
    """Return what is given back of a write: minimal, representation or OperationOutcome (http.html#ops)."""
    wanted = preferences().get("return", "")
    return wanted if wanted in RETURNS else default


def wants_nothing_back() -> bool:
    """Say whether the asker wants no content back (Prefer: return=minimal)."""
    return returned("representation") == "minimal"


def must_be_new() -> bool:
    """Say whether If-None-Match: * insists that there be nothing yet. Raises: Malformed."""
    given = request.headers.get("If-None-Match")
    if given is not None and given.strip() != "*":
        raise Malformed("If-None-Match of a write takes * alone.")
    return given is not None


def has_it_already(version: int, updated_at: datetime) -> bool:
    """Say whether the asker's copy is the version at hand (If-None-Match, else If-Modified-Since)."""
    given = request.headers.get("If-None-Match")
    if given is not None:
        return names_version(given, version)
    since = request.if_modified_since
    return since is not None and updated_at.replace(microsecond=0) <= since


def names_version(tags: str, version: int) -> bool:
    """Say whether a version is among the tags of an If-None-Match."""
    found = {tag.strip().removeprefix("W/") for tag in tags.split(",")}
    return f'"{version}"' in found or "*" in found


def accepts_gzip() -> bool:
    """Say whether the answer may be sent gzipped."""
    return request.accept_encodings.quality("gzip") > 0


def packed(content: bytes) -> bytes:
    """Return content gzipped, fast rather than small."""
    return gzip.compress(content, 1, mtime=0)
