"""The audit trail: one narrow row per request, permitted or denied, written with the act (ATNA, BALP).

A row holds codes and our ids, never a name, a number or a value of a patient.
"""

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from psycopg.types.json import Jsonb
from sqlalchemy import CTE, Engine, Insert, bindparam, insert, select
from sqlalchemy.orm import Session

from esb.prepared import Prepared
from hie.schema.bulk import copy_in
from hie.schema.driver import run
from hie.schema.security import AuditEventRow
from hie.security.actor import Actor

OUTCOMES = {0: "success", 4: "minor failure", 8: "serious failure"}

COLUMNS = tuple(c.name for c in AuditEventRow.__table__.c if c.name not in ("id", "at"))
ADD = Prepared(insert(AuditEventRow), COLUMNS)

# Rows written for the request at hand: the app asks whether there was one.
_written: ContextVar[list[int] | None] = ContextVar("audit_written", default=None)


def record(
    session: Session,
    *,
    actor: Actor,
    action: str,
    operation: str,
    resource_type: str | None = None,
    resource_id: str | None = None,
    compartment: str | None = None,
    others: Sequence[str] | None = None,
    person_id: uuid.UUID | None = None,
    outcome: int = 0,
    http: int | None = 200,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add the audit row of an act to the act's own transaction.

    Args:
        action: C, R, U, D or E, as AuditEvent.action has it.
        operation: what was done: a restful interaction of FHIR, or `portal.record` and the like.
        outcome: 0 success, 4 refused or failed by the asker, 8 failed by the hub.
        detail: codes only, e.g. the names of search parameters, counts.
    """
    row = audit_row(
        actor,
        action,
        operation,
        resource_type=resource_type,
        resource_id=resource_id,
        compartment=compartment,
        others=others,
        person_id=person_id,
        outcome=outcome,
        http=http,
        detail=detail,
    )
    run(session, ADD, row)
    note_written()


def adding(found: CTE) -> Insert:
    """Return the statement that adds an audit row for each row that a query finds.

    Columns of the trail that the query has come from it; all others are bound by their names, as `audit_row`
    gives them. Who runs it says so by `note_written`.
    """
    columns = AuditEventRow.__table__.c
    said = (found.c.get(name, bindparam(name, type_=columns[name].type)) for name in COLUMNS)
    return insert(AuditEventRow).from_select(COLUMNS, select(*said).select_from(found))


def record_each(session: Session, compartments: Collection[str | None], **said: Any) -> None:
    """Add the one row of an act that gave or changed records of several patients; each of them finds it.

    Args:
        compartments: empty words count for nothing; none at all makes a row that names nobody.
        said: as `record` takes it.
    """
    patients = sorted({one for one in compartments if one})
    record(session, compartment=patients[0] if patients else None, others=patients[1:] or None, **said)


def record_many(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add many audit rows at once; each made by `audit_row`."""
    if rows:
        copy_in(session, AuditEventRow.__tablename__, COLUMNS, (_values(row) for row in rows))
        note_written()


def _values(row: Mapping[str, Any]) -> list[Any]:
    return [Jsonb(row[name]) if name == "detail" and row[name] else row[name] for name in COLUMNS]


def audit_row(
    actor: Actor,
    action: str,
    operation: str,
    *,
    resource_type: str | None = None,
    resource_id: str | None = None,
    compartment: str | None = None,
    others: Sequence[str] | None = None,
    person_id: uuid.UUID | None = None,
    outcome: int = 0,
    http: int | None = None,
    detail: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return an audit row for `record_many`."""
    return {
        "actor_kind": actor.kind,
        "actor": actor.id,
        "facility": actor.facility,
        "role": actor.role,
        "purpose": actor.purpose,
        "action": action,
        "operation": operation,
        "resource_type": resource_type,
        "resource_id": resource_id,
        "compartment": compartment,
        "others": list(others) if others else None,
        "person_id": person_id,
        "outcome": outcome,
        "http": http,
        "request_id": actor.request_id or None,
        "detail": dict(detail) if detail else None,
    }


def record_denied(
    engine: Engine,
    *,
    actor: Actor,
    action: str,
    operation: str,
    http: int,
    resource_type: str | None = None,
    resource_id: str | None = None,
    person_id: uuid.UUID | None = None,
    outcome: int = 4,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add the audit row of what was refused or failed, in a transaction of its own."""
    with Session(engine) as session, session.begin():
        record(
            session,
            actor=actor,
            action=action,
            operation=operation,
            resource_type=resource_type,
            resource_id=resource_id,
            person_id=person_id,
            outcome=outcome,
            http=http,
            detail=detail,
        )


def begin_trail() -> None:
    """Begin to watch whether the request at hand writes an audit row."""
    _written.set([0])


def note_written() -> None:
    """Remember that a row was written for the request at hand."""
    seen = _written.get()
    if seen is not None:
        seen[0] += 1


@contextmanager
def forgotten_if_undone() -> Iterator[None]:
    """Forget the rows noted in a block that fails: its transaction takes them back."""
    seen = _written.get()
    before = seen[0] if seen else 0
    try:
        yield
    except BaseException:
        if seen:
            seen[0] = before
        raise


def is_recorded() -> bool:
    """Say whether a row was written since `begin_trail`."""
    seen = _written.get()
    return bool(seen and seen[0])
