"""What a search brings along: _include and _revinclude (FHIR R4 search.html#include)."""

from __future__ import annotations

from collections.abc import Iterable

import orjson
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from esb.fhir.search_parameters import PARAMETERS, values
from hie.api import asking
from hie.errors import NotSupported
from hie.repository.conditions import REFERENCE, points_at
from hie.repository.search import Match, Page
from hie.schema.repository import Resource, ResourceKey
from hie.security.policy import decide

MOST_INCLUDED = 1000
TOO_MANY = f"The includes bring more than {MOST_INCLUDED} resources; ask for a smaller page."


def of(session: Session, page: Page) -> list[Match]:
    """Return what the page's includes bring, without what it shows already; the policy decides for each type.

    Raises: NotSupported if they bring more than can be sent; never a part of it.
    """
    shown = {(type_, id_) for type_, id_, _ in page.matches}
    found: dict[tuple[str, str], Match] = {}
    if page.query.includes and page.matches:
        for match in _by_key(session, _references(page)):
            found[match[0], match[1]] = match
    for source, code, target in page.query.revincludes:
        if target in ("", page.query.type) and page.matches:
            for match in _pointing(session, source, code, page):
                found[match[0], match[1]] = match
    return [match for key, match in found.items() if key not in shown]


def _references(page: Page) -> set[tuple[str, str]]:
    wanted = set()
    for _, _, content in page.matches:
        resource = orjson.loads(content)
        for source, code, target in page.query.includes:
            for path in PARAMETERS[source][code].paths:
                for value in values(resource, path):
                    reference = value.get("reference") if isinstance(value, dict) else value
                    found = REFERENCE.fullmatch(reference) if isinstance(reference, str) else None
                    if found and target in ("", found[1]) and path.target in (None, found[1]):
                        wanted.add((found[1], found[2]))
    return wanted


def _by_key(session: Session, keys: Iterable[tuple[str, str]]) -> list[Match]:
    matches: list[Match] = []
    wanted = sorted(keys)
    if len(wanted) > MOST_INCLUDED:
        raise NotSupported(TOO_MANY)
    for type_ in sorted({type_ for type_, _ in wanted}):
        decision = decide(asking.actor(), "search", type_)
        if not decision.allowed:
            continue
        places = select(ResourceKey.compartment, ResourceKey.type, ResourceKey.id).where(
            ResourceKey.type == type_, ResourceKey.id.in_([id_ for t, id_ in wanted if t == type_])
        )
        rows = session.execute(
            select(Resource.type, Resource.id, Resource.content).where(
                tuple_(Resource.compartment, Resource.type, Resource.id).in_(places),
                ~Resource.deleted,
                decision.where,
            )
        )
        matches += [(row[0], row[1], row[2].encode()) for row in rows]
    return matches


def _pointing(session: Session, source: str, code: str, page: Page) -> list[Match]:
    decision = decide(asking.actor(), "search", source)
    if not decision.allowed:
        return []
    ids = [id_ for _, id_, _ in page.matches]
    rows = session.execute(
        select(Resource.type, Resource.id, Resource.content)
        .where(Resource.type == source, ~Resource.deleted, decision.where)
        .where(points_at(source, PARAMETERS[source][code], page.query.type, ids))
        .limit(MOST_INCLUDED + 1)
    ).all()
    if len(rows) > MOST_INCLUDED:
        raise NotSupported(TOO_MANY)
    return [(row[0], row[1], row[2].encode()) for row in rows]
