"""Entries of a transaction that mean the same resource in different words (FHIR R4 http.html#trules).

A condition was answered before anything was written. What the other entries then wrote is asked by it again:
if it matches, the outcome would hang on the order of the entries, and the transaction fails.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from esb.fhir import lexemes
from hie.api import asking, conditional
from hie.api.requested import Asked, wrong
from hie.repository.extract import index_of
from hie.repository.matching import tokens_of
from hie.repository.writes import Outcome
from hie.schema.repository import Resource

CHANGED = ("created", "updated")
WRITING = ("POST", "PUT", "PATCH")
SAME = "matches what {} writes; they mean the same resource, leave one of them"


def check(session: Session, asked: Sequence[Asked], outcomes: Sequence[Outcome]) -> None:
    """Refuse a transaction that was written, if a condition matches what another entry wrote.

    Raises: NotValid, naming the entry; the caller's transaction is rolled back.
    """
    conditions = [item for item in asked if item.criteria is not None and item.method in WRITING]
    if not conditions:
        return
    written: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.fate in CHANGED:
            written[outcome.type].append(outcome)
    carriers: dict[str, dict[int, set[str]]] = {}
    for item in conditions:
        of_type = written[item.type]
        if any(outcome.id != item.id for outcome in of_type):
            if item.type not in carriers:
                carriers[item.type] = _carriers(of_type)
            others = _may_match(item, of_type, carriers[item.type]) - {str(item.id)}
            if others:
                _check(session, asked, item, others)


def _carriers(outcomes: Sequence[Outcome]) -> dict[int, set[str]]:
    """Return which of some resources carry each token of the index."""
    found: dict[int, set[str]] = defaultdict(set)
    for outcome in outcomes:
        resource = lexemes.loads(outcome.content)
        for token in index_of(resource, outcome.compartment, asking.hub().config.zone).tokens:
            found[token].add(outcome.id)
    return found


def _may_match(item: Asked, outcomes: Sequence[Outcome], carriers: dict[int, set[str]]) -> set[str]:
    """Return the ids of the resources that have the tokens a condition asks for; nearly always none."""
    found = {outcome.id for outcome in outcomes}
    if conditional.is_plain(item.criteria or ""):
        for condition in item.conditions:
            tokens = tokens_of(condition)
            if tokens is not None:
                found &= {id_ for token in tokens for id_ in carriers.get(token, ())}
    return found


def _check(session: Session, asked: Sequence[Asked], item: Asked, others: set[str]) -> None:
    conditions = conditional.read(session, item.type, item.criteria or "")
    wanted = select(Resource.id).where(Resource.type == item.type, Resource.id.in_(others), *conditions)
    found = set(session.scalars(wanted))
    for other in asked:
        if other.write is not None and other.type == item.type and other.id in found:
            raise wrong(item.path, SAME.format(other.path))
