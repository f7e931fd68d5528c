"""$import and Prefer: respond-async as their askers see them; a killed worker."""

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from hie.api import recording
from hie.app import create_app
from hie.config import Config
from hie.directory.clients import put_client
from hie.errors import Conflict, NotNow
from hie.schema import AuditEventRow, Job, Resource, ResourceHistory
from hie.schema.directory import Facility
from hie.work import importing
from hie.work.process import RUNS, work_once
from tests.hub_world import SECRET, Caller, Json, created, entry, ids, patient, transaction

WAIT = {"Prefer": "respond-async"}
MANY = 4_000


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    return folder


@pytest.fixture
def site(outside: Path) -> Iterator[str]:
    """The folder, served over HTTP."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(outside)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def app(fresh_database_url: str, tmp_path: Path, outside: Path, site: str) -> Iterator[Flask]:
    """The application with clients; it may read from the folder and from the site."""
    settings = {
        "HIE_DATABASE_URL": fresh_database_url,
        "HIE_EXPORT_DIR": str(tmp_path / "exports"),
        "HIE_IMPORT_FROM": f"file://{outside} {site}/",
    }
    made = create_app(Config.from_env(settings))
    with Session(made.extensions["hie"].engine) as session, session.begin():
        session.add(Facility(code="H01", name="H01", name_en="H01", jwks={}))
        session.flush()
        put_client(session, "bench", SECRET, "system/*.cruds", None)
        put_client(session, "h01", SECRET, "system/*.cruds", "H01")
        put_client(session, "reader", SECRET, "system/*.rs", None)
    yield made
    made.extensions["hie"].engine.dispose()


def work(app: Flask) -> bool:
    hub = app.extensions["hie"]
    return work_once(hub.engine, hub.config, ("import", "request"), lambda: False)


def finished(app: Flask, call: Caller, answer: Any) -> Json:
    assert answer.status_code == 202, answer.text

    def done() -> Any:
        # A claim that a broken connection held ends when the server sees that, a moment later.
        work(app)
        answered = call("GET", answer.headers["Content-Location"].partition("/fhir")[2])
        return answered if answered.status_code != 202 else None

    last = until(done)
    assert last.status_code == 200, last.text
    return last.get_json()


def written(path: Path, resources: list[Any]) -> Path:
    path.write_bytes(
        b"".join(one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n" for one in resources)
    )
    return path


def asked(*inputs: tuple[str, str]) -> Json:
    listed = [{"type": type_, "url": url} for type_, url in inputs]
    return {"inputFormat": "application/fhir+ndjson", "inputSource": "urn:test", "input": listed}


def lines(call: Caller, found: list[Json]) -> list[Json]:
    answers = [call("GET", one["url"].partition("/fhir")[2]) for one in found]
    return [json.loads(line) for answer in answers for line in answer.data.splitlines()]


def test_files_are_taken_in_and_what_is_wrong_is_told_line_by_line(
    app: Flask, outside: Path, site: str
) -> None:
    call = Caller(app, "bench")
    good = [patient(str(number)) | {"id": f"p{number}"} for number in range(3)]
    bad: list[Any] = [
        b"{no json\n",
        patient("9"),
        {"resourceType": "Basic", "id": "x"},
        patient("8", birthDate="soon") | {"id": "y"},
    ]
    local = written(outside / "Patient.ndjson", [good[0], *bad, good[1]])
    (outside / "more.ndjson.gz").write_bytes(gzip.compress(json.dumps(good[2]).encode()))
    body = asked(("Patient", f"file://{local}"), ("Patient", f"{site}/more.ndjson.gz"))
    found = finished(app, call, call("POST", "/$import", body, **WAIT))
    assert sorted(ids(call("GET", "/Patient?_count=10"))) == ["p0", "p1", "p2"]
    errors = lines(call, found["error"])
    assert [one["issue"][0]["diagnostics"].partition(":")[0] for one in errors] == [
        "line 2", "line 3", "line 4", "line 5"
    ]  # fmt: skip
    assert "soon" not in json.dumps(errors)
    assert [one["inputUrl"] for one in found["output"]] == [f"file://{local}", f"{site}/more.ndjson.gz"]
    said = [one["issue"][0]["diagnostics"] for one in lines(call, found["output"])]
    assert said == ["2 stored, 4 refused", "1 stored, 0 refused"]


def test_few_large_lines_are_written_at_once(
    app: Flask, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Caller(app, "bench")
    local = written(
        outside / "Patient.ndjson", [patient(str(n), "王" * 5000) | {"id": f"l{n}"} for n in range(9)]
    )
    taken: list[int] = []
    take_in = importing._take_in

    def counted(*given: Any) -> None:
        taken.append(len(given[4]))
        take_in(*given)

    monkeypatch.setattr(importing, "_take_in", counted)
    monkeypatch.setattr(importing, "MOST_BYTES", 50_000)
    finished(app, call, call("POST", "/$import", asked(("Patient", f"file://{local}")), **WAIT))
    assert len(ids(call("GET", "/Patient?_count=20"))) == 9
    assert (sum(taken), max(taken) < 4) == (9, True)


def test_a_packed_line_without_end_is_refused_and_the_next_one_taken(app: Flask, outside: Path) -> None:
    call = Caller(app, "bench")
    bomb = gzip.compress(b" " * 3 * app.extensions["hie"].config.max_body + b"\n")
    good = gzip.compress(json.dumps(patient("1") | {"id": "after"}).encode() + b"\n")
    (outside / "bomb.ndjson.gz").write_bytes(bomb + good)
    found = finished(
        app,
        call,
        call("POST", "/$import", asked(("Patient", f"file://{outside}/bomb.ndjson.gz")), **WAIT),
    )
    assert [one["issue"][0]["diagnostics"].partition(":")[0] for one in lines(call, found["error"])] == [
        "line 1"
    ]
    assert ids(call("GET", "/Patient")) == ["after"]


def test_the_same_import_again_makes_no_version_and_a_person_is_identified(app: Flask, outside: Path) -> None:
    call = Caller(app, "bench")
    local = written(
        outside / "Patient.ndjson", [patient("1") | {"id": "p1"}, patient("1", "李静") | {"id": "p1"}]
    )
    for _ in range(2):
        finished(app, call, call("POST", "/$import", asked(("Patient", f"file://{local}")), **WAIT))
    local = written(outside / "Patient.ndjson", [patient("1", "李静") | {"id": "p1"}])
    finished(app, call, call("POST", "/$import", asked(("Patient", f"file://{local}")), **WAIT))
    assert call("GET", "/Patient/p1").headers["ETag"] == 'W/"4"'
    assert ids(call("GET", "/Person?patient=Patient/p1"))


def test_an_import_may_be_asked_for_with_parameters(app: Flask, outside: Path) -> None:
    call = Caller(app, "bench")
    local = written(outside / "Patient.ndjson", [patient("1") | {"id": "p1"}])
    part = [{"name": "type", "valueCode": "Patient"}, {"name": "url", "valueUri": f"file://{local}"}]
    body = {"resourceType": "Parameters", "parameter": [{"name": "input", "part": part}]}
    finished(app, call, call("POST", "/$import", body, **WAIT))
    assert call("GET", "/Patient/p1").status_code == 200


@pytest.mark.parametrize(
    ("url", "type_", "http"),
    [
        ("file:///etc/passwd", "Patient", 403),
        ("http://169.254.169.254/latest", "Patient", 403),
        ("{outside}/../secret", "Patient", 403),
        ("{outside}/x", "AuditEvent", 400),
        ("{outside}/x", "Subscription", 400),
        ("{outside}/x", "Nonsense", 400),
    ],
)
def test_an_import_from_elsewhere_or_of_what_the_hub_makes_is_refused(
    app: Flask, outside: Path, url: str, type_: str, http: int
) -> None:
    body = asked((type_, url.replace("{outside}", f"file://{outside}")))
    assert Caller(app, "bench")("POST", "/$import", body, **WAIT).status_code == http


def test_only_systems_of_the_region_that_may_write_import(app: Flask, outside: Path) -> None:
    body = asked(("Patient", f"file://{outside}/x"))
    assert Caller(app, "h01")("POST", "/$import", body, **WAIT).status_code == 403
    assert Caller(app, "reader")("POST", "/$import", body, **WAIT).status_code == 403


def test_an_input_that_is_not_there_fails_the_job_in_plain_words(app: Flask, site: str) -> None:
    call = Caller(app, "bench")
    answer = call("POST", "/$import", asked(("Patient", f"{site}/never.ndjson")), **WAIT)
    assert work(app)
    done = call("GET", answer.headers["Content-Location"].partition("/fhir")[2])
    assert done.status_code == 500
    assert "cannot be read" in done.get_json()["issue"][0]["diagnostics"]


@pytest.mark.parametrize(
    "spoilt",
    [lambda whole: whole[:-9], lambda whole: whole[:30] + b"\0" * 9 + whole[39:], lambda whole: whole[:3]],
    ids=["cut", "damaged", "stump"],
)
def test_a_spoilt_packed_input_fails_its_job_and_no_other(
    app: Flask, outside: Path, spoilt: Callable[[bytes], bytes]
) -> None:
    call = Caller(app, "bench")
    whole = gzip.compress(b"".join(json.dumps(patient(f"p{n}")).encode() + b"\n" for n in range(50)))
    (outside / "Patient.ndjson.gz").write_bytes(spoilt(whole))
    bad = call("POST", "/$import", asked(("Patient", f"file://{outside}/Patient.ndjson.gz")), **WAIT)
    good = written(outside / "Basic.ndjson", [{"resourceType": "Basic", "id": "b1", "code": {"text": "x"}}])
    finished(app, call, call("POST", "/$import", asked(("Basic", f"file://{good}")), **WAIT))
    failed = call("GET", bad.headers["Content-Location"].partition("/fhir")[2])
    assert "cannot be read" in failed.get_json()["issue"][0]["diagnostics"]


@pytest.mark.parametrize(
    "error", [psycopg.errors.ProgramLimitExceeded, ZeroDivisionError, OSError, OverflowError]
)
def test_what_the_database_refuses_or_nobody_foresaw_is_the_end_of_its_job(
    app: Flask, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def run(*_: object) -> None:
        raise error

    call = Caller(app, "bench")
    asked_for = call("GET", "/Patient", **WAIT)
    monkeypatch.setitem(RUNS, "request", run)
    assert work(app)
    assert not work(app)
    assert call("GET", asked_for.headers["Content-Location"].partition("/fhir")[2]).status_code == 500


def test_while_the_database_is_away_a_job_waits(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object) -> None:
        raise psycopg.errors.AdminShutdown

    call = Caller(app, "bench")
    asked_for = call("GET", "/Patient", **WAIT)
    with monkeypatch.context() as patched:
        patched.setitem(RUNS, "request", run)
        with pytest.raises(psycopg.errors.AdminShutdown):
            work(app)
    assert finished(app, call, asked_for)["type"] == "batch-response"


def test_a_line_that_met_another_writer_is_stored_later_and_not_refused(
    app: Flask, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = written(outside / "Patient.ndjson", [patient("1") | {"id": "p1"}])
    call = Caller(app, "bench")
    asked_for = call("POST", "/$import", asked(("Patient", f"file://{local}")), **WAIT)
    real, meetings = recording.record, [Conflict, NotNow]

    def meet(*given: Any, **more: Any) -> Any:
        if meetings:
            raise meetings.pop()
        return real(*given, **more)

    monkeypatch.setattr(recording, "record", meet)
    for _ in range(2):
        with pytest.raises(NotNow):
            until(lambda: work(app))
    assert finished(app, call, asked_for)["error"] == []
    assert ids(call("GET", "/Patient?_count=10")) == ["p1"]


def until(holds: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def test_after_kill_9_an_import_goes_on_and_stores_each_line_once(app: Flask, outside: Path) -> None:
    hub, call = app.extensions["hie"], Caller(app, "bench")
    made: list[Any] = [{"resourceType": "Basic", "id": f"b{n}", "code": {"text": "x"}} for n in range(MANY)]
    made[7], made[MANY - 7] = b"broken\n", b"broken too\n"
    local = written(outside / "Basic.ndjson", made)
    job = call("POST", "/$import", asked(("Basic", f"file://{local}")), **WAIT)
    place = job.headers["Content-Location"].rpartition("/")[2]
    environment = os.environ | {
        "HIE_DATABASE_URL": hub.config.database_url,
        "HIE_EXPORT_DIR": str(hub.config.export_dir),
        "HIE_IMPORT_FROM": " ".join(hub.config.import_from),
    }
    command = [str(Path(sys.executable).parent / "hie"), "work"]

    def stored() -> int:
        with hub.engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(Resource)) or 0

    with hub.engine.connect() as holding:
        worker = subprocess.Popen(command, env=environment)
        try:
            until(stored)
            # The worker waits with its next checkpoint until it is killed: it dies in the middle.
            holding.execute(sa.select(Job.id).where(Job.id == place).with_for_update())
            until(lambda: holding.scalar(sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")))
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
    assert 0 < stored() < MANY - 2
    until(lambda: work(app))
    found = call("GET", f"/_job/{place}").get_json()
    assert stored() == MANY - 2
    with Session(hub.engine) as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(ResourceHistory)) == 0
    assert [one["issue"][0]["diagnostics"].partition(":")[0] for one in lines(call, found["error"])] == [
        "line 8",
        f"line {MANY - 6}",
    ]


def test_a_search_asked_for_later_gives_its_bundle_with_the_rights_of_the_asker(app: Flask) -> None:
    call, h01 = Caller(app, "bench"), Caller(app, "h01")
    created(call, patient("1", gender="female"))
    mine = created(h01, patient("2", gender="female"))["id"]
    found = finished(app, h01, h01("GET", "/Patient?gender=female", **WAIT))
    assert (found["type"], found["entry"][0]["response"]["status"]) == ("batch-response", "200")
    bundle = found["entry"][0]["resource"]
    assert (bundle["type"], [one["resource"]["id"] for one in bundle["entry"]]) == ("searchset", [mine])
    posted = h01(
        "POST", "/Patient/_search", b"gender=female", Content_Type="application/x-www-form-urlencoded", **WAIT
    )
    assert len(finished(app, h01, posted)["entry"][0]["resource"]["entry"]) == 1


def test_a_batch_asked_for_later_is_done_once(app: Flask) -> None:
    call = Caller(app, "bench")
    body = transaction(
        entry(patient("1"), "POST", "Patient"), entry(None, "GET", "Patient/never"), kind="batch"
    )
    done = finished(app, call, call("POST", "/", body, **WAIT))["entry"][0]["resource"]
    assert [one["response"]["status"][:3] for one in done["entry"]] == ["201", "404"]
    again = call("POST", "/", body, **WAIT)
    with Session(app.extensions["hie"].engine) as session, session.begin():
        # As it stands when a worker was killed over it.
        session.execute(sa.update(Job).where(Job.state == "waiting").values(position={"begun": True}))
    assert work(app)
    assert call("GET", again.headers["Content-Location"].partition("/fhir")[2]).status_code == 500
    assert len(ids(call("GET", "/Patient"))) == 1


def test_what_fails_later_says_so_and_leaves_its_audit_row(app: Flask) -> None:
    call = Caller(app, "bench")
    found = finished(app, call, call("GET", "/Patient?birthdate=never", **WAIT))
    response = found["entry"][0]["response"]
    assert (response["status"], response["outcome"]["resourceType"]) == ("400", "OperationOutcome")
    with Session(app.extensions["hie"].engine) as session:
        rows = session.execute(
            sa.select(AuditEventRow.operation, AuditEventRow.http, AuditEventRow.actor).order_by(
                AuditEventRow.id
            )
        ).all()
    assert [tuple(row) for row in rows][-3:] == [
        ("search-type", 202, "bench"), ("search-type", 400, "bench"), ("job.status", 200, "bench")
    ]  # fmt: skip


def test_a_header_cannot_claim_to_be_the_work_process(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/fhir/Patient", headers={"hie.actor": "bench", "Hie-Actor": "x"}).status_code == 401
