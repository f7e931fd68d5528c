"""What a deletion takes back: the right to read that an Encounter gave, and what a Patient was known by."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from flask import Flask

from esb.fhir.identifiers import check_digit
from hie.schema.mpi import IdentityKey
from hie.schema.security import Relation
from tests.hub_world import PATCH, RESIDENT, Caller, Json, created, hospitals, patient

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
