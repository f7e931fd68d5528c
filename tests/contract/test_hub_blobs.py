"""Large contents: brought by the hospital that sealed them, read by who may read what names them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from flask import Flask
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from esb.blobs import name_of, seal_blob
from esb.seal import generate_keys, load_keys, load_public, public_part, renew_keys
from hie.app import create_app
from hie.config import Config
from hie.directory.clients import put_client
from hie.directory.facilities import put_facility
from hie.directory.users import put_user
from hie.mpi import people
from hie.mpi.relations import confirm
from hie.portal.session import COOKIE, open_session
from hie.security.actor import Actor
from hie.services.lookup.reports import kept_apart

CONTENT = "一份很大的文件".encode() * 1000
NAME = name_of(CONTENT)
SECRET = "a secret of some length"
HUB = generate_keys("hub")
KEYS = {code: generate_keys(code) for code in ("H01", "H02")}


@pytest.fixture(scope="module")
def app(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The application with clients of two hospitals, and a document of H01 that names the content."""
    folder = tmp_path_factory.mktemp("hub")
    (folder / "hub.jwks").write_bytes(orjson.dumps(HUB))
    env = {
        "HIE_DATABASE_URL": module_database_url,
        "HIE_KEY_DIR": str(folder),
        "HIE_BLOB_DIR": str(folder / "blobs"),
    }
    made = create_app(Config.from_env(env))
    with Session(made.extensions["hie"].engine) as session, session.begin():
        for code, keys in KEYS.items():
            put_facility(session, code, code, "", public_part(keys))
            put_client(session, f"fep.{code}", SECRET, "system/*.cruds", code)
        for username in ("doctor", "stranger"):
            put_user(session, username, "a long enough password", role="doctor", facility="H02", name="")
    for resource in (
        {"resourceType": "Patient", "id": "p1", "name": [{"text": "张三"}]},
        {
            "resourceType": "DocumentReference",
            "id": "d1",
            "status": "current",
            "subject": {"reference": "Patient/p1"},
            "content": [{"attachment": {"contentType": "application/pdf", "url": f"blob:sha256:{NAME}"}}],
        },
    ):
        path = f"/fhir/{resource['resourceType']}/{resource['id']}"
        answer = made.test_client().put(path, json=resource, headers=bearer(made, "H01"))
        assert answer.status_code == 201, answer.text
    yield made
    made.extensions["hie"].engine.dispose()


def bearer(app: Flask, code: str) -> dict[str, str]:
    form = {"grant_type": "client_credentials", "client_id": f"fep.{code}", "client_secret": SECRET}
    token = app.test_client().post("/oauth/token", data=form).get_json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


def sealed(code: str = "H01", content: bytes = CONTENT) -> bytes:
    hub = load_public(public_part(HUB))
    return seal_blob(NAME, content, facility=code, own=load_keys(KEYS[code]), to=hub)


def put(app: Flask, body: bytes, code: str = "H01", name: str = NAME) -> int:
    return app.test_client().put(f"/blobs/{name}", data=body, headers=bearer(app, code)).status_code


def test_a_content_is_kept_sealed_and_read_back_by_way_of_its_document(app: Flask) -> None:
    assert put(app, sealed()) == 201
    assert put(app, sealed()) == 201
    folder: Path = app.extensions["hie"].config.blob_dir
    (kept,) = [file for file in folder.rglob("*") if file.is_file()]
    assert CONTENT[:60] not in kept.read_bytes()
    answer = app.test_client().get(f"/blobs/{NAME}?of=DocumentReference/d1", headers=bearer(app, "H01"))
    assert answer.data == CONTENT


def test_a_content_outlives_the_keys_it_came_with(app: Flask) -> None:
    put(app, sealed())
    hub = app.extensions["hie"]
    own: Path = hub.config.key_dir / "hub.jwks"
    with Session(hub.engine) as session, session.begin():
        put_facility(session, "H01", "H01", "", public_part(generate_keys("H01")))
    own.write_bytes(orjson.dumps(renew_keys(HUB, "hub")))
    try:
        answer = app.test_client().get(f"/blobs/{NAME}?of=DocumentReference/d1", headers=bearer(app, "H01"))
        assert answer.data == CONTENT
    finally:
        own.write_bytes(orjson.dumps(HUB))
        with Session(hub.engine) as session, session.begin():
            put_facility(session, "H01", "H01", "", public_part(KEYS["H01"]))


def test_who_may_not_read_the_document_does_not_find_its_content(app: Flask) -> None:
    put(app, sealed())
    answer = app.test_client().get(f"/blobs/{NAME}?of=DocumentReference/d1", headers=bearer(app, "H02"))
    assert answer.status_code == 404


def test_a_resource_that_does_not_name_the_content_does_not_open_it(app: Flask) -> None:
    put(app, sealed())
    answer = app.test_client().get(f"/blobs/{NAME}?of=Patient/p1", headers=bearer(app, "H01"))
    assert answer.status_code == 404


def test_what_another_hospital_sealed_is_refused(app: Flask) -> None:
    assert put(app, sealed("H02"), "H01") == 422


@pytest.mark.parametrize("body", [b"", b"nonsense", b"a.b.c\nd", sealed(content=b"another content")])
def test_a_body_that_is_not_the_named_content_is_refused(app: Flask, body: bytes) -> None:
    assert put(app, body) in (400, 422)


def look(app: Flask, username: str) -> TestResponse:
    """Open the document in the portal."""
    with Session(app.extensions["hie"].engine) as session, session.begin():
        person = people.person_of(session, "p1")
        cookie = open_session(session, username, datetime.now(UTC))
    client = app.test_client()
    client.set_cookie(COOKIE, cookie)
    return client.get(f"/people/{person}/documents/DocumentReference/d1")


def test_a_doctor_with_a_relation_opens_the_content_in_the_portal(app: Flask) -> None:
    put(app, sealed())
    with Session(app.extensions["hie"].engine) as session, session.begin():
        doctor = Actor("user", "doctor", "H02", "doctor")
        confirm(session, "p1", purpose="TREAT", now=datetime.now(UTC), hours=1, by=doctor)
    answer = look(app, "doctor")
    assert (answer.status_code, answer.content_type) == (200, "application/pdf")
    assert answer.data == CONTENT


def test_a_doctor_without_a_relation_does_not_find_the_content(app: Flask) -> None:
    put(app, sealed())
    assert look(app, "stranger").status_code == 404


def test_the_record_offers_a_content_that_is_kept_apart(app: Flask) -> None:
    document = app.test_client().get("/fhir/DocumentReference/d1", headers=bearer(app, "H01")).get_json()
    assert kept_apart(document) == ("application/pdf", NAME)


def test_without_a_token_nothing_is_kept(app: Flask) -> None:
    assert app.test_client().put(f"/blobs/{NAME}", data=sealed()).status_code == 401
