"""Reference integrity: what an API writer refers to is there, in the writer's reach (references.html).

What comes over the road is not held to this: a hospital's messages may arrive in any order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Text, bindparam, column, func, select
from sqlalchemy.orm import Session

from esb.fhir import lexemes
from esb.fhir.references import references
from esb.fhir.types import RESOURCE_TYPES
from esb.prepared import Prepared
from hie.api import asking
from hie.errors import Issue, Rejected
from hie.repository.read import OWNER
from hie.repository.writes import Outcome, Write
from hie.schema.driver import run
from hie.schema.repository import Resource, ResourceKey
from hie.security.policy import decide

LITERAL = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?")
# Rendered when read: their ids are not among the resources.
ELSEWHERE = asking.MADE_BY_THE_HUB
# Their references are between what they carry.
CARRIERS = frozenset({"Bundle"})
CHANGED = ("created", "updated")
CONDITIONAL = re.compile(r"([A-Z][A-Za-z]+)\?.+", re.DOTALL)
NOT_THERE = "refers to what is not there; send it first, or in the same transaction"
NOT_HERE = "is a condition, which is followed in transactions and batches only; refer by id"
MOST_NAMED = 20
Key = tuple[str, str]
# Which resource, its content, the Reference object in it, what that points at.
Pointed = tuple[Key, dict[str, Any], dict[str, Any], Key | None]


def check(
    session: Session,
    writes: Sequence[Write],
    outcomes: Sequence[Outcome],
    base: str,
    places: Mapping[Key, str] | None = None,
) -> None:
    """Check the references of what was just written; the caller's transaction is rolled back if one fails.

    Args:
        base: the address of the API: a full address below it is one of ours.
        places: where each resource stands in a Bundle, for messages.

    Raises: Rejected, naming the elements. What may not be seen is not there.
    """
    known = {(outcome.type, outcome.id) for outcome in outcomes if outcome.fate != "deleted"}
    pointed: list[Pointed] = []
    for write, outcome in zip(writes, outcomes, strict=True):
        if outcome.fate not in CHANGED or write.type in CARRIERS:
            continue
        resource = write.resource if write.resource is not None else lexemes.loads(outcome.content)
        for node, value in references(resource):
            target, is_ours = target_of(value, base)
            if is_ours and target not in known:
                pointed.append(((write.type, write.id), resource, node, target))
    if not pointed:
        return
    wanted = {target for *_, target in pointed if target is not None}
    there = _existing(session, sorted(wanted)) if wanted else set()
    missing = [item for item in pointed if item[3] is None or item[3] not in there]
    if missing:
        raise _error(missing[:MOST_NAMED], places or {})


def target_of(value: str, base: str) -> tuple[Key | None, bool]:
    """Return what a reference points at, and whether that must be here.

    Local and foreign addresses are none of ours; a urn:uuid or a condition that is left over leads nowhere.
    """
    address = value.removeprefix(base + "/")
    found = LITERAL.fullmatch(address)
    if found and found[1] in RESOURCE_TYPES:
        return (found[1], found[2]), found[1] not in ELSEWHERE
    return None, value.startswith("urn:uuid:") or is_conditional(address)


def is_conditional(address: str) -> bool:
    """Say whether an address below the API's is a search, as in `Patient?identifier=1`."""
    found = CONDITIONAL.fullmatch(address) if "?" in address else None
    return found is not None and found[1] in RESOURCE_TYPES


def _existing(session: Session, keys: Sequence[Key]) -> set[Key]:
    """Return which of the keys the sender's facility may refer to, whatever the scopes of the token."""
    decision = decide(replace(asking.actor(), kind="system", scopes=()), "read", "*")
    if not decision.allowed:
        return set()
    named = {"types": [type_ for type_, _ in keys], "ids": [id_ for _, id_ in keys]}
    return set(run(session, _present(decision.where), named).fetchall())


@lru_cache(maxsize=1000)
def _present(where: ColumnElement[bool]) -> Prepared:
    """Return the query for what is there within a reach, which the policy gives as the same object again."""
    named = func.unnest(bindparam("types", type_=ARRAY(Text)), bindparam("ids", type_=ARRAY(Text)))
    keys = named.table_valued(column("type", Text), column("id", Text)).render_derived("named")
    return Prepared(
        select(Resource.type, Resource.id)
        .join(ResourceKey, OWNER)
        .join(keys, (ResourceKey.type == keys.c.type) & (ResourceKey.id == keys.c.id))
        .where(~Resource.deleted, where)
    )


def _error(missing: Sequence[Pointed], places: Mapping[Key, str]) -> Rejected:
    said = []
    for key, resource, node, target in missing:
        path = path_of(resource, node, places.get(key, key[0]))
        is_search = target is None and "?" in node.get("reference", "")
        said.append(Issue(path, f"{path} {NOT_HERE if is_search else NOT_THERE}", "not-found"))
    return Rejected(said[0].text, issues=said)


def path_of(resource: dict[str, Any], node: dict[str, Any], prefix: str) -> str:
    """Return the path of a Reference object within a resource."""
    return next(path for path, one in _walk(resource, prefix) if one is node)


def _walk(resource: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    queue: list[tuple[str, Any]] = [(prefix, resource)]
    for path, one in queue:  # grows while it is read
        yield path, one
        if isinstance(one, dict):
            queue += [
                (f"{path}.{key}", inner) for key, inner in one.items() if isinstance(inner, dict | list)
            ]
        else:
            queue += [
                (f"{path}[{n}]", inner) for n, inner in enumerate(one) if isinstance(inner, dict | list)
            ]
