"""What the tests of the hub share: the application, a client of the API, resources, Bundles."""

import base64
import contextlib
import json
from collections.abc import Iterator
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from hie.app import create_app
from hie.config import Config
from hie.directory.clients import put_client
from hie.schema.directory import Facility

SECRET = "a secret of some length"
REGION = "bench"
RESIDENT = "urn:oid:2.16.156.10011.1.3"
JSON = "application/fhir+json"
PATCH = "application/json-patch+json"
FORM = "application/x-www-form-urlencoded"
Json = dict[str, Any]


@contextlib.contextmanager
def application(database_url: str, **settings: str) -> Iterator[Flask]:
    """Yield the application with the region's own client, which may do everything."""
    made = create_app(Config.from_env({"HIE_DATABASE_URL": database_url, **settings}))
    with Session(made.extensions["hie"].engine) as session, session.begin():
        put_client(session, REGION, SECRET, "system/*.cruds", None)
    yield made
    made.extensions["hie"].engine.dispose()


@contextlib.contextmanager
def hospitals(database_url: str, **settings: str) -> Iterator[Flask]:
    """Yield the application with the region's client, two hospitals', and one that may only read Patients."""
    with application(database_url, **settings) as made:
        with Session(made.extensions["hie"].engine) as session, session.begin():
            session.add_all(
                [Facility(code=code, name=code, name_en=code, jwks={}) for code in ("H01", "H02")]
            )
            session.flush()
            put_client(session, "h01", SECRET, "system/*.cruds", "H01")
            put_client(session, "h02", SECRET, "system/*.cruds", "H02")
            put_client(session, "reader", SECRET, "system/Patient.rs", None)
        yield made


class Caller:
    """A client of the API with its token."""

    def __init__(self, app: Flask, name: str = REGION) -> None:
        self._client: FlaskClient = app.test_client()
        basic = base64.b64encode(f"{name}:{SECRET}".encode()).decode()
        given = self._client.post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            headers={"Authorization": f"Basic {basic}"},
        )
        self.token = given.get_json()["access_token"]

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent |= {"Authorization": f"Bearer {self.token}"}
        if body is not None:
            sent.setdefault("Content-Type", JSON)
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        return self._client.open(f"/fhir{path}", method=method, data=data, headers=sent)


def patient(number: str, name: str = "王芳", **more: Any) -> Json:
    identifier = [{"system": "urn:hie:test", "value": number}]
    return {"resourceType": "Patient", "name": [{"text": name}], "identifier": identifier} | more


def observation(subject: str, value: str = "5.10") -> bytes:
    return (
        '{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org",'
        f'"code":"2823-3"}}]}},"subject":{{"reference":"{subject}"}},"effectiveDateTime":"2026-03-01T09:00:00Z",'
        f'"valueQuantity":{{"value":{value},"unit":"mmol/L"}}}}'
    ).encode()


def created(call: Caller, body: Any) -> Json:
    type_ = json.loads(body)["resourceType"] if isinstance(body, bytes) else body["resourceType"]
    answer = call("POST", f"/{type_}", body)
    assert answer.status_code == 201, answer.text
    return answer.get_json()


def ids(answer: TestResponse) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [e["resource"]["id"] for e in answer.get_json().get("entry", []) if e["search"]["mode"] == "match"]


def is_outcome(answer: TestResponse) -> bool:
    return bool(answer.get_json()["resourceType"] == "OperationOutcome" and answer.get_json()["issue"])


def transaction(*entries: Json, kind: str = "transaction") -> Json:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def entry(resource: Json | None, method: str, url: str, full_url: str | None = None, **request: str) -> Json:
    made: Json = {"request": {"method": method, "url": url} | request}
    if resource is not None:
        made["resource"] = resource
    if full_url:
        made["fullUrl"] = full_url
    return made
