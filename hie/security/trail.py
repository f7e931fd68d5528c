"""Searches the audit trail and renders its rows as FHIR R4 AuditEvents (IHE BALP 1.1, ITI-81)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

from sqlalchemy import ColumnElement, false, func, or_, select
from sqlalchemy.orm import Session

from hie.errors import NotSupported, NotValid
from hie.schema.mpi import Identity
from hie.schema.security import AuditEventRow

Row = AuditEventRow
DCM = "http://dicom.nema.org/resources/ontology/DCM"
REST = "http://terminology.hl7.org/CodeSystem/audit-event-type"
INTERACTION = "http://hl7.org/fhir/restful-interaction"
OPERATION = "urn:hie:CodeSystem/operation"
PURPOSE = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
OBJECT = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
PARTICIPANT = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
BALP = "https://profiles.ihe.net/ITI/BALP"

# Codes of http://hl7.org/fhir/restful-interaction; other operations are ours.
INTERACTIONS = frozenset(
    {
        "read",
        "vread",
        "update",
        "patch",
        "delete",
        "history-instance",
        "history-type",
        "history-system",
        "create",
        "search-type",
        "capabilities",
        "transaction",
        "batch",
    }
)
SOURCE = {"system": DCM, "code": "110153", "display": "Source Role ID"}
DESTINATION = {"system": DCM, "code": "110152", "display": "Destination Role ID"}
APPLICATION = {"system": DCM, "code": "110150", "display": "Application"}
CUSTODIAN = {
    "system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
    "code": "custodian",
    "display": "Custodian",
}
# Interaction -> who it is in BALP: the code of the asking system and of the answering one.
SIDES = {
    "read": (DESTINATION, SOURCE),
    "vread": (DESTINATION, SOURCE),
    "create": (SOURCE, DESTINATION),
    "update": (SOURCE, DESTINATION),
    "patch": (SOURCE, DESTINATION),
    "search-type": (SOURCE, DESTINATION),
}
OTHER_SIDES = (APPLICATION, CUSTODIAN)
READER = {"system": PARTICIPANT, "code": "IRCP", "display": "information recipient"}
AUTHOR = {"system": PARTICIPANT, "code": "AUT", "display": "author (originator)"}
PREFIX = re.compile(r"(eq|ne|gt|lt|ge|le|sa|eb)?(.+)")
OUTCOME_TEXTS = {0: "success", 4: "refused", 8: "failed"}
PAGE, LARGEST_PAGE = 50, 1000


@dataclass(frozen=True, slots=True)
class TrailPage:
    """A page of AuditEvents, newest first unless sorted by `date`; `next` is where the next page goes on."""

    resources: list[dict[str, Any]]
    next: int | None
    total: int | None


def search_audit(
    session: Session,
    params: Sequence[tuple[str, str]],
    where: ColumnElement[bool],
    *,
    zone: tzinfo,
    after: int | None = None,
) -> TrailPage:
    """Return the AuditEvents that match, of those a decision's `where` reaches.

    Args:
        params: date, agent, patient, action, outcome, type, subtype, entity, site, _id, _count, _sort,
            _summary=count, _total=accurate.
        after: the `next` of the page before.

    Raises: NotSupported for another parameter; NotValid for a malformed value.
    """
    conditions, count, oldest_first, wants_total, only_count = [where], PAGE, False, False, False
    for name, value in params:
        if name == "_count":
            count = min(_whole(value), LARGEST_PAGE)
        elif name == "_sort":
            if value not in ("date", "-date"):
                raise NotSupported("AuditEvents are sorted by date or -date only.")
            oldest_first = value == "date"
        elif name == "_summary":
            only_count = value == "count"
        elif name == "_total":
            wants_total = value == "accurate"
        elif name in ("date", "_lastUpdated"):
            conditions.append(_date(value, zone))
        elif name in SEARCH:
            conditions.append(or_(*(SEARCH[name](one) for one in value.split(","))))
        else:
            raise NotSupported(f"AuditEvent cannot be searched by {name}; see /fhir/metadata.")
    total = None
    if wants_total or only_count:
        total = session.scalar(select(func.count()).select_from(Row).where(*conditions))
    if only_count or not count:
        return TrailPage([], None, total)
    if after is not None:
        conditions.append(Row.id > after if oldest_first else Row.id < after)
    order = Row.id if oldest_first else Row.id.desc()
    rows = session.scalars(select(Row).where(*conditions).order_by(order).limit(count + 1)).all()
    shown = rows[:count]
    return TrailPage([audit_event(row) for row in shown], shown[-1].id if len(rows) > count else None, total)


def read_audit(session: Session, id_: str, where: ColumnElement[bool]) -> dict[str, Any] | None:
    """Return one AuditEvent that the decision's `where` reaches, or None."""
    if not id_.isascii() or not id_.isdigit() or len(id_) > 18:
        return None
    row = session.scalar(select(Row).where(Row.id == int(id_), where))
    return audit_event(row) if row is not None else None


def audit_event(row: AuditEventRow) -> dict[str, Any]:
    """Return a row as a FHIR R4 AuditEvent, in the manner of BALP.

    It claims none of BALP's profiles: they want the network addresses of both sides, which no row holds.
    """
    event: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": str(row.id),
        "meta": {"versionId": "1", "lastUpdated": _instant(row.at)},
        "type": {"system": REST, "code": "rest", "display": "RESTful Operation"},
        "subtype": [_operation(row.operation)],
        "action": row.action,
        "recorded": _instant(row.at),
        "outcome": str(row.outcome),
        "outcomeDesc": f"{OUTCOME_TEXTS.get(row.outcome, '')} {row.http or ''}".strip(),
        "agent": [_asker(row), _hub(row)],
        "source": {"site": "hub", "observer": {"identifier": {"value": "hie"}, "display": "HIE hub"}},
    }
    if row.purpose:
        event["purposeOfEvent"] = [{"coding": [{"system": PURPOSE, "code": row.purpose}]}]
    entities = list(_entities(row))
    if entities:
        event["entity"] = entities
    return event


def _asker(row: AuditEventRow) -> dict[str, Any]:
    asking, _ = SIDES.get(row.operation, OTHER_SIDES)
    if row.actor_kind == "user":
        asking = AUTHOR if row.action in ("C", "U", "D") else READER
    agent: dict[str, Any] = {
        "type": {"coding": [asking]},
        "who": {"identifier": {"system": f"urn:hie:{row.actor_kind}", "value": row.actor}},
        "requestor": True,
    }
    if row.role:
        agent["role"] = [{"coding": [{"system": "urn:hie:CodeSystem/role", "code": row.role}]}]
    if row.facility:
        agent["location"] = {"identifier": {"system": "urn:hie:facility", "value": row.facility}}
    return agent


def _hub(row: AuditEventRow) -> dict[str, Any]:
    _, answering = SIDES.get(row.operation, OTHER_SIDES)
    return {
        "type": {"coding": [answering]},
        "who": {"identifier": {"system": "urn:hie:system", "value": "hub"}},
        "requestor": False,
    }


def _entities(row: AuditEventRow) -> Any:
    patients = [row.compartment, *(row.others or ())] if row.compartment else []
    for patient in patients:
        yield {
            "what": {"reference": f"Patient/{patient}"},
            "type": {"system": OBJECT, "code": "1", "display": "Person"},
            "role": {"system": ROLE, "code": "1", "display": "Patient"},
        }
    if not patients and row.person_id:
        yield {
            "what": {"reference": f"Person/{row.person_id}"},
            "type": {"system": OBJECT, "code": "1", "display": "Person"},
            "role": {"system": ROLE, "code": "1", "display": "Patient"},
        }
    if row.resource_type and not (row.resource_type == "Patient" and row.resource_id in patients):
        what = {"type": row.resource_type}
        if row.resource_id and row.resource_type != "Bundle":
            what = {"reference": f"{row.resource_type}/{row.resource_id}"}
        elif row.resource_id:
            what["identifier"] = {"system": "urn:hie:entry", "value": row.resource_id}  # type: ignore[assignment]
        yield {
            "what": what,
            "type": {"system": OBJECT, "code": "2", "display": "System Object"},
            "role": {"system": ROLE, "code": "4", "display": "Domain Resource"},
        }
    if row.request_id:
        yield {
            "what": {"identifier": {"value": row.request_id}},
            "type": {"system": f"{BALP}/CodeSystem/BasicAuditEntityType", "code": "XrequestId"},
        }


def _operation(operation: str) -> dict[str, str]:
    system = INTERACTION if operation in INTERACTIONS else OPERATION
    return {"system": system, "code": operation}


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _token(value: str) -> str:
    return value.rpartition("|")[2]


def _reference(value: str) -> str:
    return value.rstrip("/").rpartition("/")[2]


def about_patient(value: str) -> ColumnElement[bool]:
    """Rows that name the record, or the person it belongs to as a whole, or a look at the record refused."""
    identity = _reference(value)
    person = select(Identity.person_id).where(Identity.id == identity).scalar_subquery()
    is_named = (Row.resource_type == "Patient") & (Row.resource_id == identity)
    bare = Row.compartment.is_(None)
    is_about = or_(Row.compartment == identity, Row.others.contains([identity]))
    return or_(is_about, bare & (Row.person_id == person), bare & is_named)


def _entity(value: str) -> ColumnElement[bool]:
    type_, _, id_ = value.rstrip("/").rpartition("/")
    kind = type_.rpartition("/")[2]
    if kind == "Patient":
        return about_patient(value)
    return (Row.resource_id == id_) & (Row.resource_type == kind if kind else Row.resource_id.is_not(None))


def _outcome(value: str) -> ColumnElement[bool]:
    return Row.outcome == _whole(_token(value))


def _id(value: str) -> ColumnElement[bool]:
    return Row.id == int(value) if value.isascii() and value.isdigit() and len(value) <= 18 else false()


SEARCH: dict[str, Callable[[str], ColumnElement[bool]]] = {
    "_id": _id,
    "agent": lambda value: Row.actor == _reference(_token(value)),
    "agent:identifier": lambda value: Row.actor == _token(value),
    "agent-role": lambda value: Row.role == _token(value),
    "patient": about_patient,
    "action": lambda value: Row.action == _token(value),
    "outcome": _outcome,
    "type": lambda value: Row.id.is_not(None) if _token(value) == "rest" else false(),
    "subtype": lambda value: Row.operation == _token(value),
    "entity": _entity,
    "site": lambda value: Row.id.is_not(None) if value == "hub" else false(),
    "policy": lambda _: false(),
}


def _whole(value: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise NotValid("A whole number is expected here.")
    return int(value)


def _date(value: str, zone: tzinfo) -> ColumnElement[bool]:
    match = PREFIX.fullmatch(value)
    prefix, text = (match[1] or "eq", match[2]) if match else ("eq", value)
    begin, end = _span(text.replace(" ", "+"), zone)
    ranges: dict[str, ColumnElement[bool]] = {
        "eq": (Row.at >= begin) & (Row.at < end),
        "ne": (Row.at < begin) | (Row.at >= end),
        "gt": Row.at >= end,
        "sa": Row.at >= end,
        "ge": Row.at >= begin,
        "lt": Row.at < begin,
        "eb": Row.at < begin,
        "le": Row.at < end,
    }
    return ranges[prefix]


def _span(text: str, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return the instants a FHIR date or dateTime begins and ends at."""
    try:
        if len(text) == 4:
            return datetime(int(text), 1, 1, tzinfo=zone), datetime(int(text) + 1, 1, 1, tzinfo=zone)
        if len(text) == 7:
            year, month = int(text[:4]), int(text[5:])
            following = date(year + month // 12, month % 12 + 1, 1)
            return datetime(year, month, 1, tzinfo=zone), datetime(
                following.year, following.month, 1, tzinfo=zone
            )
        if len(text) == 10:
            day = date.fromisoformat(text)
            begin = datetime(day.year, day.month, day.day, tzinfo=zone)
            return begin, begin + timedelta(days=1)
        at = datetime.fromisoformat(text)
        at = at if at.tzinfo else at.replace(tzinfo=zone)
        return at, at + (timedelta(milliseconds=1) if at.microsecond else timedelta(seconds=1))
    except (ValueError, OverflowError):
        raise NotValid("A date must look like 2026-03-01 or 2026-03-01T08:00:00+08:00.") from None
