"""The audit trail as an auditor asks it, and the chain that shows whether it was altered."""

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from fhir.resources.R4B.auditevent import AuditEvent
from sqlalchemy.orm import Session

from hie.errors import NotSupported, NotValid
from hie.schema import AuditEventRow, Identity, Person
from hie.security import audit
from hie.security.actor import Actor
from hie.security.chain import seal_audit, verify_audit
from hie.security.trail import audit_event, search_audit

ZONE = ZoneInfo("Asia/Shanghai")
DOCTOR = Actor("user", "doctor.h02", "H02", "doctor", request_id="request-1")
CLIENT = Actor("client", "bench", None, "system")


def no_wait(_: float) -> bool:
    return False


@pytest.fixture
def trail(session: Session) -> Session:
    """A doctor reads a1 twice, is refused twice, once at a1; a client searches, a person is read whole."""
    person = uuid.uuid4()
    session.add(Person(id=person))
    session.flush()
    session.add(Identity(id="a1", facility="H01", person_id=person, updated_at=datetime.now(UTC)))
    session.flush()
    about = {"resource_type": "Patient", "resource_id": "a1", "compartment": "a1"}
    audit.record(session, actor=DOCTOR, action="R", operation="read", **about)  # type: ignore[arg-type]
    audit.record(session, actor=DOCTOR, action="R", operation="read", **about)  # type: ignore[arg-type]
    audit.record(session, actor=DOCTOR, action="U", operation="update", outcome=4, http=403)
    audit.record(
        session, actor=DOCTOR, action="R", operation="read", resource_type="Patient", resource_id="a1",
        outcome=4, http=404,
    )  # fmt: skip
    audit.record(session, actor=CLIENT, action="E", operation="search-type", resource_type="Patient")
    audit.record(session, actor=DOCTOR, action="R", operation="portal.record", person_id=person)
    return session


def found(session: Session, *params: tuple[str, str]) -> int:
    page = search_audit(session, [*params, ("_summary", "count")], sa.true(), zone=ZONE)
    assert page.total is not None
    return page.total


@pytest.mark.parametrize(
    ("name", "value", "count"),
    [
        ("patient", "Patient/a1", 4),
        ("patient", "a1", 4),
        ("agent", "doctor.h02", 5),
        ("agent", "bench,doctor.h02", 6),
        ("action", "R", 4),
        ("action", "R,U", 5),
        ("outcome", "4", 2),
        ("subtype", "search-type", 1),
        ("subtype", "http://hl7.org/fhir/restful-interaction|read", 3),
        ("entity", "Patient/a1", 4),
        ("patient", "nobody", 0),
        ("_id", "x", 0),
    ],
)
def test_the_trail_is_searched_by(trail: Session, name: str, value: str, count: int) -> None:
    assert found(trail, (name, value)) == count


def test_a_day_is_a_day_of_the_region(trail: Session) -> None:
    today = date(2026, 3, 2)
    trail.execute(sa.update(AuditEventRow).values(at=datetime(2026, 3, 1, 16, tzinfo=UTC)))
    assert found(trail, ("date", str(today))) == 6
    assert found(trail, ("date", f"lt{today}")) == 0
    assert found(trail, ("date", f"ge{today}"), ("date", f"lt{today + timedelta(days=1)}")) == 6


def test_pages_follow_one_another_without_gap_or_repeat(trail: Session) -> None:
    seen: list[str] = []
    after: int | None = None
    while True:
        page = search_audit(trail, [("_count", "2")], sa.true(), zone=ZONE, after=after)
        seen += [event["id"] for event in page.resources]
        if page.next is None:
            break
        after = page.next
    assert len(seen) == len(set(seen)) == 6
    assert seen == sorted(seen, key=int, reverse=True)


def test_an_unknown_parameter_and_a_malformed_date_are_refused(trail: Session) -> None:
    with pytest.raises(NotSupported):
        found(trail, ("colour", "red"))
    with pytest.raises(NotValid):
        found(trail, ("date", "yesterday"))


def test_every_row_is_a_valid_audit_event(trail: Session) -> None:
    for row in trail.scalars(sa.select(AuditEventRow)):
        AuditEvent.model_validate(audit_event(row))


def test_an_event_names_both_sides_and_claims_no_profile_it_does_not_meet(trail: Session) -> None:
    for row in trail.scalars(sa.select(AuditEventRow)):
        event = audit_event(row)
        assert [agent["requestor"] for agent in event["agent"]] == [True, False]
        assert "profile" not in event["meta"]


@pytest.fixture
def engine_of_its_own(fresh_database_url: str) -> Iterator[sa.Engine]:
    """A database with twelve audit rows, sealed in batches of five."""
    made = sa.create_engine(fresh_database_url)
    with Session(made) as session, session.begin():
        for _ in range(12):
            audit.record(session, actor=DOCTOR, action="R", operation="read", detail={"found": 1})
    assert seal_audit(made, no_wait, batch=5) == 12
    yield made
    made.dispose()


def broken(engine: sa.Engine) -> list[int]:
    with Session(engine) as session:
        return verify_audit(session)


def test_an_untouched_trail_verifies_and_sealing_again_seals_nothing(engine_of_its_own: sa.Engine) -> None:
    assert broken(engine_of_its_own) == []
    assert seal_audit(engine_of_its_own, no_wait) == 0


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE audit_event SET actor = 'somebody.else' WHERE id = 7",
        "UPDATE audit_event SET at = at - interval '1 day' WHERE id = 7",
        "DELETE FROM audit_event WHERE id = 7",
        "UPDATE audit_seal SET digest = sha256('x') WHERE id_to = 10",
    ],
)
def test_tampering_is_found_in_its_batch(engine_of_its_own: sa.Engine, tampering: str) -> None:
    with engine_of_its_own.begin() as connection:
        connection.execute(sa.text(tampering))
    assert 10 in broken(engine_of_its_own)


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/Los_Angeles"])
def test_a_trail_verifies_in_whatever_zone_the_database_speaks(
    engine_of_its_own: sa.Engine, zone: str
) -> None:
    with engine_of_its_own.connect() as connection:
        connection.execute(sa.text(f"SET timezone TO '{zone}'"))
        assert verify_audit(Session(connection)) == []


def test_a_row_of_a_transaction_under_way_is_not_passed_over(engine_of_its_own: sa.Engine) -> None:
    with Session(engine_of_its_own) as slow, slow.begin():
        audit.record(slow, actor=DOCTOR, action="R", operation="read")
        with Session(engine_of_its_own) as fast, fast.begin():
            audit.record(fast, actor=DOCTOR, action="R", operation="read")
        waits = iter([False, True])
        assert seal_audit(engine_of_its_own, lambda _: next(waits)) == 0
    assert seal_audit(engine_of_its_own, no_wait) == 2
    assert broken(engine_of_its_own) == []
