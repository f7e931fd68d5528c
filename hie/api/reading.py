"""Reads and searches inside a batch or transaction."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy.orm import Session

from hie.api import asking, binaries, conditional, searches, shaping
from hie.api.requested import Asked, at
from hie.errors import HieError
from hie.repository import read
from hie.repository.content import instant_text
from hie.repository.contents import BINARY
from hie.repository.query import pairs
from hie.repository.read import Stored
from hie.repository.search import Target

# An entry of the answer, and whose records it gives.
Given = tuple[bytes, set[str]]


def entry(session: Session, item: Asked) -> Given:
    """Return the entry that answers a GET or HEAD. Raises: NotFound and its kin, naming the entry."""
    try:
        return _one(session, item) if item.id is not None else _several(session, item)
    except HieError as error:
        raise at(item.path, error) from None


def known(session: Session, item: Asked, *, with_content: bool) -> Given:
    """Return the entry that says what a conditional create found instead."""
    assert item.known is not None
    found = conditional.stored(session, item.known, asking.permitted("create", item.type).where)
    response = _response(found) | {"location": f"{found.type}/{found.id}/_history/{found.version}"}
    content = binaries.whole(found.type, found.content) if with_content else None
    return _answered(response, content), {found.compartment}


def _one(session: Session, item: Asked) -> Given:
    assert item.id is not None
    where = asking.permitted("read", item.type).where
    if item.type == BINARY and item.version is None:
        found = binaries.read_one(session, item.id, where)
    elif item.type == BINARY and item.version is not None:
        found = binaries.read_version(session, item.id, item.version, where)
    elif item.version is None:
        found = read.read(session, item.type, item.id, where)
    else:
        found = read.vread(session, item.type, item.id, item.version, where)
    of = {found.compartment}
    if _has_it_already(item, found):
        return _answered(_response(found, "304 Not Modified"), None), of
    if item.method == "HEAD":
        return _answered(_response(found), None), of
    content = shaping.part_of(binaries.whole(found.type, found.content), dict(pairs(item.criteria or "")))
    return _answered(_response(found), content), of


def _has_it_already(item: Asked, found: Stored) -> bool:
    """Say whether the asker's copy is the version at hand; as `asking.has_it_already`."""
    if item.none_match is not None:
        return asking.names_version(item.none_match, found.version)
    return item.since is not None and found.updated_at <= item.since


def _several(session: Session, item: Asked) -> Given:
    params = pairs(item.criteria or "")
    decision = asking.permitted("search", item.type)
    content, _, compartments = searches.searchset(
        session, Target(item.type, (item.type,)), decision.where, params
    )
    return _answered({"status": "200 OK"}, None if item.method == "HEAD" else content), compartments


def _response(found: Stored, status: str = "200 OK") -> dict[str, Any]:
    return {
        "status": status,
        "etag": f'W/"{found.version}"',
        "lastModified": instant_text(found.updated_at),
    }


def _answered(response: dict[str, Any], content: bytes | None) -> bytes:
    if content is None:
        return orjson.dumps({"response": response})
    return orjson.dumps({"resource": orjson.Fragment(content), "response": response})
