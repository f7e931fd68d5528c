"""The hub as the tests of the operations see it: its application, and its clients."""

import base64
import json
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
JSON = "application/fhir+json"
Json = dict[str, Any]


def made_app(database_url: str) -> Flask:
    """Return the application with the clients of the region, of two hospitals and a narrow one."""
    made = create_app(Config.from_env({"HIE_DATABASE_URL": database_url}))
    with Session(made.extensions["hie"].engine) as session, session.begin():
        names = {"H01": ("第一人民医院", "First Hospital"), "H02": ("第二人民医院", "Second Hospital")}
        session.add_all([Facility(code=c, name=zh, name_en=en, jwks={}) for c, (zh, en) in names.items()])
        session.flush()
        put_client(session, "bench", SECRET, "system/*.cruds", None)
        put_client(session, "h01", SECRET, "system/*.cruds", "H01")
        put_client(session, "h02", SECRET, "system/*.cruds", "H02")
        put_client(session, "reader", SECRET, "system/Patient.rs", None)
    return made


class Caller:
    """A client of the API with its token."""

    def __init__(self, app: Flask, name: str) -> None:
        self._client: FlaskClient = app.test_client()
        basic = base64.b64encode(f"{name}:{SECRET}".encode()).decode()
        given = self._client.post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            headers={"Authorization": f"Basic {basic}"},
        )
        self._token = given.get_json()["access_token"]

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent |= {"Authorization": f"Bearer {self._token}"}
        if body is not None:
            sent.setdefault("Content-Type", JSON)
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        place = path.partition("/fhir")[2] if "/fhir" in path else path
        return self._client.open(f"/fhir{place}", method=method, data=data, headers=sent)

    def made(self, resource: Json) -> str:
        """Create a resource and return its id; where it has one, under that."""
        type_, id_ = resource["resourceType"], resource.get("id")
        answer = self("PUT", f"/{type_}/{id_}", resource) if id_ else self("POST", f"/{type_}", resource)
        assert answer.status_code == 201, answer.text
        return str(answer.get_json()["id"])


def parameters(**given: Any) -> Json:
    """Return a Parameters resource; a key `count__valueInteger` names the kind of its value."""
    items = []
    for key, value in given.items():
        name, _, kind = key.partition("__")
        items.append({"name": name.replace("since_", "_since"), kind or "resource": value})
    return {"resourceType": "Parameters", "parameter": items}


def entries(answer: TestResponse) -> list[Json]:
    """Return the resources of a Bundle."""
    assert answer.status_code == 200, answer.text
    return [entry["resource"] for entry in answer.get_json().get("entry", ())]


def text_of(answer: TestResponse) -> str:
    """Return what an OperationOutcome says first."""
    found = answer.get_json()
    assert found["resourceType"] == "OperationOutcome", found
    return str(found["issue"][0]["diagnostics"])
