"""Binary as the bytes it holds: by Content-Type in, by Accept out (FHIR R4 binary.html, http.html#binary)."""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import orjson
from flask import Response, g, request
from sqlalchemy import ColumnElement, select, true
from sqlalchemy.orm import Session
from werkzeug.datastructures import Range
from werkzeug.http import http_date

from esb.errors import Issue
from esb.fhir import lexemes
from esb.fhir.bundles import operation_outcome
from hie.api import answers, asking
from hie.directory.own_keys import read_own_keys
from hie.errors import Gone, NotFound, NotValid, TooLarge
from hie.repository import blobs, contents, criteria, read
from hie.repository.contents import BINARY, POINTER
from hie.schema.repository import Resource
from hie.security.policy import decide

CONTEXT = "X-Security-Context"
INLINE = 1 << 20  # what is larger is kept beside the database, sealed
PIECE = 1 << 16
NAME = r"[A-Za-z0-9!#$&^_.+-]{1,100}"
MEDIA_TYPE = re.compile(f"{NAME}/{NAME}")
# With what tells how to read it: text/plain; charset=gb18030 (RFC 9110 §8.3.1).
WITH_PARAMETERS = re.compile(rf'{NAME}/{NAME}(?:; ?{NAME}=(?:{NAME}|"[ !#-\[\]-~]{{1,100}}")){{0,5}}')
REFERENCE = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?")


def comes_raw(type_: str) -> bool:
    """Say whether the body of a write is the content of a Binary itself."""
    return type_ == BINARY and asking.media_type() not in asking.JSON_TYPES


def goes_raw(type_: str) -> bool:
    """Say whether the asker of a Binary wants its content: FHIR's own types stand for the resource."""
    if type_ != BINARY or "_format" in request.args:
        return False
    return "json" not in request.headers.get("Accept", "")


def resource_of_body(id_: str | None) -> dict[str, Any]:
    """Return the Binary whose content is the body of the request.

    Raises: NotValid, TooLarge, LengthRequired.
    """
    media_type = asking.media_type()
    if not MEDIA_TYPE.fullmatch(media_type):
        raise NotValid("The Content-Type of a Binary is a media type.")
    if "Transfer-Encoding" in request.headers and not asking.is_packed():
        raise asking.LengthRequired
    parts = asking.body_parts()
    start = b""
    for part in parts:
        start += part
        if len(start) > INLINE:
            break
    resource: dict[str, Any] = {"resourceType": BINARY} | ({"id": id_} if id_ else {})
    stated = request.headers.get("Content-Type", "").strip()
    resource["contentType"] = stated if WITH_PARAMETERS.fullmatch(stated) else media_type
    context = request.headers.get(CONTEXT)
    if context:
        resource["securityContext"] = {"reference": context.removeprefix(answers.base() + "/")}
    if not start:  # R4 knows no empty value
        return resource
    if len(start) <= INLINE:
        resource["data"] = base64.b64encode(start).decode()
        return resource
    config, token = asking.hub().config, uuid.uuid4().hex
    own = read_own_keys(config.key_dir)
    sent = chain([start], parts)
    name = blobs.keep_own(config.blob_dir, own, token=token, parts=sent, suite=config.suite)
    g.kept_apart = (token, name)
    resource["_data"] = {"extension": [{"url": POINTER, "valueString": f"{token}/{name}"}]}
    return resource


def forget_unwritten(response: Response) -> Response:
    """Let go of the content of a request that was refused, or of a create that found what was there.

    After an error of the server it stays: its transaction may have been committed.
    """
    token, name = g.pop("kept_apart", ("", ""))
    is_refused = 400 <= response.status_code < 500
    if token and (is_refused or (request.method == "POST" and response.status_code == 200)):
        blobs.forget_own(asking.hub().config.blob_dir, token=token, name=name)
    return response


def read_one(session: Session, id_: str, where: ColumnElement[bool]) -> read.Stored:
    """Return a Binary that may be seen: by its securityContext if it has one, else as any resource, or by a
    DocumentReference the asker may see that names it.

    Raises: NotFound, Gone.
    """
    try:
        found = read.read(session, BINARY, id_, true())
    except Gone:
        # Who may not see it does not learn that it was there.
        return read.read(session, BINARY, id_, where)
    context = lexemes.loads(found.content).get("securityContext", {}).get("reference")
    if context is not None:
        if not _may_see(session, str(context)):
            raise NotFound
        return found
    try:
        return read.read(session, BINARY, id_, where)
    except NotFound:
        if not _is_named(session, id_):
            raise
        return found


def read_version(session: Session, id_: str, version: int, where: ColumnElement[bool]) -> read.Stored:
    """Return a version of a Binary: by its securityContext if it has one. Raises: NotFound, Gone."""
    try:
        found = read.vread(session, BINARY, id_, version, true())
    except Gone:  # said only to whom the policy lets see it
        return read.vread(session, BINARY, id_, version, where)
    context = lexemes.loads(found.content).get("securityContext", {}).get("reference")
    if context is None:
        return read.vread(session, BINARY, id_, version, where)
    if not _may_see(session, str(context)):
        raise NotFound
    return found


def _may_see(session: Session, reference: str) -> bool:
    target = REFERENCE.fullmatch(reference)
    decision = decide(asking.actor(), "read", target[1]) if target else None
    if target is None or decision is None or not decision.allowed:
        return False
    try:
        read.read(session, target[1], target[2], decision.where)
    except (NotFound, Gone):
        return False
    return True


def _is_named(session: Session, id_: str) -> bool:
    decision = decide(asking.actor(), "read", "DocumentReference")
    if not decision.allowed:
        return False
    places = f"Binary/{id_},{answers.base()}/Binary/{id_}"
    zone, asked = asking.hub().config.zone, f"DocumentReference?location={places}"
    named = criteria.condition(session, decision.where, asked, zone, asking.now())
    wanted = select(Resource.id).where(
        Resource.type == "DocumentReference", ~Resource.deleted, decision.where, named
    )
    return session.scalar(wanted.limit(1)) is not None


def whole(type_: str, content: bytes) -> bytes:
    """Return a stored text, that of a Binary with its data where those are kept beside it.

    Raises: TooLarge where one answer would hold more of them than one request may.
    """
    return contents.filled(content, _read_within_limit) if type_ == BINARY else content


def part(type_: str, content: bytes) -> bytes:
    """Return a stored text as one among many: a Binary without the data that are kept beside it."""
    return contents.stripped(content) if type_ == BINARY else content


def _read_within_limit(token: str, name: str) -> bytes:
    config = asking.hub().config
    found = contents.reader(config.blob_dir, config.key_dir)(token, name)
    g.binary_bytes = g.get("binary_bytes", 0) + len(found)
    if g.binary_bytes > config.max_body:
        raise TooLarge("Together these Binaries are too large for one answer; read each by itself.")
    return found


def is_echoed(type_: str, content: bytes) -> bool:
    """Say whether the answer to a write gives back what came, unless asked not to: bytes that are kept beside
    the database only where they are asked for, as they would come back a third longer."""
    return "return" in asking.preferences() or not (comes_raw(type_) and contents.MARK in content)


def shown(found: read.Stored) -> Response:
    """Answer the content of a Binary under its own media type, or the part of it that is asked for."""
    headers = {
        "ETag": f'W/"{found.version}"',
        "Last-Modified": http_date(found.updated_at),
        "Vary": "Accept",
        "Content-Disposition": "attachment",
        "Accept-Ranges": "bytes",
    }
    if asking.has_it_already(found.version, found.updated_at):
        return Response(b"", 304, headers)
    resource = lexemes.loads(found.content)
    size, read_from = _content(resource)
    context = resource.get("securityContext", {}).get("reference")
    if isinstance(context, str):
        headers[CONTEXT] = context
    start, stop, status = 0, size, 200
    wanted = _wanted_range()
    if wanted is not None:
        status, (first, end) = 206, wanted.ranges[0]
        start = max(first + size, 0) if first < 0 else first
        stop = size if end is None else min(end, size)
        if start >= stop:
            refused = operation_outcome([Issue("Range", f"The content has {size} bytes.", "not-found")])
            return answers.answer(orjson.dumps(refused), 416, Content_Range=f"bytes */{size}")
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)
    media_type = resource["contentType"]
    known = media_type if WITH_PARAMETERS.fullmatch(media_type) else "application/octet-stream"
    return Response(read_from(start, stop), status, headers, content_type=known)


def _wanted_range() -> Range | None:
    """Return the one range that is asked for (RFC 9110 §14.2), None for the whole.

    Our ETags are weak and so never match an If-Range; several ranges are answered by the whole.
    """
    wanted = request.range if request.method == "GET" else None
    if wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1 or "If-Range" in request.headers:
        return None
    return wanted


def _content(resource: dict[str, Any]) -> tuple[int, Callable[[int, int], Iterator[bytes]]]:
    """Return how many bytes a Binary has, and what reads them from one place to before another.

    Raises: NotFound if they are not there.
    """
    pointer = contents.pointer_of(resource)
    if pointer is not None:
        config = asking.hub().config
        kept = contents.find(config.blob_dir, config.key_dir, *pointer)
        return kept.size, kept.read
    try:
        data = base64.b64decode(resource.get("data") or "")
    except (binascii.Error, ValueError):
        raise NotFound("The data of this Binary are not base64; ask for application/fhir+json.") from None
    return len(data), lambda start, stop: (
        data[at : min(at + PIECE, stop)] for at in range(start, stop, PIECE)
    )
