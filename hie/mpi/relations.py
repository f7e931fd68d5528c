"""Relations: why a facility, or one doctor of it, may read a person's record, and until when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.orm import Session

from hie.errors import NotPermitted
from hie.mpi.links import person_of
from hie.mpi.people import persons_of
from hie.schema.mpi import Identity
from hie.schema.security import Relation
from hie.security.actor import PURPOSES, Actor

FOR_EVER = datetime(9999, 12, 31, tzinfo=UTC)
# Encounter.status (FHIR R4) -> what it does to the relation; what is not here (planned) opens none.
OPENING = frozenset({"arrived", "triaged", "in-progress", "onleave"})
ENDING = frozenset({"finished"})
TAKING_BACK = frozenset({"cancelled", "entered-in-error"})
STAYING = frozenset({"IMP", "ACUTE", "NONAC", "OBSENC"})
# A newer version of the same encounter changes the row that an older one made.
RELATE = text(
    """
    INSERT INTO relation (facility, person_id, identity, cause, opened_at, until, kind)
    SELECT f, p, i, c, b, e, 'encounter' FROM unnest(
        CAST(:facilities AS text[]), CAST(:persons AS uuid[]), CAST(:identities AS text[]),
        CAST(:causes AS text[]), CAST(:begins AS timestamptz[]), CAST(:ends AS timestamptz[])
    ) AS w (f, p, i, c, b, e)
    ON CONFLICT (cause, facility) WHERE cause IS NOT NULL DO UPDATE SET
        person_id = excluded.person_id, identity = excluded.identity,
        opened_at = excluded.opened_at, until = excluded.until
    """
)


@dataclass(frozen=True, slots=True)
class EncounterSeen:
    """An Encounter as just stored."""

    id: str
    facility: str
    identity: str
    encounter: dict[str, Any]


def relate_by_encounters(
    session: Session, seen: Sequence[EncounterSeen], now: datetime, days: int, zone: tzinfo
) -> None:
    """Open, end or take back the relation that each encounter gives its facility.

    Args:
        days: how long after an encounter its facility may still read.
        zone: of the region; a date in it begins when that day does there.
    """
    latest = {(s.facility, s.id): s for s in seen}
    persons = persons_of(session, {s.identity for s in latest.values()})
    rows = []
    for one in sorted(latest.values(), key=lambda s: (s.facility, s.id)):
        span = relation_span(one.encounter, now, days, zone)
        if span is not None and one.identity in persons:
            rows.append((one.facility, persons[one.identity], one.identity, f"Encounter/{one.id}", *span))
    if rows:
        names = ("facilities", "persons", "identities", "causes", "begins", "ends")
        columns = zip(*rows, strict=True)
        session.execute(RELATE, {n: list(c) for n, c in zip(names, columns, strict=True)})


def end_with_encounters(session: Session, encounters: Sequence[str]) -> None:
    """Take back the relations that these Encounters gave: they were deleted."""
    causes = [f"Encounter/{one}" for one in encounters]
    taken_back = update(Relation).where(Relation.cause.in_(causes), Relation.until > Relation.opened_at)
    session.execute(taken_back.values(until=Relation.opened_at))


def relation_span(
    encounter: dict[str, Any], now: datetime, days: int, zone: tzinfo
) -> tuple[datetime, datetime] | None:
    """Return from when until when an encounter lets its facility read, or None if it opens nothing.

    A stay lasts until it is ended; a visit nobody ends counts from its beginning.
    """
    status, period = encounter.get("status"), encounter.get("period") or {}
    begin = min(_instant(_first_day(period.get("start")), zone) or now, FOR_EVER)
    if status in TAKING_BACK:
        return begin, begin
    if status in ENDING:
        return begin, _after(_instant(period.get("end"), zone) or begin, days)
    if status in OPENING:
        is_stay = (encounter.get("class") or {}).get("code") in STAYING
        return begin, FOR_EVER if is_stay else _after(begin, days)
    return None


def _after(instant: datetime, days: int) -> datetime:
    """Return the instant some days later; a year 9999 says that nobody knows the end."""
    window = timedelta(days=days)
    return instant + window if instant < FOR_EVER - window else FOR_EVER


def confirm(
    session: Session, identity: str, *, purpose: str, now: datetime, hours: int, by: Actor
) -> datetime:
    """Open the relation of a doctor who confirmed two identifiers and a purpose; return until when it holds.

    The caller has checked the identifiers and that the person may be found.

    Raises: NotPermitted if the actor is no user of a facility or the purpose is none of PURPOSES; NotFound.
    """
    if by.kind != "user" or by.facility is None or purpose not in PURPOSES:
        raise NotPermitted("A user of a facility must confirm, for one of the purposes offered.")
    until = now + timedelta(hours=hours)
    session.execute(
        insert(Relation),
        [
            {
                "facility": by.facility,
                "person_id": person_of(session, identity),
                "identity": identity,
                "username": by.id,
                "kind": "confirmed",
                "purpose": purpose,
                "opened_at": now,
                "until": until,
            }
        ],
    )
    return until


def open_until(session: Session, identity: str, now: datetime, by: Actor) -> datetime | None:
    """Return until when the actor has an open relation with the person of an identity, or None."""
    query = select(func.max(Relation.until)).where(
        Relation.person_id == select(Identity.person_id).where(Identity.id == identity).scalar_subquery(),
        Relation.facility == by.facility,
        Relation.until > now,
        Relation.username.is_(None) | (Relation.username == by.id),
    )
    return session.scalar(query)


def _first_day(given: object) -> object:
    """Return a FHIR date with the first day of the year or month it names; anything else as it is."""
    return f"{given}-01-01"[:10] if isinstance(given, str) and len(given) in (4, 7) else given


def _instant(given: object, zone: tzinfo) -> datetime | None:
    if not isinstance(given, str):
        return None
    try:
        made = datetime.fromisoformat(given)
    except ValueError:
        return None
    return made if made.tzinfo else made.replace(tzinfo=zone)
