"""The road into the hub: each entry once, poison set aside, nothing lost while something is away."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pika
import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from esb.consumer import Delivery
from esb.envelope import Entry, deflate, inflate
from esb.errors import NotNow
from esb.fhir.bundles import delete_entry, entry, patch_entry, transaction
from esb.relay import Sender, envelope
from esb.seal import generate_keys, load_keys, load_public, public_part
from hie.config import Config
from hie.directory.facilities import facility_keys, put_facility
from hie.ingest import opening, storing, worker
from hie.ingest import redrive as redriving
from hie.ingest.opening import Directory
from hie.ingest.reading import read_entry
from hie.ingest.redrive import redrive
from hie.schema import AuditEventRow, Identity, Relation, Resource, ResourceHistory
from hie.schema.exchange import attempt, inbox, outbox, set_aside
from hie.security.actor import system_actor

AT = datetime(2026, 3, 1, 8, tzinfo=UTC)
HUB = generate_keys("hub")
HOSPITALS = {code: generate_keys(code) for code in ("H01", "H02")}
STRANGER = generate_keys("H01")
NEWCOMER = generate_keys("H03")


@pytest.fixture
def hub(fresh_database_url: str, tmp_path: Path) -> Iterator[worker.Worker]:
    """A worker on a database of its own that knows two hospitals."""
    config = Config.from_env(
        {
            "HIE_DATABASE_URL": fresh_database_url,
            "HIE_KEY_DIR": str(tmp_path),
            "HIE_RELATION_DAYS": "36500",
            "HIE_INGEST_TRIES": "2",
        }
    )
    engine = sa.create_engine(config.database_url, hide_parameters=True)
    with Session(engine) as session, session.begin():
        for code, keys in HOSPITALS.items():
            put_facility(session, code, code, "", public_part(keys))
        session.execute(sa.delete(AuditEventRow))

    def read() -> dict[str, Any]:
        with Session(engine) as session:
            return facility_keys(session)

    yield worker.Worker(engine, config, load_keys(HUB), Directory(read))
    engine.dispose()


def patient(id_: str = "p1", name: str = "张三") -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id_, "name": [{"text": name}], "birthDate": "1958-04-12"}


def result(id_: str = "o1", value: str = "5.30", whose: str = "p1") -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"text": "钾"},
        "subject": {"reference": f"Patient/{whose}"},
        "valueQuantity": {"value": orjson.Fragment(value), "unit": "mmol/L"},
    }


def made(seq: int, *requests: dict[str, Any], at: datetime = AT, kind: str = "ADT^A01") -> Entry:
    return Entry(1, seq, at, kind, deflate(orjson.dumps(transaction(requests))))


def sealed(
    entries: Sequence[Entry], facility: str = "H01", tag: int = 1, keys: Any = None, user: str | None = None
) -> Delivery:
    """Return the entries as the broker would deliver them."""
    own = load_keys(keys or HOSPITALS[facility])
    sender = Sender(facility, own, lambda _route: load_public(public_part(HUB)))
    message = envelope(sender, "records", f"{facility}.7", entries, AT)
    properties = pika.BasicProperties(user_id=user or facility, **message.properties)
    return Delivery(tag, False, message.route, message.body, properties)


def count(hub: worker.Worker, table: Any) -> int:
    with hub.engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def fates(hub: worker.Worker) -> dict[int, str]:
    with hub.engine.connect() as connection:
        return {row.seq: row.fate for row in connection.execute(sa.select(inbox))}


def receipts(hub: worker.Worker, facility: str = "H01") -> list[tuple[int, str]]:
    """Return (seq, fate) of every receipt written for a facility, in order."""
    query = sa.select(outbox.c.payload).where(outbox.c.route == facility).order_by(outbox.c.seq)
    with hub.engine.connect() as connection:
        payloads = connection.scalars(query).all()
    return [(one["seq"], one["fate"]) for p in payloads for one in orjson.loads(inflate(p))]


def test_an_entry_is_stored_with_identity_audit_and_receipt(hub: worker.Worker) -> None:
    assert hub.handle("ingest.0", [sealed([made(1, entry(patient()), entry(result()))])]) == set()
    assert count(hub, Resource) == 2
    assert count(hub, Identity) == 1
    assert count(hub, AuditEventRow) == 1
    assert receipts(hub) == [(1, "stored")]


def test_digits_are_kept_as_they_came(hub: worker.Worker) -> None:
    hub.handle("ingest.0", [sealed([made(1, entry(patient()), entry(result(value="128.50")))])])
    with hub.engine.connect() as connection:
        content = connection.scalar(sa.select(Resource.content).where(Resource.type == "Observation"))
    assert '"value":128.50' in str(content)


def test_the_same_entry_again_is_stored_once_and_answered_as_a_duplicate(hub: worker.Worker) -> None:
    message = made(1, entry(patient()))
    hub.handle("ingest.0", [sealed([message])])
    hub.handle("ingest.0", [sealed([message]), sealed([message], tag=2)])
    assert count(hub, inbox) == 1
    assert receipts(hub) == [(1, "stored"), (1, "duplicate"), (1, "duplicate")]


def test_the_same_entry_twice_in_one_batch_is_stored_once(hub: worker.Worker) -> None:
    message = made(1, entry(patient()))
    hub.handle("ingest.0", [sealed([message]), sealed([message], tag=2)])
    assert count(hub, ResourceHistory) == 0
    assert fates(hub) == {1: "stored"}


def test_the_receipts_of_a_batch_travel_together_one_message_per_hospital(hub: worker.Worker) -> None:
    own = [sealed([made(n, entry(patient(f"p{n}"))) for n in (seq, seq + 1)], tag=seq) for seq in (1, 3, 5)]
    other = sealed([made(1, entry(patient("q1")))], "H02", tag=9)
    hub.handle("ingest.0", [*own, other])
    assert count(hub, outbox) == 2
    assert receipts(hub, "H01") == [(seq, "stored") for seq in range(1, 7)]
    assert receipts(hub, "H02") == [(1, "stored")]


def broken() -> dict[str, Any]:
    return entry({"resourceType": "Observation", "id": "x", "status": "never"})


def test_poison_among_good_ones_is_set_aside_and_the_others_are_stored(hub: worker.Worker) -> None:
    entries = [made(n, entry(patient(f"p{n}"))) for n in range(1, 10)]
    entries[4] = made(5, broken())
    assert hub.handle("ingest.0", [sealed(entries[:6]), sealed(entries[6:], tag=2)]) == set()
    assert {seq for seq, fate in fates(hub).items() if fate == "stored"} == {1, 2, 3, 4, 6, 7, 8, 9}
    assert fates(hub)[5] == "set_aside"
    assert count(hub, AuditEventRow) == 9


def test_what_the_store_refuses_is_set_aside_and_the_others_are_stored(hub: worker.Worker) -> None:
    unknown = patch_entry("Patient", "nobody", [{"op": "replace", "path": "/active", "value": False}])
    entries = [made(1, entry(patient())), made(2, unknown), made(3, entry(patient("p3")))]
    hub.handle("ingest.0", [sealed(entries)])
    assert fates(hub) == {1: "stored", 2: "set_aside", 3: "stored"}


def test_a_binary_that_points_at_the_hubs_own_contents_is_set_aside(hub: worker.Worker) -> None:
    pointer = {"extension": [{"url": "urn:hie:content", "valueString": "t/n"}]}
    forged = {"resourceType": "Binary", "id": "b1", "contentType": "text/plain", "_data": pointer}
    hub.handle("ingest.0", [sealed([made(1, entry(forged)), made(2, entry(patient()))])])
    assert fates(hub) == {1: "set_aside", 2: "stored"}


def test_a_reason_names_the_element_and_never_the_value(hub: worker.Worker) -> None:
    wrong = patient() | {"birthDate": "张三的生日"}
    hub.handle("ingest.0", [sealed([made(1, entry(wrong))])])
    with hub.engine.connect() as connection:
        reason = str(connection.scalar(sa.select(set_aside.c.reason)))
    assert "birthDate" in reason
    assert "张三" not in reason


def test_a_facility_cannot_write_into_another_ones_patient(hub: worker.Worker) -> None:
    hub.handle("ingest.0", [sealed([made(1, entry(patient()))])])
    hub.handle("ingest.0", [sealed([made(1, entry(result()))], "H02")])
    assert receipts(hub, "H02") == [(1, "set_aside")]
    assert count(hub, Resource) == 1


def test_a_facility_cannot_overwrite_another_ones_resource(hub: worker.Worker) -> None:
    hub.handle("ingest.0", [sealed([made(1, entry(patient()))])])
    hub.handle("ingest.0", [sealed([made(1, entry(patient(name="李四")))], "H02")])
    assert receipts(hub, "H02") == [(1, "set_aside")]


@pytest.mark.parametrize(
    "forged",
    [
        sealed([made(1, entry(patient()))], keys=STRANGER),
        sealed([made(1, entry(patient()))], user="H02"),
        replace(sealed([made(1, entry(patient()))]), route="H02.7"),
    ],
    ids=["signed by a stranger", "published by another user", "under another's route"],
)
def test_a_forged_envelope_is_dead_lettered_and_leaves_a_trace(hub: worker.Worker, forged: Delivery) -> None:
    assert hub.handle("ingest.0", [forged]) == {1}
    assert count(hub, Resource) == 0
    with hub.engine.connect() as connection:
        assert connection.scalars(sa.select(AuditEventRow.outcome)).all() == [4]


def test_an_envelope_cut_short_is_dead_lettered_and_its_sender_told(hub: worker.Worker) -> None:
    good = sealed([made(1, entry(patient())), made(2, entry(patient("p2")))])
    assert hub.handle("ingest.0", [replace(good, body=good.body[:-9])]) == {1}
    assert receipts(hub) == [(1, "refused"), (2, "refused")]
    hub.handle("ingest.0", [good])
    assert fates(hub) == {1: "stored", 2: "stored"}


def test_a_renewed_key_is_known_without_a_restart(hub: worker.Worker) -> None:
    hub.handle("ingest.0", [sealed([made(1, entry(patient()))])])
    with Session(hub.engine) as session, session.begin():
        put_facility(session, "H01", "H01", "", public_part(STRANGER))
    renewed = [sealed([made(n, entry(patient(f"p{n}")))], keys=STRANGER, tag=n) for n in (2, 3)]
    assert hub.handle("ingest.0", renewed) == set()
    assert fates(hub) == {1: "stored", 2: "stored", 3: "stored"}


def test_a_key_that_was_taken_away_is_not_trusted_for_long(
    hub: worker.Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.handle("ingest.0", [sealed([made(1, entry(patient()))])])
    with Session(hub.engine) as session, session.begin():
        put_facility(session, "H01", "H01", "", public_part(STRANGER))
    monkeypatch.setattr(opening, "MOST_AGE_S", 0)
    assert hub.handle("ingest.0", [sealed([made(2, entry(patient("p2")))])]) == {1}
    assert fates(hub) == {1: "stored"}


def test_a_hospital_with_unusable_keys_keeps_nobody_else_from_sending(hub: worker.Worker) -> None:
    spoil = sa.text("UPDATE facility SET jwks = '{\"keys\": []}' WHERE code = 'H02'")
    with hub.engine.begin() as connection:
        connection.execute(spoil)
    good = sealed([made(1, entry(patient()))])
    bad = sealed([made(1, entry(patient("q1")))], "H02", tag=2)
    assert hub.handle("ingest.0", [bad, good]) == {2}
    assert receipts(hub) == [(1, "stored")]


def test_bad_envelopes_of_one_hospital_do_not_hold_up_the_others(
    hub: worker.Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0

    def read() -> dict[str, Any]:
        nonlocal reads
        reads += 1
        return {code: public_part(keys) for code, keys in HOSPITALS.items()}

    steady = replace(hub, directory=Directory(read))
    for seq in range(1, 9):
        bad = sealed([made(seq, entry(patient()))], "H02", keys=STRANGER, tag=1)
        good = sealed([made(seq, entry(patient(f"p{seq}")))], tag=2)
        assert steady.handle("ingest.0", [bad, good]) == {1}
    assert set(fates(hub).values()) == {"stored"}
    assert reads == 2


def test_a_new_hospital_is_known_without_a_restart(hub: worker.Worker) -> None:
    hub.handle("ingest.0", [sealed([made(1, entry(patient()))])])
    with Session(hub.engine) as session, session.begin():
        put_facility(session, "H03", "H03", "", public_part(NEWCOMER))
    assert hub.handle("ingest.0", [sealed([made(1, entry(patient("p3")))], "H03", keys=NEWCOMER)]) == set()
    assert receipts(hub, "H03") == [(1, "stored")]


def test_a_hospital_that_nobody_registered_is_refused(hub: worker.Worker) -> None:
    hub.handle("ingest.0", [sealed([made(1, entry(patient()))])])
    batch = [sealed([made(n, entry(patient()))], "H03", keys=NEWCOMER, tag=n) for n in (1, 2, 3)]
    assert hub.handle("ingest.0", batch) == {1, 2, 3}


def test_the_newer_source_time_wins_whatever_arrives_first(hub: worker.Worker) -> None:
    newer = made(2, entry(patient(name="新名")), at=AT + timedelta(hours=1))
    hub.handle("ingest.0", [sealed([newer, made(3, entry(patient(name="旧名")))])])
    assert fates(hub) == {2: "stored", 3: "superseded"}
    with hub.engine.connect() as connection:
        assert "新名" in str(connection.scalar(sa.select(Resource.content)))


def test_a_mentioned_patient_does_not_overwrite_the_registered_one(hub: worker.Worker) -> None:
    hub.handle("ingest.0", [sealed([made(1, entry(patient(name="全名"), if_none_match=True))])])
    hub.handle("ingest.0", [sealed([made(2, entry(patient(name="登记名")))])])
    hub.handle("ingest.0", [sealed([made(3, entry(patient(name="全名"), if_none_match=True))])])
    with hub.engine.connect() as connection:
        assert "登记名" in str(connection.scalar(sa.select(Resource.content)))


def test_a_deletion_leaves_a_tombstone(hub: worker.Worker) -> None:
    hub.handle("ingest.0", [sealed([made(1, entry(patient()), entry(result()))])])
    later = AT + timedelta(minutes=1)
    hub.handle("ingest.0", [sealed([made(2, delete_entry("Observation", "o1"), at=later)])])
    with hub.engine.connect() as connection:
        assert connection.scalar(sa.select(Resource.deleted).where(Resource.type == "Observation")) is True


def test_a_merge_by_the_hospital_links_both_records_to_one_person(hub: worker.Worker) -> None:
    merge: list[dict[str, Any]] = [
        {"op": "add", "path": "/active", "value": False},
        {
            "op": "add",
            "path": "/link",
            "value": [{"other": {"reference": "Patient/p1"}, "type": "replaced-by"}],
        },
    ]
    requests = entry(patient("p2", "张三三"), if_none_match=True), patch_entry("Patient", "p2", merge)
    hub.handle("ingest.0", [sealed([made(1, entry(patient())), made(2, *requests, kind="ADT^A40")])])
    with hub.engine.connect() as connection:
        assert len(set(connection.scalars(sa.select(Identity.person_id)))) == 1


def test_an_encounter_opens_a_relation_of_its_hospital(hub: worker.Worker) -> None:
    encounter = {
        "resourceType": "Encounter",
        "id": "e1",
        "status": "in-progress",
        "class": {"code": "IMP"},
        "subject": {"reference": "Patient/p1"},
        "period": {"start": "2026-03-01T08:00:00+08:00"},
    }
    hub.handle("ingest.0", [sealed([made(1, entry(patient()), entry(encounter))])])
    with hub.engine.connect() as connection:
        assert connection.execute(sa.select(Relation.facility, Relation.cause)).all() == [
            ("H01", "Encounter/e1")
        ]
    hub.handle("ingest.0", [sealed([made(2, delete_entry("Encounter", "e1"), at=AT + timedelta(hours=1))])])
    assert count(hub, sa.select(Relation).where(Relation.until > Relation.opened_at).subquery()) == 0


@pytest.mark.parametrize(
    "said",
    [
        {"status": "finished", "period": {"start": "2026-01-01", "end": "9999-12-31"}},
        {"status": "in-progress", "period": {"start": "9999-12-31T23:59:59Z"}},
    ],
    ids=["end", "start"],
)
def test_an_encounter_whose_end_nobody_knows_is_stored(hub: worker.Worker, said: dict[str, Any]) -> None:
    encounter = {
        "resourceType": "Encounter",
        "id": "e1",
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/p1"},
    }
    hub.handle("ingest.0", [sealed([made(1, entry(patient()), entry(encounter | said))])])
    with hub.engine.connect() as connection:
        assert connection.scalar(sa.select(Relation.until)) == datetime(9999, 12, 31, tzinfo=UTC)


def test_while_the_database_is_away_nothing_is_acknowledged(hub: worker.Worker) -> None:
    away = Config.from_env({"HIE_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"})
    lonely = replace(hub, engine=sa.create_engine(away.database_url))
    with pytest.raises(NotNow):
        lonely.handle("ingest.0", [sealed([made(1, entry(patient()))])])


def test_a_queue_is_stored_by_one_process_at_a_time(hub: worker.Worker) -> None:
    with Session(hub.engine) as other, other.begin():
        worker._check_alone(other, "ingest.0")
        with pytest.raises(NotNow):
            hub.handle("ingest.0", [sealed([made(1, entry(patient()))])])
        assert hub.handle("ingest.1", [sealed([made(1, entry(patient()))])]) == set()


def fails_on(seq: int) -> Callable[..., None]:
    """The store with a bug that one entry meets."""

    def store(session: Session, items: Any, *more: Any) -> None:
        if any(item.entry.seq == seq for item in items):
            raise ZeroDivisionError
        storing.store_items(session, items, *more)

    return store


def test_a_bug_is_tried_again_and_then_set_aside(hub: worker.Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "store_items", fails_on(2))
    batch = [sealed([made(n, entry(patient(f"p{n}"))) for n in (1, 2, 3)])]
    for _ in range(2):
        with pytest.raises(NotNow):
            hub.handle("ingest.0", batch)
        assert count(hub, Resource) == 0
        with hub.engine.connect() as connection:
            assert connection.scalar(sa.select(attempt.c.last_error)) == "ZeroDivisionError"
    hub.handle("ingest.0", batch)
    assert fates(hub) == {1: "stored", 2: "set_aside", 3: "stored"}
    assert count(hub, attempt) == 0


def test_what_the_database_can_never_keep_does_not_stop_its_queue(hub: worker.Worker) -> None:
    with hub.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE set_aside ADD CHECK (reason NOT LIKE '%birthDate%')"))
    wrong = entry(patient("p2") | {"birthDate": "never"})
    entries = made(1, entry(patient())), made(2, wrong), made(3, entry(patient("p3")))
    for _ in range(2):
        with pytest.raises(NotNow):
            hub.handle("ingest.0", [sealed(entries)])
    hub.handle("ingest.0", [sealed(entries)])
    assert fates(hub) == {1: "stored", 2: "set_aside", 3: "stored"}


def test_a_limit_of_the_database_is_not_taken_for_its_absence(
    hub: worker.Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(session: Session, items: Any, *more: Any) -> None:
        if any(item.entry.seq == 2 for item in items):
            session.execute(sa.text("DO $$ BEGIN RAISE program_limit_exceeded; END $$"))
        storing.store_items(session, items, *more)

    monkeypatch.setattr(worker, "store_items", too_large)
    batch = [sealed([made(n, entry(patient(f"p{n}"))) for n in (1, 2)])]
    for _ in range(2):
        with pytest.raises(NotNow):
            hub.handle("ingest.0", batch)
    hub.handle("ingest.0", batch)
    assert fates(hub) == {1: "stored", 2: "set_aside"}


def test_large_entries_are_read_a_few_at_a_time_and_all_are_stored_in_order(
    hub: worker.Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = []

    def store(session: Session, items: Any, *more: Any) -> None:
        together.append([item.entry.seq for item in items])
        storing.store_items(session, items, *more)

    monkeypatch.setattr(worker, "store_items", store)
    size = len(made(1, entry(patient(name="名1"))).body())
    monkeypatch.setattr(worker, "MAX_READ_BYTES", 2 * size)
    entries = [made(n, entry(patient(name=f"名{n}")), at=AT + timedelta(minutes=n)) for n in range(1, 6)]
    hub.handle("ingest.0", [sealed([*entries, entries[0]])])
    assert together == [[1, 2], [3, 4], [5]]
    assert receipts(hub)[-1] == (5, "stored")
    assert count(hub, ResourceHistory) == 4


def test_an_entry_that_breaks_its_reader_is_set_aside(
    hub: worker.Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(facility: str, one: Entry) -> Any:
        if one.seq == 2:
            raise RecursionError
        return read_entry(facility, one)

    monkeypatch.setattr(worker, "read_entry", read)
    hub.handle("ingest.0", [sealed([made(n, entry(patient(f"p{n}"))) for n in (1, 2, 3)])])
    assert fates(hub) == {1: "stored", 2: "set_aside", 3: "stored"}


def test_an_envelope_that_breaks_its_reader_is_dead_lettered(
    hub: worker.Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpack(_plain: bytes) -> Any:
        raise RecursionError

    monkeypatch.setattr("hie.ingest.opening.unpack", unpack)
    assert hub.handle("ingest.0", [sealed([made(1, entry(patient()))])]) == {1}


def test_a_retry_notes_a_refused_envelope_once(hub: worker.Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    good = sealed([made(2, entry(patient()))])
    batch = [replace(sealed([made(1, entry(patient("p2")))]), body=b"cut"), replace(good, tag=2)]
    with monkeypatch.context() as patched:
        patched.setattr(worker, "store_items", fails_on(2))
        with pytest.raises(NotNow):
            hub.handle("ingest.0", batch)
    assert hub.handle("ingest.0", batch) == {1}
    assert receipts(hub) == [(2, "stored"), (1, "refused")]
    assert count(hub, AuditEventRow) == 2


def redriven(hub: worker.Worker, **how: Any) -> dict[str, int]:
    return redrive(sessionmaker(hub.engine), hub.config, by=system_actor("operator"), **how)


def test_what_can_never_be_stored_keeps_nothing_behind_it_from_a_redrive(
    hub: worker.Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_the_clock(seq: int, *requests: dict[str, Any]) -> None:
        hub.handle("ingest.0", [sealed([made(seq, *requests)])])

    for seq in range(1, 6):
        by_the_clock(seq, broken())
    with monkeypatch.context() as patched:
        patched.setattr(worker, "read_entry", lambda *_: 1 / 0)
        by_the_clock(6, entry(patient()))
    monkeypatch.setattr(redriving, "AT_ONCE", 2)
    assert redriven(hub, limit=3) == {"stored": 0, "refused": 3, "left": 6}
    assert redriven(hub, facility="H02") == {"stored": 0, "refused": 0, "left": 0}
    assert redriven(hub, limit=-1) == {"stored": 0, "refused": 0, "left": 6}
    assert redriven(hub) == {"stored": 1, "refused": 5, "left": 5}
    with hub.engine.connect() as connection:
        who = sa.select(AuditEventRow.actor).where(AuditEventRow.operation == "redrive").distinct()
        assert connection.scalars(who).all() == ["operator"]


def test_a_repeat_of_what_was_set_aside_is_told_why_again(hub: worker.Worker) -> None:
    for _ in range(2):
        hub.handle("ingest.0", [sealed([made(1, broken())])])
    with hub.engine.connect() as connection:
        payloads = connection.scalars(sa.select(outbox.c.payload).order_by(outbox.c.seq)).all()
    first, again = (orjson.loads(inflate(payload))[0] for payload in payloads)
    assert (again["fate"], again["reason"]) == ("set_aside", first["reason"])
    assert "status" in again["reason"]


def test_what_was_set_aside_is_stored_by_a_redrive(
    hub: worker.Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(worker, "store_items", fails_on(1))
        for _ in range(2):
            with pytest.raises(NotNow):
                hub.handle("ingest.0", [sealed([made(1, entry(patient()))])])
        hub.handle("ingest.0", [sealed([made(1, entry(patient()))])])
    hub.handle("ingest.0", [sealed([made(2, broken())])])
    assert redriven(hub) == {"stored": 1, "refused": 1, "left": 1}
    assert receipts(hub)[-1] == (1, "stored")
    assert fates(hub) == {1: "stored", 2: "set_aside"}
    assert count(hub, Resource) == 1


def test_an_entry_that_breaks_again_does_not_end_the_redrive(
    hub: worker.Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(worker, "read_entry", lambda *_: 1 / 0)
        hub.handle("ingest.0", [sealed([made(n, entry(patient(f"p{n}"))) for n in (1, 2, 3)])])

    def store(session: Session, items: Any, *more: Any) -> None:
        if items[0].entry.seq == 2:
            raise psycopg.errors.ProgramLimitExceeded
        storing.store_items(session, items, *more)

    monkeypatch.setattr("hie.ingest.redrive.store_items", store)
    assert redriven(hub) == {"stored": 2, "refused": 1, "left": 1}
    assert fates(hub) == {1: "stored", 2: "set_aside", 3: "stored"}


def test_a_status_that_comes_alone_leaves_the_value_of_a_result(hub: worker.Worker) -> None:
    final = [{"op": "replace", "path": "/status", "value": "final"}]
    unknown = result() | {"status": "final"}
    unknown["dataAbsentReason"] = {"text": "unknown"}
    del unknown["valueQuantity"]
    first = made(1, entry(patient()), entry(result() | {"status": "preliminary"}))
    later = made(2, entry(unknown, if_none_match=True), patch_entry("Observation", "o1", final))
    hub.handle("ingest.0", [sealed([first, later])])
    assert fates(hub) == {1: "stored", 2: "stored"}
    with hub.engine.connect() as connection:
        stored = str(connection.scalar(sa.select(Resource.content).where(Resource.type == "Observation")))
    assert orjson.loads(stored)["status"] == "final"
    assert '"value":5.30' in stored
