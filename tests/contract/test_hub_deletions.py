"""What a deletion takes back: the right to read that an Encounter gave, and what a Patient was known by."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from flask import Flask

from esb.fhir.identifiers import check_digit
from hie.schema.mpi import IdentityKey
from hie.schema.security import Relation
from tests.hub_world import PATCH, RESIDENT, Caller, Json, created, entry, hospitals, patient, transaction

SEVENTEEN = "11010119580412101"
CARD = {"system": RESIDENT, "value": SEVENTEEN + check_digit(SEVENTEEN)}


@pytest.fixture(scope="module")
def app(module_database_url: str) -> Iterator[Flask]:
    with hospitals(module_database_url) as made:
        yield made


def admission(patient_id: str, status: str = "in-progress") -> Json:
    return {
        "resourceType": "Encounter",
        "status": status,
        "class": {"code": "IMP"},
        "subject": {"reference": f"Patient/{patient_id}"},
        "period": {"start": "2026-03-01T08:00:00+08:00"},
    }


def is_open(app: Flask, encounter: Json) -> bool:
    query = sa.select(Relation.until > Relation.opened_at).where(
        Relation.cause == f"Encounter/{encounter['id']}"
    )
    with app.extensions["hie"].engine.connect() as connection:
        return bool(connection.scalar(query))


@pytest.mark.parametrize("who", ["h01", "bench"])
def test_a_deleted_encounter_lets_nobody_read_any_longer(app: Flask, who: str) -> None:
    h01 = Caller(app, "h01")
    encounter = created(h01, admission(created(h01, patient("1"))["id"]))
    assert is_open(app, encounter)
    assert Caller(app, who)("DELETE", f"/Encounter/{encounter['id']}").status_code == 204
    assert not is_open(app, encounter)


def test_a_patched_encounter_is_followed(app: Flask) -> None:
    h01 = Caller(app, "h01")
    encounter = created(h01, admission(created(h01, patient("2"))["id"], "planned"))
    assert not is_open(app, encounter)
    change = [{"op": "replace", "path": "/status", "value": "in-progress"}]
    assert h01("PATCH", f"/Encounter/{encounter['id']}", change, Content_Type=PATCH).status_code == 200
    assert is_open(app, encounter)


def test_a_deleted_patient_leaves_no_numbers_in_the_index(app: Flask) -> None:
    h01 = Caller(app, "h01")
    one = created(h01, patient("3") | {"identifier": [CARD], "birthDate": "1958-04-12"})
    keys = sa.select(sa.func.count()).where(IdentityKey.identity == one["id"])
    with app.extensions["hie"].engine.connect() as connection:
        before = connection.scalar(keys)
        answer = h01("DELETE", f"/Patient/{one['id']}")
        connection.rollback()
        assert (before, answer.status_code, connection.scalar(keys)) == (1, 204, 0)


@pytest.mark.parametrize(
    "match", [{}, {"If_Match": 'W/"1"'}, {"If_Match": "*"}, {"Prefer": "return=OperationOutcome"}]
)
def test_a_deletion_tells_of_nothing_that_may_not_be_seen(app: Flask, match: dict[str, str]) -> None:
    h01, h02 = Caller(app, "h01"), Caller(app, "h02")
    there = created(h02, patient("hidden"))["id"]
    gone = created(h02, patient("hidden gone"))["id"]
    assert h02("DELETE", f"/Patient/{gone}").status_code == 204
    answers = [h01("DELETE", f"/Patient/{id_}", **match) for id_ in (there, gone, "never-there")]
    told = {
        (a.status_code, a.text.replace(there, "x").replace(gone, "x").replace("never-there", "x"))
        for a in answers
    }
    assert len(told) == 1
    assert answers[0].status_code == (412 if "If_Match" in match else 204 if not match else 200)
    in_one = [
        h01("POST", "/", transaction(entry(None, "DELETE", f"Patient/{id_}"), kind=kind)).get_json()["entry"]
        for id_ in (there, gone, "never-there")
        for kind in ("batch", "transaction")
    ]
    assert in_one == [[{"response": {"status": "204 No Content"}}]] * 6
    assert h02("GET", f"/Patient/{there}").status_code == 200


def test_what_is_seen_and_is_not_ones_own_is_not_deleted(app: Flask) -> None:
    h01, h02 = Caller(app, "h01"), Caller(app, "h02")
    shared = created(h02, {"resourceType": "Medication", "code": {"text": "x"}})["id"]
    seen = h01("GET", f"/Medication/{shared}").status_code
    deleted = h01("DELETE", f"/Medication/{shared}").status_code
    assert (seen, deleted) == (200, 403)
    assert h02("GET", f"/Medication/{shared}").status_code == 200
