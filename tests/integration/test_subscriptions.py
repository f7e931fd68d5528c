"""Subscriptions as a subscriber sees them: handshake, events in order, retries, rights, a killed worker."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from hie.errors import NotNow
from hie.schema import AuditEventRow, Resource, SubscriptionRow
from hie.services.subscriptions import delivering, matching
from hie.work import notices
from hie.work.looking import match_all
from hie.work.notices import begin_to_tell, serve
from tests.hub_world import PATCH, Caller, Json, created, entry, hospitals, observation, patient, transaction
from tests.receiver import Receiver, parameters, receiving
from tests.subscriptions_world import by_criteria, by_topic, encounter, events, turn


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def garbage() -> Iterator[str]:
    """The address of a server that answers everything by a line that is no HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer_garbage, args=(server,), daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def answer_garbage(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"garbage\r\n")


@pytest.fixture
def app(fresh_database_url: str, tmp_path: Path, receiver: Receiver, garbage: str) -> Iterator[Flask]:
    """The application, with clients of the region and of two hospitals; only two servers may be told."""
    told = f"{receiver.url}/notices {garbage}/notices"
    with hospitals(fresh_database_url, HIE_EXPORT_DIR=str(tmp_path / "exports"), HIE_NOTIFY_TO=told) as made:
        yield made


def test_r4_criteria_without_payload_are_answered_with_an_empty_post(app: Flask, receiver: Receiver) -> None:
    call = Caller(app, "bench")
    made = created(call, by_criteria(receiver, "Patient?gender=female", header=["X-Key: abc"]))
    assert made["status"] == "requested"
    turn(app)
    assert call("GET", f"/Subscription/{made['id']}").get_json()["status"] == "active"
    created(call, patient("1", gender="male"))
    created(call, patient("2", gender="female"))
    turn(app)
    assert [(one.method, one.path, one.body) for one in receiver.told] == [("POST", "/notices", b"")]
    assert receiver.told[0].headers["X-Key"] == "abc"


def test_r4_criteria_with_payload_put_the_resource_digit_for_digit(app: Flask, receiver: Receiver) -> None:
    call = Caller(app, "bench")
    created(call, by_criteria(receiver, "Observation?code=2823-3", payload="application/fhir+json"))
    turn(app)
    subject = created(call, patient("1"))["id"]
    made = created(call, observation(f"Patient/{subject}", "5.10"))["id"]
    turn(app)
    assert [(one.method, one.path) for one in receiver.told] == [("PUT", f"/notices/Observation/{made}")]
    assert b'"value":5.10' in receiver.told[0].body


def test_a_topic_shakes_hands_then_tells_in_order_and_beats(app: Flask, receiver: Receiver) -> None:
    call = Caller(app, "bench")
    subscription = created(call, by_topic(receiver, "encounter-start", "id-only", heartbeat_period=60))["id"]
    turn(app)
    shake = parameters(json.loads(receiver.told[0].body))
    assert (shake["type"], shake["topic"]) == ("handshake", "urn:hie:topic:encounter-start")
    subject = created(call, patient("1"))["id"]
    first = created(call, encounter(subject, "in-progress"))["id"]
    created(call, encounter(subject, "planned"))
    second = created(call, encounter(subject, "in-progress"))["id"]
    turn(app)
    bundles = [json.loads(one.body) for one in receiver.told[1:]]
    assert [parameters(one)["events"] for one in bundles] == [
        [(1, f"Encounter/{first}")],
        [(2, f"Encounter/{second}")],
    ]
    assert bundles[0]["type"] == "history"
    assert "resource" not in bundles[0]["entry"][1]
    turn(app, later=61)
    beat = parameters(json.loads(receiver.told[-1].body))
    assert (beat["type"], beat["events-since-subscription-start"]) == ("heartbeat", "2")
    said = call("GET", f"/Subscription/{subscription}/$status").get_json()["entry"][0]["resource"]
    assert said["resourceType"] == "Parameters"
    again = call("GET", f"/Subscription/{subscription}/$events?eventsSinceNumber=2&content=full-resource")
    assert again.get_json()["entry"][1]["resource"]["id"] == second


def test_each_step_between_two_looks_is_an_event_of_its_own(app: Flask, receiver: Receiver) -> None:
    call = Caller(app, "bench")
    created(call, by_topic(receiver, "encounter-start", "empty"))
    created(call, by_topic(receiver, "encounter-end", "full-resource", backport_max_count=1))
    turn(app)
    subject = created(call, patient("1"))["id"]
    made = created(call, encounter(subject, "planned"))["id"]
    for status in ("in-progress", "in-progress", "finished"):
        body = encounter(subject, status) | {
            "id": made,
            "priority": {"text": status + str(len(receiver.told))},
        }
        assert call("PUT", f"/Encounter/{made}", body).status_code == 200
        receiver.told.append(receiver.told[0])
    receiver.told.clear()
    turn(app)
    turn(app)
    told = {parameters(json.loads(one.body))["topic"]: json.loads(one.body) for one in receiver.told}
    assert len(receiver.told) == 2
    assert parameters(told["urn:hie:topic:encounter-start"])["events"] == [(1, "")]
    assert told["urn:hie:topic:encounter-end"]["entry"][1]["resource"]["status"] == "finished"


def test_a_record_is_followed_over_all_its_types(app: Flask, receiver: Receiver) -> None:
    call = Caller(app, "bench")
    one, other = created(call, patient("1"))["id"], created(call, patient("2"))["id"]
    created(call, by_topic(receiver, "patient-record-changed", "id-only", f"?patient=Patient/{one}"))
    turn(app)
    receiver.told.clear()
    created(call, observation(f"Patient/{other}"))
    wanted = created(call, observation(f"Patient/{one}"))["id"]
    assert call("PUT", f"/Patient/{one}", patient("1", "李静") | {"id": one}).status_code == 200
    turn(app)
    seen = {focus for one in receiver.told for _, focus in parameters(json.loads(one.body))["events"]}
    assert seen == {f"Observation/{wanted}", f"Patient/{one}"}


def test_after_a_large_load_the_events_are_written_some_at_a_time(
    app: Flask, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Caller(app, "bench")
    subscription = created(call, by_criteria(receiver, "Patient?gender=female"))["id"]
    turn(app)
    wanted = [created(call, patient(str(number), gender="female"))["id"] for number in range(6)]
    body = [entry(patient(f"b{number}", gender="female"), "POST", "Patient") for number in range(6)]
    assert call("POST", "/", transaction(*body)).status_code == 200
    hub = app.extensions["hie"]
    monkeypatch.setattr(matching, "MOST_CHANGES", 4)
    written = []
    for _ in range(4):
        with Session(hub.engine) as session, session.begin():
            written.append(matching.match(session, subscription, hub.config, datetime.now(UTC)))
    assert written == [4, 2, 6, 0], "what one transaction made is looked at together"
    assert [id_ for _, id_, _ in events(app)][:6] == wanted


def test_a_late_commit_is_told(app: Flask, receiver: Receiver) -> None:
    call = Caller(app, "bench")
    created(call, by_criteria(receiver, "Basic?_lastUpdated=gt2001"))
    turn(app)
    with app.extensions["hie"].engine.connect() as late:
        late.execute(
            sa.insert(Resource).values(
                compartment="", type="Basic", id="late", version=1, updated_at=sa.func.now(),
                source_at=sa.func.now(), epoch=0, seq=0, deleted=False, tokens=[],
                content='{"resourceType":"Basic","id":"late"}',
            )
        )  # fmt: skip
        for number in range(3):
            created(call, patient(str(number)))
            turn(app)
        assert receiver.told == []
        late.commit()
    turn(app)
    assert len(receiver.told) == 1
    turn(app)
    assert len(receiver.told) == 1


def test_a_hospital_is_told_of_its_own_and_a_lost_right_withholds(app: Flask, receiver: Receiver) -> None:
    h01, h02 = Caller(app, "h01"), Caller(app, "h02")
    created(h01, by_criteria(receiver, "Observation?status=final", payload="application/fhir+json"))
    turn(app)
    mine, other = created(h01, patient("1"))["id"], created(h02, patient("2"))["id"]
    created(h02, observation(f"Patient/{other}"))
    shown = created(h01, observation(f"Patient/{mine}"))["id"]
    turn(app)
    assert [one.path for one in receiver.told] == [f"/notices/Observation/{shown}"]
    gone = created(h01, observation(f"Patient/{mine}", "6.0"))["id"]
    hub = app.extensions["hie"]
    match_all(hub.engine, hub.config, datetime.now(UTC))
    with Session(hub.engine) as session, session.begin():
        session.execute(sa.text("UPDATE app_client SET scope = 'system/Patient.rs' WHERE id = 'h01'"))
    turn(app)
    assert len(receiver.told) == 1
    assert (2, gone, None) in events(app)


def test_a_failing_subscriber_is_tried_again_in_order_then_parked_and_asked_anew(
    app: Flask, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "MOST_FAILURES", 3)
    call = Caller(app, "bench")
    made = created(call, by_criteria(receiver, "Patient?gender=female", payload="application/fhir+json"))
    turn(app)
    receiver.answer = 503
    wanted = [created(call, patient(str(number), gender="female"))["id"] for number in range(2)]
    turn(app)
    turn(app)
    assert len(receiver.told) == 1, "it waits before it tries again"
    turn(app, later=10)
    turn(app, later=60)
    stored = call("GET", f"/Subscription/{made['id']}").get_json()
    assert (stored["status"], "503" in stored["error"]) == ("error", True)
    with Session(app.extensions["hie"].engine) as session:
        parked = sa.select(AuditEventRow.outcome).where(AuditEventRow.operation == "subscription.parked")
        assert session.scalars(parked).all() == [8]
    receiver.answer = 302
    assert call("PUT", f"/Subscription/{made['id']}", stored | {"status": "requested"}).status_code == 200
    turn(app)
    turn(app)
    assert {one.path for one in receiver.told} == {f"/notices/Patient/{wanted[0]}"}, "no redirect is followed"
    receiver.answer = 200
    receiver.told.clear()
    turn(app, later=3600)
    assert [one.path.rpartition("/")[2] for one in receiver.told] == wanted


@pytest.mark.parametrize(
    ("change", "http"),
    [
        ({"criteria": "Nonsense?x=1"}, 400),
        ({"criteria": "Patient?nonsense=1"}, 400),
        ({"criteria": "urn:hie:topic:nonsense"}, 400),
        ({"channel": {"type": "email", "endpoint": "mailto:a@example.org"}}, 400),
        ({"channel": {"type": "sms"}}, 400),
        ({"channel": {"type": "websocket"}}, 400),
        ({"channel": {"type": "rest-hook", "endpoint": "http://169.254.169.254/notices"}}, 403),
        ({"channel": {"type": "rest-hook", "endpoint": "file:///etc/passwd"}}, 400),
    ],
)
def test_what_cannot_be_served_is_refused_when_it_is_written(
    app: Flask, receiver: Receiver, change: Json, http: int
) -> None:
    answer = Caller(app, "bench")(
        "POST", "/Subscription", by_criteria(receiver, "Patient?gender=male") | change
    )
    assert answer.status_code == http, answer.text
    with Session(app.extensions["hie"].engine) as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(SubscriptionRow)) == 0


def test_who_answers_no_http_holds_up_no_other(app: Flask, receiver: Receiver, garbage: str) -> None:
    call = Caller(app, "bench")
    asked = by_criteria(receiver, "Patient?gender=male")
    channel = asked["channel"] | {"endpoint": f"{garbage}/notices"}
    unserved = created(call, asked | {"channel": channel})["id"]
    created(call, asked)
    turn(app)
    created(call, patient("1", gender="male"))
    turn(app)
    assert [one.path for one in receiver.told] == ["/notices"]
    with Session(app.extensions["hie"].engine) as session:
        row = session.get_one(SubscriptionRow, unserved)
        assert (row.state, row.failures) == ("active", 1)


def test_what_nobody_foresaw_while_telling_puts_off_that_subscription_alone(
    app: Flask, receiver: Receiver
) -> None:
    call = Caller(app, "bench")
    made = created(call, by_criteria(receiver, "Patient?gender=male"))["id"]
    turn(app)
    created(call, patient("1", gender="male"))
    hub = app.extensions["hie"]
    match_all(hub.engine, hub.config, datetime.now(UTC))
    broken = replace(hub.config, notify_to=None)
    busy: dict[str, Future[None]] = {}
    with ThreadPoolExecutor(1) as pool:
        begin_to_tell(hub.engine, broken, pool, busy)
    with ThreadPoolExecutor(1) as pool:
        begin_to_tell(hub.engine, broken, pool, busy)
    with Session(hub.engine) as session:
        row = session.get_one(SubscriptionRow, made)
        assert (row.state, row.failures, busy) == ("active", 1, {})


@pytest.mark.parametrize(("error", "failures"), [(PoolTimeoutError, 0), (NotNow, 0), (psycopg.DataError, 1)])
def test_only_what_a_subscription_is_the_cause_of_is_charged_to_it(
    app: Flask, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, error: type[Exception], failures: int
) -> None:
    made = created(Caller(app, "bench"), by_criteria(receiver, "Patient?gender=male"))["id"]
    hub = app.extensions["hie"]
    monkeypatch.setattr(delivering, "tell", failing(error))
    busy: dict[str, Future[None]] = {}
    with ThreadPoolExecutor(1) as pool:
        begin_to_tell(hub.engine, hub.config, pool, busy)
    with ThreadPoolExecutor(1) as pool, contextlib.suppress(PoolTimeoutError, NotNow):
        begin_to_tell(hub.engine, hub.config, pool, busy)
    with Session(hub.engine) as session:
        assert session.get_one(SubscriptionRow, made).failures == failures


@pytest.mark.parametrize(("error", "state"), [(NotNow, "active"), (psycopg.DataError, "error")])
def test_a_subscription_that_cannot_be_matched_at_the_moment_is_not_parked(
    app: Flask, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, error: type[Exception], state: str
) -> None:
    made = created(Caller(app, "bench"), by_criteria(receiver, "Patient?gender=male"))["id"]
    turn(app)
    hub = app.extensions["hie"]
    monkeypatch.setattr(matching, "match", failing(error))
    with contextlib.suppress(NotNow):
        match_all(hub.engine, hub.config, datetime.now(UTC))
    with Session(hub.engine) as session:
        assert session.get_one(SubscriptionRow, made).state == state


@pytest.mark.parametrize("error", [PoolTimeoutError, NotNow, psycopg.DataError, psycopg.OperationalError])
def test_whatever_the_database_answers_the_notices_go_on(
    app: Flask, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    hub, stopping = app.extensions["hie"], threading.Event()
    turns: list[int] = []

    def lead(*_: Any) -> None:
        turns.append(1)
        if len(turns) == 1:
            raise error
        stopping.set()

    monkeypatch.setattr(notices, "_lead_if_first", lead)
    serve(hub.engine, hub.config, stopping)
    assert len(turns) == 2


def failing(error: type[Exception]) -> Callable[..., Any]:
    def fail(*_: Any) -> None:
        raise error

    return fail


def test_a_subscription_stays_its_owners(app: Flask, receiver: Receiver) -> None:
    """Its owner's rights decide what the endpoint is told: another client's touch must not lend it theirs."""
    made = created(Caller(app, "h01"), by_criteria(receiver, "Patient?gender=male"))
    bench = Caller(app, "bench")
    tag = {"name": "meta", "valueMeta": {"tag": [{"system": "urn:x", "code": "a"}]}}
    added = {"resourceType": "Parameters", "parameter": [tag]}
    place = f"/Subscription/{made['id']}"
    assert bench("POST", f"{place}/$meta-add", added).status_code == 403
    assert bench("PUT", place, made | {"reason": "mine now"}).status_code == 403
    with Session(app.extensions["hie"].engine) as session:
        assert session.get_one(SubscriptionRow, made["id"]).owner["client"] == "h01"
    assert bench("DELETE", place).status_code == 204


def test_a_patch_cannot_say_what_the_hub_says_of_a_subscription(app: Flask, receiver: Receiver) -> None:
    call = Caller(app, "bench")
    place = f"/Subscription/{created(call, by_criteria(receiver, 'Patient?gender=male'))['id']}"
    asked = [
        {"op": "replace", "path": "/status", "value": "active"},
        {"op": "add", "path": "/error", "value": "none at all"},
    ]
    answer = call("PATCH", place, json.dumps(asked).encode(), Content_Type=PATCH)
    assert answer.status_code == 200
    said, stored = answer.get_json(), call("GET", place).get_json()
    assert said == stored
    assert (stored["status"], "error" in stored) == ("requested", False)


def test_an_answer_of_the_old_endpoint_does_not_activate_the_new_one(app: Flask, receiver: Receiver) -> None:
    call = Caller(app, "bench")
    made = created(call, by_topic(receiver, "encounter-start", "id-only"))
    receiver.hold.clear()
    turning = threading.Thread(target=turn, args=(app,))
    turning.start()
    try:
        until(lambda: bool(receiver.told))
        made["channel"]["endpoint"] = f"{receiver.url}/notices/new"
        assert call("PUT", f"/Subscription/{made['id']}", made).status_code == 200
    finally:
        receiver.hold.set()
        turning.join()
    assert call("GET", f"/Subscription/{made['id']}").get_json()["status"] == "requested"
    turn(app)
    assert receiver.told[-1].path == "/notices/new"
    assert call("GET", f"/Subscription/{made['id']}").get_json()["status"] == "active"


@pytest.mark.parametrize("path", ["/notices/../secret", "/notices%2f..%2fsecret", "/other", "/noticesmore"])
def test_an_endpoint_beside_the_listed_one_is_refused(app: Flask, receiver: Receiver, path: str) -> None:
    asked = by_criteria(receiver, "Patient?gender=male")
    asked["channel"]["endpoint"] = receiver.url + path
    assert Caller(app, "bench")("POST", "/Subscription", asked).status_code == 403


@pytest.mark.parametrize(("content", "named"), [("empty", False), ("id-only", True), ("full-resource", True)])
def test_the_trail_says_whose_record_a_subscriber_was_told_of(
    app: Flask, receiver: Receiver, content: str, named: bool
) -> None:
    call = Caller(app, "h01")
    made = created(call, by_topic(receiver, "encounter-start", content))["id"]
    turn(app)
    subject = created(call, patient("1"))["id"]
    created(call, encounter(subject, "in-progress"))
    turn(app)
    assert call("GET", f"/Subscription/{made}/$events").status_code == 200
    with Session(app.extensions["hie"].engine) as session:
        said = sa.select(AuditEventRow.operation, AuditEventRow.compartment).where(
            AuditEventRow.operation.in_(("subscription.notify", "$events"))
        )
        told = [tuple(row) for row in session.execute(said.order_by(AuditEventRow.id))]
    whose = subject if named else None
    assert told == [
        ("subscription.notify", None),
        ("subscription.notify", whose),
        ("$events", whose),
    ], "the handshake names nobody"


def test_a_deleted_subscription_is_told_nothing_more(app: Flask, receiver: Receiver) -> None:
    call = Caller(app, "bench")
    made = created(call, by_criteria(receiver, "Patient?gender=male"))["id"]
    turn(app)
    assert call("DELETE", f"/Subscription/{made}").status_code == 204
    created(call, patient("1", gender="male"))
    turn(app)
    assert receiver.told == []


def test_the_events_of_another_client_are_not_found(app: Flask, receiver: Receiver) -> None:
    made = created(Caller(app, "h01"), by_criteria(receiver, "Patient?gender=male"))["id"]
    assert Caller(app, "h02")("GET", f"/Subscription/{made}/$events").status_code == 404
    assert Caller(app, "h02")("GET", f"/Subscription/{made}/$status").status_code == 404
    assert Caller(app, "bench")("GET", f"/Subscription/{made}/$events").status_code == 404
    assert Caller(app, "h01")("GET", f"/Subscription/{made}/$events").status_code == 200


def until(holds: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def test_no_event_is_missed_or_numbered_twice_though_the_worker_is_killed_between_match_and_delivery(
    app: Flask, receiver: Receiver
) -> None:
    hub = app.extensions["hie"]
    call = Caller(app, "bench")
    created(call, by_topic(receiver, "encounter-start", "id-only"))
    subject = created(call, patient("1"))["id"]
    environment = os.environ | {
        "HIE_DATABASE_URL": hub.config.database_url,
        "HIE_EXPORT_DIR": str(hub.config.export_dir),
        "HIE_NOTIFY_TO": " ".join(hub.config.notify_to),
    }
    command = [str(Path(sys.executable).parent / "hie"), "work"]
    wanted: list[str] = []
    for life in range(3):
        receiver.hold.set()
        worker = subprocess.Popen(command, env=environment)
        try:
            until(lambda: any(b"handshake" in one.body for one in receiver.told))
            # The subscriber takes one in and does not answer: the worker dies before it can settle it.
            receiver.hold.clear()
            before = len(receiver.told)
            wanted += [created(call, encounter(subject, "in-progress"))["id"] for _ in range(3)]
            until(lambda: len(receiver.told) > before)  # noqa: B023
            until(lambda: len(events(app)) == len(wanted))  # noqa: B023
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        assert any(settled is None for _, _, settled in events(app)), life
    receiver.hold.set()
    turn(app, later=3600)
    assert [(number, id_) for number, id_, _ in events(app)] == list(enumerate(wanted, start=1))
    assert {settled for _, _, settled in events(app)} == {"delivered"}
    told = [event for one in receiver.told for event in parameters(json.loads(one.body))["events"]]
    assert set(told) == {(number, f"Encounter/{id_}") for number, id_ in enumerate(wanted, start=1)}
    assert len(told) > len(wanted), "what was taken in but not settled is sent again"
    first = [told.index(one) for one in sorted(set(told))]
    assert first == sorted(first), "in order"
