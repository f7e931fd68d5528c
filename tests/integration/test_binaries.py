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
from hie.schema import SubscriptionEvent
from hie.schema.directory import Facility
from hie.security.actor import client_actor
from hie.security.scopes import parse_scopes
from hie.services.subscriptions.delivering import content_of
from hie.work.process import work_once
from tests.hub_world import PATCH, SECRET, Caller, Json, created, entry, patient, transaction

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
        "HIE_EXPORT_DIR": str(tmp_path / "exports"),
        "HIE_MAX_BODY": str(6 << 20),
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


@pytest.mark.parametrize(
    ("sent", "given"),
    [
        ("text/plain; charset=gb18030", "text/plain; charset=gb18030"),
        ('multipart/related;boundary="a b: c"', 'multipart/related;boundary="a b: c"'),
        ("Text/Plain", "Text/Plain"),
        ('text/plain; x="a\\b"', "text/plain"),
        ("text/plain;", "text/plain"),
    ],
)
def test_bytes_keep_what_tells_how_to_read_them(app: Flask, sent: str, given: str) -> None:
    call = Caller(app, "bench")
    made = call("POST", "/Binary", "一院".encode("gb18030"), Content_Type=sent)
    assert made.get_json()["contentType"] == given
    answer = call("GET", f"/Binary/{made.get_json()['id']}")
    assert (answer.headers["Content-Type"], answer.data) == (given, "一院".encode("gb18030"))


def test_no_bytes_are_a_binary_without_data(app: Flask) -> None:
    call = Caller(app, "bench")
    made = call("POST", "/Binary", b"", Content_Type=PDF)
    assert made.status_code == 201
    assert "data" not in made.get_json()
    assert call("GET", f"/Binary/{made.get_json()['id']}").data == b""


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


LARGE = os.urandom(1 << 20) + BYTES


def data_of(resource: Json) -> bytes:
    assert "_data" not in resource
    return base64.b64decode(resource["data"])


def test_large_bytes_are_whole_on_every_road_to_one_binary(app: Flask) -> None:
    call = Caller(app, "bench")
    whole = {"Content_Type": PDF, "Prefer": "return=representation"}
    made = call("POST", "/Binary", LARGE, **whole)
    assert data_of(made.get_json()) == LARGE
    id_ = made.get_json()["id"]
    assert data_of(call("PUT", f"/Binary/{id_}", LARGE + b"2", **whole).get_json()) == LARGE + b"2"
    again = call("POST", "/Binary", LARGE, **whole, If_None_Exist=f"_id={id_}")
    assert data_of(again.get_json()) == LARGE + b"2"
    assert data_of(call("GET", f"/Binary/{id_}/_history/1", Accept=FHIR).get_json()) == LARGE
    reads = transaction(
        entry(None, "GET", f"Binary/{id_}"), entry(None, "GET", f"Binary/{id_}/_history/1"), kind="batch"
    )
    read = [one["resource"] for one in call("POST", "/", reads).get_json()["entry"]]
    assert [data_of(one) for one in read] == [LARGE + b"2", LARGE]
    many = transaction(*[entry(None, "GET", f"Binary/{id_}")] * 8, kind="batch")
    states = [one["response"]["status"][:3] for one in call("POST", "/", many).get_json()["entry"]]
    assert states == ["200"] * 5 + ["413"] * 3


def test_large_bytes_are_in_an_export(app: Flask) -> None:
    call = Caller(app, "bench")
    kept(call, LARGE)
    kept(call)
    job = call("GET", "/$export?_type=Binary", Prefer="respond-async").headers["Content-Location"]
    hub = app.extensions["hie"]
    assert work_once(hub.engine, hub.config, ("export",), lambda: False)
    (file,) = call("GET", job.partition("/fhir")[2]).get_json()["output"]
    lines = call("GET", file["url"].partition("/fhir")[2]).data.splitlines()
    assert {data_of(json.loads(line)) for line in lines} == {LARGE, BYTES}


def test_of_a_refused_write_no_bytes_stay(app: Flask, tmp_path: Path) -> None:
    call, other = Caller(app, "h01"), Caller(app, "h02")
    mine = kept(call, LARGE)

    def files() -> set[Path]:
        return {path for path in (tmp_path / "blobs").rglob("*") if path.is_file()}

    before = files()
    assert len(before) == 1
    for answer in (
        other("PUT", f"/Binary/{mine}", LARGE, Content_Type=PDF),
        call("PUT", f"/Binary/{mine}", LARGE, Content_Type=PDF, If_Match='W/"7"'),
        call("POST", "/Binary", LARGE, Content_Type=PDF, X_Security_Context="Patient/none"),
    ):
        assert 400 <= answer.status_code < 500
        assert files() == before
    again = call("POST", "/Binary", LARGE, Content_Type=PDF, If_None_Exist=f"_id={mine}")
    assert again.status_code == 200
    assert files() == before
    assert call("PUT", f"/Binary/{mine}", LARGE, Content_Type=PDF).status_code == 200
    assert len(files()) == 2
    assert call("GET", f"/Binary/{mine}/_history/1").data == LARGE


def test_lost_bytes_are_said_to_be_absent(app: Flask, tmp_path: Path) -> None:
    call = Caller(app, "bench")
    id_ = kept(call, LARGE)
    for file in (tmp_path / "blobs").rglob("*"):
        if file.is_file():
            file.unlink()
    resource = call("GET", f"/Binary/{id_}", Accept=FHIR).get_json()
    assert [one["valueCode"] for one in resource["_data"]["extension"]] == ["error"]
    assert call("GET", f"/Binary/{id_}").status_code == 404


@pytest.mark.parametrize("path", ["/Binary", "/Binary/_history", "?_type=Binary"])
def test_among_many_a_large_binary_is_without_its_data_and_says_so(app: Flask, path: str) -> None:
    call = Caller(app, "bench")
    kept(call, LARGE)
    answer = call("GET", path)
    (one,) = [e["resource"] for e in answer.get_json()["entry"] if e["resource"]["resourceType"] == "Binary"]
    assert [tag["code"] for tag in one["meta"]["tag"]] == ["SUBSETTED"]
    assert not {"data", "_data"} & one.keys()
    assert "urn:hie:content" not in answer.text


def test_a_pointer_is_planted_by_no_entry_and_no_patch(app: Flask) -> None:
    call = Caller(app, "bench")
    extension = [{"url": "urn:hie:content", "valueString": f"{'0' * 32}/{'0' * 64}"}]
    planted = {"resourceType": "Binary", "contentType": PDF, "_data": {"extension": extension}}
    for kind in ("transaction", "batch"):
        answer = call("POST", "/", transaction(entry(planted, "POST", "Binary"), kind=kind))
        assert "Binary.data is brought" in answer.text
    for id_ in (kept(call), kept(call, LARGE)):
        patch = [{"op": "add", "path": "/_data", "value": planted["_data"]}]
        assert (
            call("PATCH", f"/Binary/{id_}", json.dumps(patch).encode(), Content_Type=PATCH).status_code == 400
        )
    assert call("GET", "/Binary?_summary=count").get_json()["total"] == 2


def test_a_context_decides_about_versions_and_batches_too(app: Flask) -> None:
    bench, h01 = Caller(app, "bench"), Caller(app, "h01")
    document = created(bench, {"resourceType": "Basic", "code": {"text": "x"}})["id"]
    hidden = kept(h01)
    changed = h01("PUT", f"/Binary/{hidden}", BYTES, Content_Type=PDF, X_Security_Context="Patient/x")
    assert changed.status_code == 422, "the context must be there"
    shown = created(h01, patient("2"))["id"]
    mine = kept(h01, X_Security_Context=f"Patient/{shown}")
    other = kept(bench, X_Security_Context=f"Basic/{document}")
    theirs = kept(bench, X_Security_Context=f"Patient/{shown}")
    for id_, status in ((mine, "200"), (theirs, "200"), (other, "404")):
        for url in (f"Binary/{id_}", f"Binary/{id_}/_history/1"):
            assert h01("GET", f"/{url}").status_code == int(status)
            (one,) = h01("POST", "/", transaction(entry(None, "GET", url), kind="batch")).get_json()["entry"]
            assert one["response"]["status"][:3] == status, url


@pytest.fixture
def narrow(app: Flask) -> Caller:
    """A system of H01 whose token reaches Binaries and what is Basic, and no Patient."""
    with Session(app.extensions["hie"].engine) as session, session.begin():
        put_client(session, "narrow", SECRET, "system/Binary.rs system/Basic.rs", "H01")
    return Caller(app, "narrow")


def found(call: Caller, path: str) -> set[str]:
    """Return the ids of the Binaries that are listed, with the version where one is not present."""
    answer = call("GET", path)
    assert answer.status_code == 200, answer.text
    listed = [e["resource"] for e in answer.get_json().get("entry", []) if "resource" in e]
    return {f"{one['id']}/{one['meta']['versionId']}" for one in listed if one["resourceType"] == "Binary"}


def test_who_may_not_see_the_context_finds_the_binary_nowhere(app: Flask, narrow: Caller) -> None:
    h01 = Caller(app, "h01")
    subject = created(h01, patient("9"))["id"]
    order = created(h01, {"resourceType": "Basic", "code": {"text": "x"}})["id"]
    closed = kept(h01, X_Security_Context=f"Patient/{subject}")
    opened = kept(h01, X_Security_Context=f"Basic/{order}")
    plain = kept(h01)
    # Its first version belongs to the Patient, its second to nobody.
    changed = kept(h01, X_Security_Context=f"Patient/{subject}")
    assert h01("PUT", f"/Binary/{changed}", b"new", Content_Type=PDF).status_code == 200
    absolute = {"reference": f"http://127.0.0.1:18080/fhir/Patient/{subject}/_history/1", "display": "x"}
    body = {"resourceType": "Binary", "contentType": PDF, "data": "eA==", "securityContext": absolute}
    other = created(h01, body)["id"]
    all_of_it = {f"{id_}/1" for id_ in (closed, opened, plain, other)} | {f"{changed}/2"}
    for path in ("/Binary", "/?_type=Binary,Basic"):
        assert found(h01, path) == all_of_it
        assert found(narrow, path) == {f"{opened}/1", f"{plain}/1", f"{changed}/2"}
    for path in ("/Binary/_history", "/_history"):
        assert found(h01, path) == all_of_it | {f"{changed}/1"}
        assert found(narrow, path) == {f"{opened}/1", f"{plain}/1", f"{changed}/2"}
    assert narrow("GET", f"/Binary/{closed}/_history").status_code == 404
    assert narrow("GET", f"/Binary/{changed}/_history").get_json()["total"] == 1
    assert narrow("GET", "/Binary?_summary=count").get_json()["total"] == 3
    for id_, status in ((closed, 404), (other, 404), (opened, 200), (plain, 200)):
        assert narrow("GET", f"/Binary/{id_}").status_code == status


def test_a_conditional_create_gives_back_no_binary_whose_context_is_hidden(app: Flask) -> None:
    h01 = Caller(app, "h01")
    closed = kept(h01, X_Security_Context=f"Patient/{created(h01, patient('9'))['id']}")
    with Session(app.extensions["hie"].engine) as session, session.begin():
        put_client(session, "writer", SECRET, "system/Binary.cruds", "H01")
    writer = Caller(app, "writer")
    body = {"resourceType": "Binary", "contentType": PDF, "data": "eA=="}
    assert h01("POST", "/Binary", body, If_None_Exist=f"_id={closed}").status_code == 200
    assert writer("POST", "/Binary", body, If_None_Exist=f"_id={closed}").status_code == 403
    entry = {"resource": body, "request": {"method": "POST", "url": "Binary", "ifNoneExist": f"_id={closed}"}}
    answer = writer("POST", "/", {"resourceType": "Bundle", "type": "batch", "entry": [entry]})
    assert answer.get_json()["entry"][0]["response"]["status"].startswith("403")


def test_an_export_holds_no_binary_whose_context_is_hidden(app: Flask, narrow: Caller) -> None:
    h01 = Caller(app, "h01")
    subject = created(h01, patient("9"))["id"]
    kept(h01, X_Security_Context=f"Patient/{subject}")
    plain = kept(h01)
    asked = narrow("GET", "/$export?_type=Binary", Prefer="respond-async", Accept=FHIR)
    assert asked.status_code == 202, asked.text
    place = asked.headers["Content-Location"].partition("/fhir")[2]
    hub = app.extensions["hie"]
    assert work_once(hub.engine, hub.config, ("export",), lambda: False)
    (output,) = narrow("GET", place).get_json()["output"]
    lines = narrow("GET", output["url"].partition("/fhir")[2]).data.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [plain]


def test_a_past_version_whose_context_is_hidden_leaves_by_no_road(app: Flask, narrow: Caller) -> None:
    h01 = Caller(app, "h01")
    closed = created(h01, {"resourceType": "Library", "status": "draft", "type": {"text": "x"}})["id"]
    id_ = kept(h01, X_Security_Context=f"Library/{closed}")
    asked = narrow("GET", "/$export?_type=Binary", Prefer="respond-async", Accept=FHIR)
    place = asked.headers["Content-Location"].partition("/fhir")[2]
    hub = app.extensions["hie"]

    def open_it() -> bool:
        """While the export runs, let the content be another one that belongs to nobody."""
        return h01("PUT", f"/Binary/{id_}", b"new", Content_Type=PDF).status_code != 200

    assert work_once(hub.engine, hub.config, ("export",), open_it)
    assert narrow("GET", place).get_json()["output"] == []
    versions = {1: 404, 2: 200}
    for version, status in versions.items():
        path = f"/Binary/{id_}/_history/{version}"
        assert narrow("GET", path).status_code == status
        assert narrow("GET", f"{path}/$meta", Accept=FHIR).status_code == status
    reader = client_actor("narrow", "H01", parse_scopes("system/Binary.rs system/Basic.rs"))
    with Session(hub.engine) as session:
        told = [
            content_of(session, SubscriptionEvent(type="Binary", id=id_, version=version), reader)
            for version in versions
        ]
    assert [content is not None for content in told] == [False, True]


def test_a_deletion_is_told_only_to_whom_may_see_the_binary(app: Flask) -> None:
    call, other = Caller(app, "h01"), Caller(app, "h02")
    id_ = kept(call)
    assert call("DELETE", f"/Binary/{id_}").status_code in (200, 204)
    assert call("GET", f"/Binary/{id_}/_history/2").status_code == 410
    for path in (f"/Binary/{id_}", f"/Binary/{id_}/_history/1", f"/Binary/{id_}/_history/2"):
        assert other("GET", path).status_code == 404, path


def test_a_content_type_that_is_none_is_refused(app: Flask) -> None:
    answer = Caller(app, "bench")("POST", "/Binary", b"x", Content_Type="text/plain/x")
    assert answer.status_code == 400
