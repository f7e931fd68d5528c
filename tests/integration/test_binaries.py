"""Binary as its askers see it: bytes in and out, the resource where that is asked for, and who may see it."""

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from esb.seal import generate_keys
from hie.app import create_app
from hie.config import Config
from hie.directory.clients import put_client
from hie.schema.directory import Facility
from tests.hub_world import SECRET, Caller, created, patient

PDF = "application/pdf"
FHIR = "application/fhir+json"
BYTES = b"%PDF-1.7\n\x00\xff\xfe not text"


@pytest.fixture
def app(fresh_database_url: str, tmp_path: Path) -> Iterator[Flask]:
    """The application with keys of its own, and clients of the region and of two hospitals."""
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "hub.jwks").write_text(json.dumps(generate_keys("hub")))
    settings = {
        "HIE_DATABASE_URL": fresh_database_url,
        "HIE_KEY_DIR": str(keys),
        "HIE_BLOB_DIR": str(tmp_path / "blobs"),
    }
    made = create_app(Config.from_env(settings))
    with Session(made.extensions["hie"].engine) as session, session.begin():
        session.add_all([Facility(code=code, name=code, name_en=code, jwks={}) for code in ("H01", "H02")])
        session.flush()
        put_client(session, "bench", SECRET, "system/*.cruds", None)
        put_client(session, "h01", SECRET, "system/*.cruds", "H01")
        put_client(session, "h02", SECRET, "system/*.cruds", "H02")
    yield made
    hub = made.extensions["hie"]
    hub.engine.dispose()
    hub.looking.dispose()


def kept(call: Caller, content: bytes = BYTES, **headers: str) -> str:
    answer = call("POST", "/Binary", content, Content_Type=PDF, **headers)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["Location"]).partition("/Binary/")[2].partition("/")[0]


@pytest.mark.parametrize("size", [len(BYTES), 3 << 20])
def test_bytes_are_given_back_as_they_came_or_as_a_resource(app: Flask, size: int, tmp_path: Path) -> None:
    call = Caller(app, "bench")
    content = BYTES if size == len(BYTES) else os.urandom(size)
    id_ = kept(call, content)
    raw = call("GET", f"/Binary/{id_}")
    assert (raw.content_type, raw.data) == (PDF, content)
    assert raw.headers["ETag"] == 'W/"1"'
    assert raw.headers["Content-Disposition"] == "attachment"
    assert call("GET", f"/Binary/{id_}", If_None_Match='W/"1"').status_code == 304
    resource = call("GET", f"/Binary/{id_}", Accept=FHIR).get_json()
    assert (resource["contentType"], base64.b64decode(resource["data"])) == (PDF, content)
    assert "_data" not in resource
    files = [file for file in (tmp_path / "blobs").rglob("*") if file.is_file()]
    assert not any(content[:1000] in file.read_bytes() for file in files)


def test_a_resource_that_came_as_json_is_given_as_bytes_too(app: Flask) -> None:
    call = Caller(app, "bench")
    data = base64.b64encode(BYTES).decode()
    id_ = created(call, {"resourceType": "Binary", "contentType": "image/png", "data": data})["id"]
    answer = call("GET", f"/Binary/{id_}", Accept="image/png")
    assert (answer.content_type, answer.data) == ("image/png", BYTES)


def test_an_update_by_bytes_is_a_version(app: Flask) -> None:
    call = Caller(app, "bench")
    id_ = kept(call)
    assert call("PUT", f"/Binary/{id_}", b"new", Content_Type="text/plain").status_code == 200
    assert call("GET", f"/Binary/{id_}").data == b"new"
    assert call("GET", f"/Binary/{id_}/_history/1").data == BYTES


def test_a_binary_may_be_seen_by_whoever_may_see_its_context(app: Flask) -> None:
    bench, h01, h02 = (Caller(app, name) for name in ("bench", "h01", "h02"))
    subject = created(h01, patient("1"))["id"]
    document = created(bench, {"resourceType": "Basic", "code": {"text": "x"}})["id"]
    id_ = kept(bench, X_Security_Context=f"Patient/{subject}")
    other = kept(bench, X_Security_Context=f"Basic/{document}")
    assert h01("GET", f"/Binary/{id_}").headers["X-Security-Context"] == f"Patient/{subject}"
    assert h02("GET", f"/Binary/{id_}").status_code == 404
    assert h01("GET", f"/Binary/{other}").status_code == 404
    assert bench("GET", f"/Binary/{other}").status_code == 200
    assert bench("DELETE", f"/Binary/{other}").status_code == 204
    assert h01("GET", f"/Binary/{other}").status_code == 404
    assert bench("GET", f"/Binary/{other}").status_code == 410


def test_an_attachment_may_be_read_by_whoever_may_see_its_document(app: Flask) -> None:
    bench, h01, h02 = (Caller(app, name) for name in ("bench", "h01", "h02"))
    subject = created(h01, patient("1"))["id"]
    id_ = kept(bench)
    assert h01("GET", f"/Binary/{id_}").status_code == 404
    created(
        bench,
        {
            "resourceType": "DocumentReference",
            "status": "current",
            "subject": {"reference": f"Patient/{subject}"},
            "content": [{"attachment": {"contentType": PDF, "url": f"Binary/{id_}"}}],
        },
    )
    assert h01("GET", f"/Binary/{id_}").data == BYTES
    assert h02("GET", f"/Binary/{id_}").status_code == 404


def test_nobody_points_at_a_content_that_another_brought(app: Flask) -> None:
    call = Caller(app, "bench")
    extension = [{"url": "urn:hie:content", "valueString": f"{'0' * 32}/{'0' * 64}"}]
    body = {"resourceType": "Binary", "contentType": PDF, "_data": {"extension": extension}}
    assert call("POST", "/Binary", body).status_code == 400


def test_a_content_type_that_is_none_is_refused(app: Flask) -> None:
    answer = Caller(app, "bench")("POST", "/Binary", b"x", Content_Type="text/plain/x")
    assert answer.status_code == 400
