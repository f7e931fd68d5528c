"""Subscriptions whose criteria cost too much: they hold up nobody, and their owner is told."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from hie.__main__ import main
from hie.repository import search as search_module
from hie.schema import AuditEventRow, SubscriptionRow
from hie.services.subscriptions import delivering, matching
from hie.work import looking
from hie.work.looking import match_all, match_costly
from tests.hub_world import Caller, created, hospitals, observation, patient
from tests.receiver import Receiver, receiving
from tests.subscriptions_world import by_criteria, events, states, turn


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def app(fresh_database_url: str, tmp_path: Path, receiver: Receiver) -> Iterator[Flask]:
    told = f"{receiver.url}/notices"
    with hospitals(fresh_database_url, HIE_EXPORT_DIR=str(tmp_path / "exports"), HIE_NOTIFY_TO=told) as made:
        yield made


def test_costly_criteria_hold_up_no_other_subscription_and_are_parked_with_the_reason(
    app: Flask, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "QUICK_S", 0.2)
    monkeypatch.setattr(matching, "MOST_S", 0.2)
    call = Caller(app, "bench")
    costly = [created(call, by_criteria(receiver, "Observation?value-quantity=gt5"))["id"] for _ in range(2)]
    quick = created(call, by_criteria(receiver, "Observation?status=final"))["id"]
    turn(app)
    subject = created(call, patient("1"))["id"]
    created(call, observation(f"Patient/{subject}"))
    hub, now = app.extensions["hie"], datetime.now(UTC)
    with Session(hub.engine) as other, other.begin():
        other.execute(sa.text("LOCK TABLE search_number IN ACCESS EXCLUSIVE MODE"))
        match_all(hub.engine, hub.config, now)
        assert states(app) == dict.fromkeys(costly, ("active", 1)) | {quick: ("active", 0)}
        assert [number for number, _, _ in events(app)] == [1], "the quick one has its event"
        match_all(hub.engine, hub.config, now)
        assert states(app)[costly[0]] == ("active", 1), "it waits apart"
        assert not match_costly(hub.engine, hub.config, now), "and for a while"
        for times in range(1, looking.MOST_COSTLY):
            later = now + timedelta(hours=times)
            assert [match_costly(hub.engine, hub.config, later) for _ in range(3)] == [True, True, False]
    monkeypatch.setattr(matching, "MOST_S", 0)
    later = now + timedelta(hours=looking.MOST_COSTLY)
    assert [match_costly(hub.engine, hub.config, later) for _ in range(3)] == [True, True, False]
    monkeypatch.setattr(matching, "MOST_S", 60)
    assert states(app) == dict.fromkeys(costly, ("error", looking.MOST_COSTLY)) | {quick: ("active", 0)}
    stored = call("GET", f"/Subscription/{costly[0]}").get_json()
    assert (stored["status"], stored["error"]) == ("error", looking.TOO_COSTLY)
    assert call("PUT", f"/Subscription/{costly[0]}", stored | {"status": "requested"}).status_code == 200
    turn(app)
    turn(app)
    assert len([one for one in receiver.told if one.path == "/notices"]) == 2, "its event waited"


def test_criteria_whose_chain_takes_too_long_are_refused_when_they_are_written(
    app: Flask, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "MOST_SECONDS", 0.2)
    call, hub = Caller(app, "bench"), app.extensions["hie"]
    with Session(hub.engine) as other, other.begin():
        other.execute(sa.text("LOCK TABLE search_number IN ACCESS EXCLUSIVE MODE"))
        body = by_criteria(receiver, "DiagnosticReport?result.value-quantity=gt5")
        answer = call("POST", "/Subscription", body)
    assert (answer.status_code, answer.get_json()["issue"][0]["code"]) == (400, "too-costly")
    assert states(app) == {}


def test_an_operator_takes_up_again_what_was_set_aside(
    app: Flask, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(delivering, "MOST_FAILURES", 1)
    call, config = Caller(app, "h01"), app.extensions["hie"].config
    monkeypatch.setenv("HIE_DATABASE_URL", config.database_url)
    made = created(call, by_criteria(receiver, "Patient?gender=male", payload="application/fhir+json"))["id"]
    turn(app)
    receiver.answer = 410
    wanted = created(call, patient("1", gender="male"))["id"]
    turn(app)
    main(["subscription", "list"])
    (told,) = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["id"], told["client"], told["waiting"], "410" in told["error"]) == (made, "h01", 1, True)
    receiver.answer = 200
    receiver.told.clear()
    main(["subscription", "release", "--id", made])
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"released": made}
    assert call("GET", f"/Subscription/{made}").get_json()["status"] == "requested"
    turn(app)
    turn(app)
    assert [one.path.rpartition("/")[2] for one in receiver.told] == [wanted]
    stored = call("GET", f"/Subscription/{made}").get_json()
    assert (stored["status"], "error" in stored) == ("active", False)
    for id_, said in ((made, "it is active"), ("never-there", "no such")):
        with pytest.raises(SystemExit):
            main(["subscription", "release", "--id", id_])
        assert said in capsys.readouterr().err
    with Session(app.extensions["hie"].engine) as session:
        wrote = sa.select(AuditEventRow.resource_id).where(AuditEventRow.operation == "subscription.released")
        assert session.scalars(wrote).all() == [made]


def kept_apart(app: Flask, call: Caller, receiver: Receiver, costly: int) -> str:
    """Return the id of a subscription that has taken too long so many times."""
    made: str = created(call, by_criteria(receiver, "Patient?gender=male"))["id"]
    turn(app)
    with Session(app.extensions["hie"].engine) as session, session.begin():
        row = session.get_one(SubscriptionRow, made)
        row.costly, row.look_at = costly, datetime.now(UTC)
    return made


def test_who_is_slow_but_not_too_slow_is_looked_after_apart(
    app: Flask, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Caller(app, "bench")
    made = kept_apart(app, call, receiver, 3)
    hub, now = app.extensions["hie"], datetime.now(UTC)
    created(call, patient("1", gender="male"))
    monkeypatch.setattr(looking, "QUICK_S", 0)
    later = now + timedelta(seconds=1)
    assert [match_costly(hub.engine, hub.config, later) for _ in range(2)] == [True, False]
    assert (states(app)[made], len(events(app))) == (("active", 2), 1)
    assert match_costly(hub.engine, hub.config, later + timedelta(seconds=1))
    assert match_costly(hub.engine, hub.config, later + timedelta(seconds=2))
    assert states(app)[made] == ("active", 1), "it needs long as before"
    monkeypatch.setattr(looking, "QUICK_S", 1000)
    assert match_costly(hub.engine, hub.config, later + timedelta(seconds=3))
    assert states(app)[made] == ("active", 0)


def test_who_is_quick_in_small_steps_alone_stays_apart(
    app: Flask, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "QUICK_S", 1000)
    monkeypatch.setattr(matching, "MOST_CHANGES", 4)
    monkeypatch.setattr(matching, "FEWEST_CHANGES", 1)
    call = Caller(app, "bench")
    made = kept_apart(app, call, receiver, 2)
    hub, now = app.extensions["hie"], datetime.now(UTC)
    for number in range(5):
        created(call, patient(str(number), gender="male"))
    assert match_costly(hub.engine, hub.config, now + timedelta(seconds=1))
    assert (states(app)[made], len(events(app))) == (("active", 1), 1), "a small step says nothing"
    assert match_costly(hub.engine, hub.config, now + timedelta(seconds=2))
    assert (states(app)[made], len(events(app))) == (("active", 0), 5), "a full one does"


def test_a_version_that_was_told_of_is_not_told_again_by_criteria(app: Flask, receiver: Receiver) -> None:
    call = Caller(app, "bench")
    made = created(call, by_criteria(receiver, "Patient?gender=male"))["id"]
    turn(app)
    created(call, patient("1", gender="male"))
    turn(app)
    with Session(app.extensions["hie"].engine) as session, session.begin():
        session.execute(sa.update(SubscriptionRow).values(matched=sa.text("'3'::xid8")))
    turn(app)
    assert states(app) == {made: ("active", 0)}
    assert [number for number, _, _ in events(app)] == [1]
