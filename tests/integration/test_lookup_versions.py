"""The old values that a record shows are the patient's own."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import true
from sqlalchemy.orm import Session

from hie.repository.read import everything
from hie.repository.store import write
from hie.repository.writes import Write
from hie.services.lookup.sources import Holdings, Source, gather
from hie.services.lookup.versions import past_versions, withdrawn

NOW = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)


def put(session: Session, id_: str, patient: str, value: str, minute: int) -> None:
    at = NOW + timedelta(minutes=minute)
    result: dict[str, Any] = {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"text": "test"},
        "subject": {"reference": f"Patient/{patient}"},
        "valueString": value,
    }
    write(session, [Write("put", "Observation", id_, result, facility="H01", order=(at, 1, minute))], at)


def holdings_of(session: Session, patient: str) -> Holdings:
    rows = everything(session, [patient], true())
    return gather([Source(patient, "H01")], (content for _, _, content in rows), UTC)


def values(session: Session, patient: str) -> list[str]:
    past = past_versions(session, holdings_of(session, patient))
    return [version.resource["valueString"] for versions in past.values() for version in versions]


def test_what_was_filed_with_another_patient_first_is_not_shown_as_an_old_value(session: Session) -> None:
    put(session, "o1", "stranger", "the stranger's", 1)
    put(session, "o1", "p1", "first", 2)
    put(session, "o1", "p1", "second", 3)
    assert values(session, "p1") == ["first"]


def test_what_another_patient_had_is_not_shown_as_withdrawn(session: Session) -> None:
    put(session, "o2", "stranger", "the stranger's", 1)
    put(session, "o2", "p1", "mine", 2)
    at = NOW + timedelta(minutes=3)
    write(session, [Write("delete", "Observation", "o2", facility="H01", order=(at, 1, 3))], at)
    assert [past.resource["valueString"] for past in withdrawn(session, ["p1"])] == ["mine"]
    assert withdrawn(session, ["stranger"]) == []
