"""Person on the wire: who is one human, for whom it may concern."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from esb.fhir.identifiers import RESIDENT_ID, check_digit
from esb.seal import generate_keys, public_part
from hie.app import create_app
from hie.config import Config
from hie.directory.clients import put_client
from hie.directory.facilities import put_facility

SECRET = "a secret of some length"
NUMBER = "11010119580412101" + check_digit("11010119580412101")


@pytest.fixture(scope="module")
def app(module_database_url: str) -> Iterator[Flask]:
    """The application with one human known at H01 and H02, and a hospital H03 that knows nobody."""
    made = create_app(Config.from_env({"HIE_DATABASE_URL": module_database_url}))
    with Session(made.extensions["hie"].engine) as session, session.begin():
        for code in ("H01", "H02", "H03"):
            put_facility(session, code, code, "", public_part(generate_keys(code)))
            put_client(session, code, SECRET, "system/*.cruds", code)
        put_client(session, "region", SECRET, "system/*.cruds", None)
    for code, id_ in (("H01", "a1"), ("H02", "b1")):
        patient = {
            "resourceType": "Patient",
            "id": id_,
            "name": [{"text": "欧阳建国"}],
            "birthDate": "1958-04-12",
            "identifier": [{"system": RESIDENT_ID, "value": NUMBER}],
        }
        answer = made.test_client().put(f"/fhir/Patient/{id_}", json=patient, headers=bearer(made, code))
        assert answer.status_code == 201, answer.text
    yield made
    made.extensions["hie"].engine.dispose()


def bearer(app: Flask, client: str) -> dict[str, str]:
    form = {"grant_type": "client_credentials", "client_id": client, "client_secret": SECRET}
    token = app.test_client().post("/oauth/token", data=form).get_json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


def ask(app: Flask, path: str, client: str = "region") -> Any:
    return app.test_client().get(path, headers=bearer(app, client)).get_json()


def links(person: Any) -> list[str]:
    return [link["target"]["reference"] for link in person["link"]]


def test_a_person_is_found_by_a_patient_and_read(app: Flask) -> None:
    (entry,) = ask(app, "/fhir/Person?link=Patient/b1")["entry"]
    assert links(entry["resource"]) == ["Patient/a1", "Patient/b1"]
    assert ask(app, f"/fhir/Person/{entry['resource']['id']}") == entry["resource"]


def test_too_many_persons_at_once_are_refused(app: Flask) -> None:
    many = ",".join(str(uuid.UUID(int=n)) for n in range(101))
    assert ask(app, f"/fhir/Person?_id={many}")["resourceType"] == "OperationOutcome"
    assert "entry" not in ask(app, f"/fhir/Person?_id={many[:3699]}")


def test_a_hospital_sees_its_own_record_and_not_that_others_know_the_person(app: Flask) -> None:
    (entry,) = ask(app, "/fhir/Person?link=Patient/a1", "H01")["entry"]
    assert links(entry["resource"]) == ["Patient/a1"]


def test_who_may_see_no_record_finds_no_person(app: Flask) -> None:
    assert "entry" not in ask(app, "/fhir/Person?link=Patient/a1", "H03")
    assert "entry" not in ask(app, "/fhir/Person?link=Patient/nobody", "H03")


def test_a_person_cannot_be_written(app: Flask) -> None:
    person = {"resourceType": "Person", "id": "x"}
    assert (
        app.test_client().put("/fhir/Person/x", json=person, headers=bearer(app, "region")).status_code == 405
    )
