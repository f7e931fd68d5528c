"""Bulk export as a client sees it: kick-off, status, manifest, files; late commits; a killed worker."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from hie.repository import search as search_module
from hie.schema import AuditEventRow, Job, JobFile, Resource
from hie.services.exports import jobs, rows, writing
from hie.services.exports.jobs import is_polled_too_soon
from hie.work.process import work_once
from tests.hub_world import Caller, Json, created, hospitals, observation, patient

WAIT = {"Prefer": "respond-async"}
MANY = 30_000


@pytest.fixture
def app(fresh_database_url: str, tmp_path: Path) -> Iterator[Flask]:
    """The application, with clients of the region and of two hospitals."""
    with hospitals(fresh_database_url, HIE_EXPORT_DIR=str(tmp_path / "exports")) as made:
        yield made


def work(app: Flask) -> bool:
    hub = app.extensions["hie"]
    return work_once(hub.engine, hub.config, ("export", "import"), lambda: False)


def start(call: Caller, path: str, body: Any = None) -> str:
    answer = call("POST" if body is not None else "GET", path, body, **WAIT)
    assert answer.status_code == 202, answer.text
    return str(answer.headers["Content-Location"]).partition("/fhir")[2]


def manifest(app: Flask, call: Caller, path: str, body: Any = None) -> Json:
    job = start(call, path, body)
    while work(app):
        pass
    answer = call("GET", job)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def lines(call: Caller, found: Json, kind: str = "output") -> list[Json]:
    read: list[Json] = []
    for file in found[kind]:
        answer = call("GET", file["url"].partition("/fhir")[2])
        assert answer.status_code == 200
        assert answer.content_type == "application/fhir+ndjson"
        part = [json.loads(line) for line in answer.data.splitlines()]
        assert len(part) == file["count"]
        read += part
    return read


def names(resources: list[Json]) -> set[str]:
    return {f"{one['resourceType']}/{one['id']}" for one in resources}


def test_a_kick_off_is_followed_to_a_manifest_of_files_that_hold_the_stored_bytes(app: Flask) -> None:
    call = Caller(app, "bench")
    subject = created(call, patient("1"))["id"]
    created(call, observation(f"Patient/{subject}", "5.10"))
    job = start(call, "/$export?_outputFormat=application/fhir%2Bndjson")
    waiting = call("GET", job)
    assert (waiting.status_code, waiting.headers["X-Progress"]) == (202, "waiting")
    assert waiting.headers["Retry-After"]
    assert waiting.headers["Content-Location"].endswith(f"/fhir{job}")
    assert work(app)
    done = call("GET", job)
    found = done.get_json()
    assert done.status_code == 200
    assert done.headers["Expires"]
    assert found["requiresAccessToken"] is True
    assert found["request"].endswith("/fhir/$export?_outputFormat=application/fhir%2Bndjson")
    assert {file["type"] for file in found["output"]} == {"Patient", "Observation"}
    file = next(file for file in found["output"] if file["type"] == "Observation")
    place = file["url"].partition("/fhir")[2]
    plain = call("GET", place)
    assert b'"value":5.10' in plain.data
    zipped = call("GET", place, Accept_Encoding="gzip")
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(zipped.data) == plain.data


def test_who_asks_for_too_much_at_once_is_told_to_come_back(app: Flask) -> None:
    call = Caller(app, "bench")
    mine = [start(call, "/$export?_type=Patient") for _ in range(jobs.MOST_OPEN)]
    refused = call("GET", "/$export?_type=Patient", **WAIT)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
    assert Caller(app, "h01")("GET", "/$export?_type=Patient", **WAIT).status_code == 202
    assert call("DELETE", mine[0]).status_code == 202
    assert start(call, "/$export?_type=Patient")


def test_who_polls_without_pause_is_told_to_wait(app: Flask) -> None:
    call = Caller(app, "bench")
    job = start(call, "/$export")
    assert call("GET", job).status_code == 202
    again = call("GET", job)
    assert again.status_code == 429
    assert int(again.headers["Retry-After"]) > 0


def test_who_waits_a_second_is_answered_however_often_it_asked_between() -> None:
    job, begin = Job(polled_at=None), datetime(2026, 3, 1, tzinfo=UTC)
    asked = [0, 0.4, 0.8, 1.0, 1.9, 2.0]
    soon = [is_polled_too_soon(job, begin + timedelta(seconds=second)) for second in asked]
    assert soon == [False, True, True, False, True, False]


def test_a_deleted_job_stops_and_is_not_found(app: Flask, tmp_path: Path) -> None:
    call = Caller(app, "bench")
    created(call, patient("1"))
    job = start(call, "/$export")
    assert work(app)
    assert call("DELETE", job).status_code == 202
    assert call("GET", job).status_code == 404
    assert list((tmp_path / "exports").iterdir()) == []


def test_files_that_no_job_knows_go_after_a_day_and_nothing_else_does(app: Flask, tmp_path: Path) -> None:
    hub, folder = app.extensions["hie"], tmp_path / "exports"
    kept = start(Caller(app, "bench"), "/$export?_type=Basic").rpartition("/")[2]
    lost, foreign = uuid.uuid4().hex, "something-else"
    for name in (kept, lost, foreign):
        (folder / name).mkdir(parents=True)
    later = datetime.now(UTC) + timedelta(hours=23)
    for hours, there in ((0, {kept, lost, foreign}), (2, {kept, foreign})):
        with Session(hub.engine) as session, session.begin():
            jobs.forget(session, folder, later + timedelta(hours=hours))
        assert {one.name for one in folder.iterdir()} == there


def test_files_that_another_removes_meanwhile_are_passed_over(
    app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, folder = app.extensions["hie"], tmp_path / "exports"
    lost, removed = uuid.uuid4().hex, uuid.uuid4().hex
    for name in (lost, removed):
        (folder / name).mkdir(parents=True)
    is_dir = Path.is_dir

    def is_dir_still(path: Path) -> bool:
        there = is_dir(path)
        if path.name == removed:
            path.rmdir()
        return there

    monkeypatch.setattr(Path, "is_dir", is_dir_still)
    with Session(hub.engine) as session, session.begin():
        jobs.forget(session, folder, datetime.now(UTC) + timedelta(hours=25))
    assert list(folder.iterdir()) == []


def test_nobody_else_sees_a_job_or_its_files(app: Flask) -> None:
    call, other = Caller(app, "bench"), Caller(app, "h01")
    created(call, patient("1"))
    job = start(call, "/$export")
    assert work(app)
    file = call("GET", job).get_json()["output"][0]["url"].partition("/fhir")[2]
    assert {other("GET", place).status_code for place in (job, file)} == {404}
    assert other("DELETE", job).status_code == 404
    assert call("GET", job).status_code == 200


def test_a_hospital_exports_what_it_may_see_and_a_scope_narrows_it(app: Flask) -> None:
    h01, h02 = Caller(app, "h01"), Caller(app, "h02")
    mine, other = created(h01, patient("1"))["id"], created(h02, patient("2"))["id"]
    created(h01, observation(f"Patient/{mine}"))
    assert names(lines(h01, manifest(app, h01, "/$export?_type=Patient"))) == {f"Patient/{mine}"}
    reader = Caller(app, "reader")
    seen = names(lines(reader, manifest(app, reader, "/$export")))
    assert seen == {f"Patient/{mine}", f"Patient/{other}"}
    assert reader("GET", "/$export?_type=Observation", **WAIT).status_code == 403


def test_a_right_lost_before_the_work_begins_is_lost(app: Flask) -> None:
    call = Caller(app, "h01")
    created(call, patient("1"))
    job = start(call, "/$export")
    with Session(app.extensions["hie"].engine) as session, session.begin():
        session.execute(sa.text("UPDATE app_client SET disabled_at = now() WHERE id = 'h01'"))
    assert work(app)
    with Session(app.extensions["hie"].engine) as session:
        assert session.get_one(Job, job.rpartition("/")[2]).state == "failed"
        assert session.scalar(sa.select(sa.func.count()).select_from(JobFile)) == 0


def test_a_group_exports_its_present_members_and_patients_can_be_chosen(app: Flask) -> None:
    call = Caller(app, "bench")
    one, two, gone, outside = (created(call, patient(number))["id"] for number in "1234")
    left, coming = (created(call, patient(number))["id"] for number in "56")
    for subject in (one, two, gone, outside):
        created(call, observation(f"Patient/{subject}"))
    members: list[Json] = [
        {"entity": {"reference": f"Patient/{id_}"}} for id_ in (one, two, gone, left, coming)
    ]
    members[1]["period"] = {"start": "2020-01-01"}
    members[2]["inactive"] = True
    members[3]["period"] = {"start": "2020-01-01", "end": "2021-01-01"}
    members[4]["period"] = {"start": "2999-01-01"}
    group = {"resourceType": "Group", "type": "person", "actual": True, "member": members}
    group_id = created(call, group)["id"]
    seen = names(lines(call, manifest(app, call, f"/Group/{group_id}/$export?_type=Patient")))
    assert seen == {f"Patient/{one}", f"Patient/{two}"}
    chosen = {"name": "patient", "valueReference": {"reference": f"Patient/{one}"}}
    body = {"resourceType": "Parameters", "parameter": [chosen]}
    found = lines(call, manifest(app, call, f"/Group/{group_id}/$export", body))
    assert {r.get("subject", {}).get("reference") or f"Patient/{r['id']}" for r in found} == {
        f"Patient/{one}"
    }
    assert len(found) == 2
    everybody = lines(call, manifest(app, call, "/Patient/$export"))
    assert "Group" not in {r["resourceType"] for r in everybody}
    assert len(everybody) == 10


def test_a_type_filter_is_a_search(app: Flask) -> None:
    call = Caller(app, "bench")
    created(call, patient("1", gender="male"))
    wanted = created(call, patient("2", gender="female"))["id"]
    found = manifest(app, call, "/$export?_type=Patient&_typeFilter=Patient%3Fgender%3Dfemale")
    assert names(lines(call, found)) == {f"Patient/{wanted}"}


def test_groups_within_groups_are_exported_with_their_present_members(app: Flask) -> None:
    call = Caller(app, "bench")
    one, two, foreign = (created(call, patient(number))["id"] for number in "123")

    def group(id_: str, *members: str) -> None:
        body = {"resourceType": "Group", "id": id_, "type": "person", "actual": True}
        body["member"] = [{"entity": {"reference": reference}} for reference in members]
        assert call("PUT", f"/Group/{id_}", body).status_code in (200, 201)

    group("inner", f"Patient/{two}")
    group("outer", f"Patient/{one}", "Group/inner", f"http://elsewhere.example/fhir/Patient/{foreign}")
    group("inner", f"Patient/{two}", "Group/outer")
    found = lines(call, manifest(app, call, "/Group/outer/$export?_type=Patient"))
    assert names(found) == {f"Patient/{one}", f"Patient/{two}"}
    assert call("DELETE", "/Group/inner").status_code == 204
    found = lines(call, manifest(app, call, "/Group/outer/$export?_type=Patient"))
    assert names(found) == {f"Patient/{one}"}
    assert call("GET", "/Group/inner/$export", **WAIT).status_code == 410


def test_what_was_deleted_is_told_whatever_is_filtered_by(app: Flask) -> None:
    call = Caller(app, "bench")
    gone = created(call, patient("1", gender="female"))["id"]
    path = "/$export?_type=Patient&_typeFilter=Patient%3Fgender%3Dfemale"
    since = manifest(app, call, path)["transactionTime"].replace("+", "%2B")
    assert call("DELETE", f"/Patient/{gone}").status_code == 204
    found = manifest(app, call, f"{path}&_since={since}")
    assert found["output"] == []
    told = [one["entry"][0]["request"]["url"] for one in lines(call, found, "deleted")]
    assert told == [f"Patient/{gone}"]


def test_large_resources_are_exported_few_at_a_time_each_once(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Caller(app, "bench")
    wanted = [created(call, patient(str(number), "王" * 20_000))["id"] for number in range(7)]
    wanted += [created(call, patient(f"s{number}"))["id"] for number in range(5)]
    monkeypatch.setattr(rows, "MOST_BYTES", 150_000)
    sizes: list[int] = []
    chunk = rows.chunk

    def counted(*asked: Any) -> Any:
        contents, after = chunk(*asked)
        sizes.append(sum(map(len, contents)))
        return contents, after

    monkeypatch.setattr(rows, "chunk", counted)
    found = lines(call, manifest(app, call, "/$export?_type=Patient"))
    assert [one["id"] for one in found] == wanted
    assert len(sizes) > 2
    assert max(sizes) < 150_000 + 70_000, "at most one resource beyond the limit"


@pytest.mark.parametrize(
    "asked",
    [
        "/$export?_type=Observation&_typeFilter=Observation%3Fvalue-quantity%3Dgt5",
        "/$export?_type=DiagnosticReport&_typeFilter=DiagnosticReport%3Fresult.value-quantity%3Dgt5",
    ],
)
def test_a_filter_that_takes_too_long_ends_its_export_in_plain_words(
    app: Flask, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    call, hub = Caller(app, "bench"), app.extensions["hie"]
    monkeypatch.setattr(writing, "MOST_S", 0.2)
    created(call, observation(f"Patient/{created(call, patient('1'))['id']}"))
    job = start(call, asked)
    with Session(hub.engine) as other, other.begin():
        other.execute(sa.text("LOCK TABLE search_number IN ACCESS EXCLUSIVE MODE"))
        assert work(app)
    answer = call("GET", job)
    assert (answer.status_code, "_typeFilter takes too long" in answer.text) == (500, True)


def test_a_filter_whose_chain_takes_too_long_is_refused_at_the_kick_off(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, hub = Caller(app, "bench"), app.extensions["hie"]
    monkeypatch.setattr(search_module, "MOST_SECONDS", 0.2)
    asked = "/$export?_type=DiagnosticReport&_typeFilter=DiagnosticReport%3Fresult.value-quantity%3Dgt5"
    with Session(hub.engine) as other, other.begin():
        other.execute(sa.text("LOCK TABLE search_number IN ACCESS EXCLUSIVE MODE"))
        answer = call("GET", asked, **WAIT)
    assert (answer.status_code, answer.get_json()["issue"][0]["code"]) == (400, "too-costly")


@pytest.mark.parametrize(
    "query",
    [
        "_type=Nonsense",
        "_outputFormat=text/csv",
        "_since=yesterday",
        "_elements=id",
        "_typeFilter=Patient",
        "_typeFilter=Patient%3Fgender%3Dmale&_type=Observation",
        "unheard=1",
        "patient=Patient/1",
        "_typeFilter=Patient%3Ffoo%3D1",
        "_typeFilter=Patient%3Fbirthdate%3Dyesterday",
        "_typeFilter=Patient%3Fgender%3Dmale%26_sort%3Dname",
        "_typeFilter=Patient%3Fgender%3Dmale&_typeFilter=Nonsense%3Fa%3D1",
    ],
)
def test_what_cannot_be_done_is_refused_at_the_kick_off(app: Flask, query: str) -> None:
    answer = Caller(app, "bench")("GET", f"/$export?{query}", **WAIT)
    assert answer.status_code == 400
    assert all(name in answer.text for name in ("_elements", "unheard", "foo") if name in query)


def test_under_lenient_handling_what_is_not_offered_is_left_aside(app: Flask) -> None:
    lenient = {"Prefer": "respond-async, handling=lenient"}
    call = Caller(app, "bench")
    assert call("GET", "/$export?_elements=id&unheard=1", **lenient).status_code == 202
    assert call("GET", "/$export?_typeFilter=Patient%3Ffoo%3D1", **lenient).status_code == 400


def test_an_export_may_be_asked_for_by_a_post_without_a_body(app: Flask) -> None:
    assert Caller(app, "bench")("POST", "/Patient/$export", b"", **WAIT).status_code == 202


def test_without_respond_async_an_export_is_refused(app: Flask) -> None:
    assert Caller(app, "bench")("GET", "/$export").status_code == 400


def test_since_the_last_export_a_late_commit_is_there_and_a_deletion_is_listed(app: Flask) -> None:
    call = Caller(app, "bench")
    early, gone = created(call, patient("1"))["id"], created(call, patient("2"))["id"]
    engine = app.extensions["hie"].engine
    with engine.connect() as late:
        # It has its lastUpdated and its transaction id before the export begins, and commits after.
        late.execute(
            sa.insert(Resource).values(
                compartment="late", type="Patient", id="late", version=1, updated_at=sa.func.now(),
                source_at=sa.func.now(), epoch=0, seq=0, deleted=False, tokens=[],
                content='{"resourceType":"Patient","id":"late"}',
            )
        )  # fmt: skip
        first = manifest(app, call, "/$export?_type=Patient")
        late.commit()
    assert names(lines(call, first)) == {f"Patient/{early}", f"Patient/{gone}"}
    assert call("DELETE", f"/Patient/{gone}").status_code == 204
    second = manifest(app, call, f"/$export?_type=Patient&_since={first['transactionTime']}")
    assert names(lines(call, second)) == {"Patient/late"}
    deletions = lines(call, second, "deleted")
    assert [one["entry"][0]["request"] for one in deletions] == [
        {"method": "DELETE", "url": f"Patient/{gone}"}
    ]


def test_what_changes_while_an_export_runs_is_given_once_as_it_stood(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Caller(app, "bench")
    ids = [created(call, patient(str(number)))["id"] for number in range(6)]
    monkeypatch.setattr(writing, "CHUNK", 2)
    job = start(call, "/$export?_type=Patient")
    hub = app.extensions["hie"]
    steps: list[int] = []

    def change_after_the_first_chunk() -> bool:
        steps.append(1)
        if len(steps) == 2:
            for id_ in (ids[0], ids[5]):
                body = patient("9", "李静") | {"id": id_}
                assert call("PUT", f"/Patient/{id_}", body).status_code == 200
            assert call("DELETE", f"/Patient/{ids[4]}").status_code == 204
            created(call, patient("10"))
        return False

    assert work_once(hub.engine, hub.config, ("export",), change_after_the_first_chunk)
    found = lines(call, call("GET", job).get_json())
    assert sorted(one["id"] for one in found) == sorted(ids)
    assert {one["meta"]["versionId"] for one in found} == {"1"}


def test_each_request_of_an_export_leaves_one_audit_row(app: Flask) -> None:
    call = Caller(app, "bench")
    created(call, patient("1"))
    found = manifest(app, call, "/$export?_type=Patient")
    lines(call, found)
    with Session(app.extensions["hie"].engine) as session:
        rows = session.execute(
            sa.select(AuditEventRow.operation, AuditEventRow.http).order_by(AuditEventRow.id)
        ).all()
    assert [tuple(row) for row in rows][-4:] == [
        ("$export", 202), ("$export", 200), ("job.status", 200), ("job.file", 200)
    ]  # fmt: skip


def until(holds: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def test_after_kill_9_of_the_worker_another_goes_on_and_every_resource_is_there_once(app: Flask) -> None:
    hub = app.extensions["hie"]
    with hub.engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO resource (compartment, type, id, version, updated_at, source_at, epoch, seq,"
                " deleted, tokens, content) SELECT '', 'Basic', 'b' || n, 1, now(), now(), 0, 0, false, '{}',"
                ' format(\'{"resourceType":"Basic","id":"b%s"}\', n) FROM generate_series(1, :many) AS n'
            ),
            {"many": MANY},
        )
    call = Caller(app, "bench")
    job = start(call, "/$export?_type=Basic").rpartition("/")[2]
    environment = os.environ | {
        "HIE_DATABASE_URL": hub.config.database_url,
        "HIE_EXPORT_DIR": str(hub.config.export_dir),
    }
    command = [str(Path(sys.executable).parent / "hie"), "work"]
    file = sa.select(JobFile.count).where(JobFile.job == job)

    def counted() -> int:
        with hub.engine.connect() as connection:
            return connection.scalar(file) or 0

    with hub.engine.connect() as holding:
        worker = subprocess.Popen(command, env=environment)
        try:
            until(counted)
            # The worker waits with its next checkpoint until it is killed: it dies in the middle.
            holding.execute(sa.select(JobFile).where(JobFile.job == job).with_for_update())
            blocked = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            until(lambda: holding.scalar(blocked))
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
    assert 0 < counted() < MANY
    until(lambda: work(app))
    found = lines(call, call("GET", f"/_job/{job}").get_json())
    assert len(found) == MANY
    assert names(found) == {f"Basic/b{n}" for n in range(1, MANY + 1)}
