"""The policy on real rows: who reaches whose record, and that nothing tells what is hidden."""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from hie.mpi import restrict
from hie.schema import AuditEventRow, Identity, Person, Relation, Resource
from hie.security.actor import Actor
from hie.security.policy import decide
from hie.security.scopes import parse_scopes

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
ALL = parse_scopes("system/*.cruds")
SYSTEM = Actor("client", "bench", None, "system", ALL)
H01 = Actor("client", "his.h01", "H01", "facility", ALL)
H02 = Actor("client", "his.h02", "H02", "facility", ALL)
DOCTOR = Actor("user", "doctor.h02", "H02", "doctor")
COLLEAGUE = Actor("user", "other.h02", "H02", "doctor")
STEWARD = Actor("user", "steward", None, "steward")


@pytest.fixture
def person(session: Session) -> uuid.UUID:
    """One person known at H01 and H03 with an observation each, and a stranger at H01."""
    known, stranger = uuid.uuid4(), uuid.uuid4()
    session.add_all([Person(id=known), Person(id=stranger)])
    session.flush()
    for id_, facility, whose in (("a1", "H01", known), ("c1", "H03", known), ("s1", "H01", stranger)):
        session.add(Identity(id=id_, facility=facility, person_id=whose, updated_at=NOW))
        session.add(resource("Patient", id_, id_, facility))
        session.add(resource("Observation", f"o-{id_}", id_, facility))
    session.add(resource("Organization", "org", "", "H01"))
    session.add(resource("Basic", "private", "", "H01"))
    session.flush()
    return known


def resource(type_: str, id_: str, compartment: str, facility: str) -> Resource:
    return Resource(
        compartment=compartment,
        type=type_,
        id=id_,
        version=1,
        facility=facility,
        updated_at=NOW,
        source_at=NOW,
        epoch=1,
        seq=1,
        deleted=False,
        tokens=[],
        content="{}",
    )


def relate(session: Session, person: uuid.UUID, facility: str, days: int = 1, **more: object) -> None:
    values = {"kind": "encounter", "opened_at": NOW - timedelta(days=9), "until": NOW + timedelta(days=days)}
    session.add(Relation(facility=facility, person_id=person, **(values | more)))
    session.flush()


def seen(session: Session, actor: Actor, action: str = "search", type_: str = "*") -> set[str]:
    """Return the ids that the decision's condition lets through."""
    decision = decide(actor, action, type_, now=NOW)
    if not decision.allowed:
        return set()
    return set(session.scalars(sa.select(Resource.id).where(decision.where)))


def people(session: Session, actor: Actor, action: str, type_: str = "Person") -> set[str]:
    decision = decide(actor, action, type_, now=NOW)
    return set(session.scalars(sa.select(Identity.id).where(decision.people)))


def with_observations(*ids: str) -> set[str]:
    return {*ids, *(f"o-{id_}" for id_ in ids)}


@pytest.mark.usefixtures("person")
def test_the_regions_own_client_sees_everything(session: Session) -> None:
    assert seen(session, SYSTEM) == {"org", "private", *with_observations("a1", "c1", "s1")}


def test_a_hospitals_system_sees_its_own_records_and_what_is_published(
    session: Session, person: object
) -> None:
    assert seen(session, H01) == {"org", "private", *with_observations("a1", "s1")}
    assert seen(session, H02) == {"org"}


def test_a_relation_opens_the_record_across_hospitals_for_that_person_only(
    session: Session, person: uuid.UUID
) -> None:
    relate(session, person, "H02")
    assert seen(session, H02) == {"org", *with_observations("a1", "c1")}
    assert seen(session, DOCTOR) == {"org", *with_observations("a1", "c1")}


def test_a_relation_that_has_ended_opens_nothing(session: Session, person: uuid.UUID) -> None:
    relate(session, person, "H02", days=-1)
    assert seen(session, DOCTOR) == {"org"}


def test_a_confirmed_relation_is_that_doctors_alone(session: Session, person: uuid.UUID) -> None:
    relate(session, person, "H02", kind="confirmed", username=DOCTOR.id)
    assert "a1" in seen(session, DOCTOR)
    assert "a1" not in seen(session, COLLEAGUE)
    assert "a1" not in seen(session, H02)


def test_a_doctor_without_a_relation_finds_masked_people_but_reads_nothing(
    session: Session, person: object
) -> None:
    assert decide(DOCTOR, "find", "Person").masked
    assert people(session, DOCTOR, "find") == {"a1", "c1", "s1"}
    assert people(session, DOCTOR, "read", "Patient") == set()
    assert seen(session, DOCTOR) == {"org"}


@pytest.fixture
def restricted(session: Session, person: uuid.UUID) -> uuid.UUID:
    """The person, restricted by way of one of the two records, with an open relation of H02."""
    relate(session, person, "H02")
    restrict.restrict(session, "c1", reason="beneficiary", by=STEWARD)
    return person


def test_a_restricted_person_is_not_even_found(session: Session, restricted: object) -> None:
    assert people(session, DOCTOR, "find") == {"s1"}
    assert people(session, STEWARD, "find") == {"s1"}
    assert seen(session, DOCTOR) == {"org"}
    assert seen(session, H02) == {"org"}


def test_a_restricted_persons_own_hospital_keeps_what_it_wrote(session: Session, restricted: object) -> None:
    assert with_observations("a1") <= seen(session, H01)


def test_an_explicit_right_shows_a_restricted_person(session: Session, restricted: object) -> None:
    relate(session, restricted, "H02", kind="granted", username=DOCTOR.id)  # type: ignore[arg-type]
    assert with_observations("a1", "c1") <= seen(session, DOCTOR)
    assert people(session, DOCTOR, "find") == {"a1", "c1", "s1"}
    assert seen(session, COLLEAGUE) == {"org"}


def test_lifting_a_restriction_shows_the_person_again(session: Session, restricted: object) -> None:
    restrict.lift(session, "a1", reason="ended", by=STEWARD)
    assert with_observations("a1", "c1") <= seen(session, DOCTOR)


def test_totals_count_only_what_may_be_seen(session: Session, restricted: object) -> None:
    where = decide(DOCTOR, "search", "Observation", now=NOW).where
    assert (
        session.scalar(sa.select(sa.func.count()).select_from(Resource).where(where)) == 1
    )  # the Organization


def test_a_steward_sees_demographics_and_no_clinical_row(session: Session, person: object) -> None:
    assert seen(session, STEWARD, type_="Patient") == {"a1", "c1", "s1"}
    assert not decide(STEWARD, "search", "Observation").allowed


def test_a_hospital_writes_only_what_is_its_own(session: Session, person: object) -> None:
    assert seen(session, H01, "update") == {"org", "private", *with_observations("a1", "s1")}
    assert seen(session, H02, "update") == set()
    session.add(resource("Observation", "smuggled", "a1", "H02"))
    assert "smuggled" not in seen(session, H02, "update")


def test_a_scope_narrows_every_condition(session: Session, person: object) -> None:
    narrow = Actor("client", "reader", None, "system", parse_scopes("system/Patient.rs system/Observation.s"))
    assert seen(session, narrow, "search") == with_observations("a1", "c1", "s1")
    assert seen(session, narrow, "read", "Patient") == {"a1", "c1", "s1"}
    assert not decide(narrow, "read", "Observation").allowed
    assert not decide(narrow, "search", "Condition").allowed
    assert not decide(narrow, "create", "Patient").allowed


@pytest.mark.parametrize(
    ("role", "facility", "facilities"),
    [
        ("auditor", None, {"H01", "H02"}),
        ("auditor", "H01", {"H01"}),
        ("operator", "H02", {"H02"}),
        ("doctor", "H01", set()),
        ("referral", "H01", set()),
        ("engineer", "H01", set()),
        ("steward", None, set()),
    ],
)
def test_who_sees_the_audit_trail(
    session: Session, role: str, facility: str | None, facilities: Iterable[str]
) -> None:
    for code in ("H01", "H02"):
        session.add(
            AuditEventRow(
                actor_kind="client", actor="x", facility=code, action="R", operation="read", outcome=0
            )
        )
    session.flush()
    decision = decide(Actor("user", "somebody", facility, role), "search", "AuditEvent")
    where = decision.where if decision.allowed else sa.false()
    assert set(session.scalars(sa.select(AuditEventRow.facility).where(where))) == set(facilities)


@pytest.mark.parametrize(
    ("actor", "may"),
    [
        (SYSTEM, {"explain", "map"}),
        (H01, {"map"}),
        (Actor("user", "x", None, "operator"), {"explain", "map"}),
        (Actor("user", "x", "H01", "engineer"), {"map"}),
        (DOCTOR, set()),
        (STEWARD, set()),
    ],
)
def test_who_maps_codes_and_sees_how_searches_run(actor: Actor, may: set[str]) -> None:
    asked = {"explain": "Search", "map": "Code"}
    assert {action for action, of in asked.items() if decide(actor, action, of).allowed} == may


def test_a_hospitals_system_does_not_see_the_audit_trail() -> None:
    assert not decide(H01, "search", "AuditEvent").allowed


@pytest.mark.parametrize("role", ["auditor", "operator", "engineer", "steward"])
def test_those_who_run_the_exchange_read_no_clinical_row(session: Session, person: object, role: str) -> None:
    actor = Actor("user", role, None, role)
    assert "o-a1" not in seen(session, actor) | seen(session, actor, "everything", "Patient")
