"""Reads of the repository: stored bytes go out as they are, and the policy is part of every query.

What the actor may not see is not there: denied and absent raise the same NotFound.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, func, or_, select
from sqlalchemy.orm import Session

from esb.prepared import Prepared
from hie.errors import Gone, NotFound
from hie.schema.driver import run
from hie.schema.repository import NO_COMPARTMENT, Resource, ResourceHistory, ResourceKey
from hie.security import audit

ROWS_AT_A_TIME = 1000
OWNER = and_(
    ResourceKey.compartment == Resource.compartment,
    ResourceKey.type == Resource.type,
    ResourceKey.id == Resource.id,
)
# Built once: to build a statement takes longer than PostgreSQL needs for this one.
PRESENT = (
    select(
        Resource.version,
        Resource.updated_at,
        Resource.deleted,
        Resource.content,
        Resource.compartment,
        Resource.facility,
        Resource.source_at,
    )
    .join(ResourceKey, OWNER)
    .where(ResourceKey.type == bindparam("of_type"), ResourceKey.id == bindparam("of_id"))
)
KEPT_WITH = select(Resource.type, Resource.id, Resource.content).where(
    Resource.compartment.in_(bindparam("compartments", expanding=True)),
    ~Resource.deleted,
    Resource.type != "AuditEvent",
)


@dataclass(frozen=True, slots=True)
class Stored:
    """One stored version.

    superseded: it arrived after a newer one and was never the present version.
    """

    type: str
    id: str
    version: int
    updated_at: datetime
    deleted: bool
    superseded: bool
    content: bytes
    compartment: str
    facility: str | None
    source_at: datetime


def read(session: Session, type_: str, id_: str, where: ColumnElement[bool]) -> Stored:
    """Return the present version of a resource.

    Args:
        where: the policy's condition over `Resource`.

    Raises: NotFound if there is none that may be seen; Gone if it was deleted.
    """
    return _found(session, type_, id_, _present(where), {})


def read_noted(
    session: Session, type_: str, id_: str, where: ColumnElement[bool], row: dict[str, Any]
) -> Stored:
    """Return the present version of a resource, its audit row written by the same statement; as `read`.

    Args:
        row: of `audit.audit_row`; whose record it is comes from what was found.
    """
    found = _found(session, type_, id_, _present_noted(where), row)
    audit.note_written()
    return found


def _found(session: Session, type_: str, id_: str, prepared: Prepared, values: dict[str, Any]) -> Stored:
    found = run(session, prepared, {**values, "of_type": type_, "of_id": id_}).fetchone()
    if found is None:
        raise NotFound
    version, updated_at, deleted, content, compartment, facility, source_at = found
    if deleted:
        raise Gone(f"{type_}/{id_} has been deleted; its history is still there.")
    return Stored(
        type_, id_, version, updated_at, False, False, content.encode(), compartment, facility, source_at
    )


@lru_cache(maxsize=1000)
def _present(where: ColumnElement[bool]) -> Prepared:
    """Return the query for one resource within a reach, which the policy gives as the same object again."""
    return Prepared(PRESENT.where(where))


@lru_cache(maxsize=1000)
def _present_noted(where: ColumnElement[bool]) -> Prepared:
    """Return the query for one resource that adds the audit row if it is there and not deleted."""
    found = PRESENT.where(where).cte("found")
    whose = func.nullif(found.c.compartment, NO_COMPARTMENT).label("compartment")
    given = select(whose).where(~found.c.deleted).cte("given")
    return Prepared(select(found).add_cte(audit.adding(given).cte("noted")))


def vread(session: Session, type_: str, id_: str, version: int, where: ColumnElement[bool]) -> Stored:
    """Return one version of a resource, the present one or one of the past.

    Raises: NotFound; Gone if that version is a deletion.
    """
    for stored in history(session, type_, id_, where, version=version):
        if stored.deleted:
            raise Gone(f"Version {version} of {type_}/{id_} is its deletion.")
        return stored
    raise NotFound


def history(
    session: Session, type_: str, id_: str, where: ColumnElement[bool], *, version: int | None = None
) -> list[Stored]:
    """Return the versions of a resource: the present one first, then the past by version order, newest first.

    A version that was filed with another patient is there only for who may read that patient too.

    Args:
        version: only this one.

    Raises: NotFound if the resource is not there or may not be seen.
    """
    present = session.execute(
        select(Resource)
        .join(ResourceKey, OWNER)
        .where(ResourceKey.type == type_, ResourceKey.id == id_, where)
    ).scalar_one_or_none()
    if present is None:
        raise NotFound
    past = select(ResourceHistory).where(ResourceHistory.type == type_, ResourceHistory.id == id_)
    past = past.where(ResourceHistory.compartment.in_(_reached(session, present, where)))
    if version is not None:
        past = past.where(ResourceHistory.version == version)
    newest_first = (
        ResourceHistory.source_at.desc(),
        ResourceHistory.epoch.desc(),
        ResourceHistory.seq.desc(),
        ResourceHistory.version.desc(),
    )
    found = [] if version not in (None, present.version) else [_stored(present)]
    if version != present.version:
        found += [_stored(row) for row in session.scalars(past.order_by(*newest_first))]
    session.expunge_all()
    return found


def _reached(session: Session, present: Resource, where: ColumnElement[bool]) -> list[str]:
    """Return the compartments of a resource's versions that the policy's condition reaches.

    The condition speaks of rows of `Resource`; the other compartments are judged by one such row in each,
    the Patient or one of the same facility. Where nothing is left there to judge by, they are not reached.
    """
    of_its_own = ResourceHistory.type == present.type, ResourceHistory.id == present.id
    others = set(session.scalars(select(ResourceHistory.compartment).where(*of_its_own).distinct()))
    others.discard(present.compartment)
    if not others:
        return [present.compartment]
    judged = select(Resource.compartment).where(
        Resource.compartment.in_(others),
        or_(Resource.type == "Patient", Resource.facility.is_not_distinct_from(present.facility)),
        or_(Resource.compartment != NO_COMPARTMENT, Resource.type == present.type),
        where,
    )
    return [present.compartment, *session.scalars(judged.distinct())]


def _stored(row: Resource | ResourceHistory) -> Stored:
    return Stored(
        row.type,
        row.id,
        row.version,
        row.updated_at,
        row.deleted,
        isinstance(row, ResourceHistory) and row.superseded,
        row.content.encode(),
        row.compartment,
        row.facility,
        row.source_at,
    )


def everything(
    session: Session, compartments: Sequence[str], where: ColumnElement[bool]
) -> Iterator[tuple[str, str, bytes]]:
    """Yield (type, id, stored bytes) of all that is kept with some patients; see `everything_raw`."""
    for type_, id_, content in everything_raw(session, compartments, where):
        yield type_.decode(), id_.decode(), content


def everything_raw(
    session: Session,
    compartments: Sequence[str],
    where: ColumnElement[bool],
    *,
    types: Sequence[str] = (),
    since: datetime | None = None,
) -> list[tuple[bytes, bytes, bytes]]:
    """Return (type, id, stored text) of all that is kept with some patients, in no particular order.

    One SELECT, neither parsed nor decoded; AuditEvents are left out. Sorting would cost twice the reading.

    Args:
        compartments: ids of source patients, e.g. all of one person.
        types: only these; since: only what was updated at or after this instant.
    """
    wanted = KEPT_WITH.where(where)
    if types:
        wanted = wanted.where(Resource.type.in_(types))
    if since is not None:
        wanted = wanted.where(Resource.updated_at >= since)
    with session.connection().execute(wanted, {"compartments": list(compartments)}) as result:
        # The UTF-8 that PostgreSQL sent: to decode it and encode it again would double the cost of a row.
        sent = result.cursor.pgresult
        value = sent.get_value
        return [(value(row, 0), value(row, 1), value(row, 2)) for row in range(sent.ntuples)]
