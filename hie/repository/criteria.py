"""Search criteria that stand for themselves, as `Observation?status=final`: of exports and subscriptions."""

from __future__ import annotations

from datetime import datetime, tzinfo

from sqlalchemy import ColumnElement, and_
from sqlalchemy.orm import Session

from esb.fhir.types import RESOURCE_TYPES
from hie.errors import NotValid
from hie.repository.query import Query, Reading, pairs, parse


def split(criteria: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the type and the parameters of criteria. Raises: NotValid."""
    type_, _, rest = criteria.strip().partition("?")
    if type_ not in RESOURCE_TYPES:
        raise NotValid("Criteria begin with a resource type of R4, as in Observation?status=final.")
    return type_, pairs(rest)


def condition(
    session: Session, where: ColumnElement[bool], criteria: str, zone: tzinfo, now: datetime
) -> ColumnElement[bool]:
    """Return what criteria ask of a resource; chains reach as far as `where`.

    Args:
        now: what `ap` measures from; the same wherever what is asked for is read in parts.

    Raises: NotValid, NotSupported for what cannot be searched by, and for what shapes an answer (_sort ...).
    """
    type_, params = split(criteria)
    how = Reading(zone, True, lambda _: where, session, now)
    query: Query = parse(type_, params, how)
    if query.sort or query.includes or query.revincludes or query.only_count or query.total:
        raise NotValid("Criteria filter; leave out _sort, _include, _revinclude, _summary and _total.")
    return and_(True, *query.conditions)
