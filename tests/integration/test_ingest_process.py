"""The ingest process between a real broker and a real database, as a hospital sees it."""

import os
import signal
import subprocess
import sys
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pika
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from deploy.stack.rabbitmq import Broker
from esb.declare import declare
from esb.envelope import Entry, deflate, unpack
from esb.fhir.bundles import entry, transaction
from esb.publisher import Publisher
from esb.relay import Sender, claims_of, envelope
from esb.seal import generate_keys, load_keys, load_public, open_sealed, public_part
from esb.topology import DEAD_QUEUE, HUB_USER, RECORDS, definitions, ingest_queue, receipt_queue
from hie.config import Config
from hie.directory.facilities import put_facility
from hie.ingest.process import CHORES_LOCK, Chores
from hie.schema import AuditEventRow, Resource
from hie.schema.exchange import inbox, set_aside

AT = datetime(2026, 3, 1, 8, tzinfo=UTC)
QUEUES = 2
WORD = "one-word"
HOSPITAL, HUB = generate_keys("H01"), generate_keys("hub")
SENDER = Sender("H01", load_keys(HOSPITAL), lambda _route: load_public(public_part(HUB)))


@pytest.fixture
def bus(broker: Broker) -> Broker:
    """The broker with the exchange's topology, all queues empty."""
    body = definitions({"admin": "", HUB_USER: "hub-word", "H01": WORD}, admin="admin", ingest_queues=QUEUES)
    body["users"] = [user for user in body["users"] if user["name"] != "admin"]
    broker.management.call("POST", "definitions", body)
    with pika.BlockingConnection(pika.URLParameters(broker.url())) as connection:
        for queue in (*map(ingest_queue, range(QUEUES)), DEAD_QUEUE, receipt_queue("H01")):
            connection.channel().queue_purge(queue)
    return broker


@pytest.fixture
def engine(fresh_database_url: str) -> Iterator[sa.Engine]:
    """A hub database that knows H01."""
    made = sa.create_engine(fresh_database_url)
    with Session(made) as session, session.begin():
        put_facility(session, "H01", "H01", "", public_part(HOSPITAL))
        session.execute(sa.delete(AuditEventRow))
    yield made
    made.dispose()


@pytest.fixture
def start(
    bus: Broker, fresh_database_url: str, tmp_path: Path
) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts ingest processes; ends them afterwards."""
    (tmp_path / "hub.jwks").write_bytes(orjson.dumps(HUB))
    env = os.environ | {
        "HIE_DATABASE_URL": fresh_database_url,
        "HIE_AMQP_URL": bus.url(HUB_USER, "hub-word"),
        "HIE_KEY_DIR": str(tmp_path),
        "HIE_QUEUES": str(QUEUES),
    }
    started: list[subprocess.Popen[bytes]] = []

    def launch(**more: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-m", "hie", "ingest"], env=env | more)
        started.append(process)
        return process

    yield launch
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def publisher(bus: Broker) -> Iterator[Publisher]:
    """The publisher of H01."""
    made = Publisher(bus.url("H01", WORD), name="test H01")
    made.start()
    assert made.wait_connected(20)
    yield made
    made.stop()


def publish(publisher: Publisher, first: int, count: int, sender: Sender = SENDER) -> None:
    """Publish so many entries, five to an envelope, over both queues."""
    entries = []
    for seq in range(first, first + count):
        patient = {"resourceType": "Patient", "id": f"p{seq}", "name": [{"text": f"病人{seq}"}]}
        entries.append(Entry(1, seq, AT, "ADT^A01", deflate(orjson.dumps(transaction([entry(patient)])))))
    batches = [entries[n : n + 5] for n in range(0, count, 5)]
    messages = [envelope(sender, RECORDS, f"H01.{n % 64}", batch, AT) for n, batch in enumerate(batches)]
    assert all(publisher.send(messages))


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.05)


def rows(engine: sa.Engine, table: object) -> int:
    with engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0  # type: ignore[arg-type]


def receipts(bus: Broker, wanted: int, ciphers: set[str] | None = None) -> list[tuple[int, str]]:
    """Take receipts from H01's queue until so many entries are stored.

    A batch that waited for the database may be answered again as duplicate: allowed, and no news.
    """
    found: set[tuple[int, str]] = set()
    own, hub = load_keys(HOSPITAL), load_public(public_part(HUB))
    with pika.BlockingConnection(pika.URLParameters(bus.url("H01", WORD))) as connection:
        for method, properties, body in connection.channel().consume(
            receipt_queue("H01"), auto_ack=True, inactivity_timeout=20
        ):
            assert method is not None, "no more receipts came"
            claims = claims_of(HUB_USER, "H01", properties.message_id)
            if ciphers is not None:
                ciphers.add(orjson.loads(urlsafe_b64decode(body.partition(b".")[0] + b"=="))["enc"])
            plain = open_sealed(body, properties.headers["signature"], claims, sender=hub, own=own)
            answers = [one for part in unpack(plain) for one in orjson.loads(part.body())]
            found |= {(one["seq"], one["fate"]) for one in answers if one["fate"] != "duplicate"}
            if len(found) >= wanted:
                return sorted(found)
    return sorted(found)


def test_entries_are_stored_and_their_receipts_come_back(
    bus: Broker, engine: sa.Engine, publisher: Publisher, start: Callable[[], object]
) -> None:
    start()
    publish(publisher, 1, 100)
    assert sorted(receipts(bus, 100)) == [(seq, "stored") for seq in range(1, 101)]
    assert rows(engine, Resource) == 100


def test_nothing_is_lost_or_doubled_when_the_process_is_killed(
    bus: Broker, engine: sa.Engine, publisher: Publisher, start: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    process = start()
    for begin in range(0, 1500, 500):
        publish(publisher, begin + 1, 500)
        until(lambda wanted=begin: rows(engine, inbox) > wanted)  # type: ignore[misc]
        process.kill()
        process.wait()
        process = start()
    until(lambda: rows(engine, inbox) == 1500)
    assert rows(engine, Resource) == 1500
    assert rows(engine, AuditEventRow) == 1500


def test_the_process_stops_when_asked(
    bus: Broker, engine: sa.Engine, start: Callable[[], "subprocess.Popen[bytes]"], publisher: Publisher
) -> None:
    process = start()
    publish(publisher, 1, 5)
    until(lambda: rows(engine, inbox) == 5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0


def test_the_hub_answers_by_the_suite_its_operator_chose(
    engine: sa.Engine, bus: Broker, publisher: Publisher, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    start(HIE_SUITE="sm")
    publish(publisher, 1, 1, replace(SENDER, suite="sm"))
    ciphers: set[str] = set()
    assert receipts(bus, 1, ciphers) == [(1, "stored")]
    assert ciphers == {"SM4GCM"}
    assert rows(engine, inbox) == 1


def test_the_topology_of_a_new_facility_is_declared_over_amqp(bus: Broker) -> None:
    declare(bus.url(), ["H01", "H77"], QUEUES)
    declare(bus.url(), ["H01", "H77"], QUEUES)
    with pika.BlockingConnection(pika.URLParameters(bus.url())) as connection:
        assert (
            connection.channel().queue_declare(receipt_queue("H77"), passive=True).method.message_count == 0
        )


def test_a_leader_that_the_database_refuses_gives_its_lead_away(engine: sa.Engine) -> None:
    class Refused(Chores):
        def _lead(self, connection: sa.Connection, stopping: threading.Event) -> None:
            stopping.set()
            connection.execute(sa.text("SELECT 1/0"))

    config = Config.from_env({"HIE_DATABASE_URL": engine.url.render_as_string(hide_password=False)})
    chores = Refused(config, engine, SENDER, name="test")
    stopping = threading.Event()
    chores.start(stopping)
    chores.join()
    with sa.create_engine(engine.url).connect() as other:
        lock = sa.select(sa.func.pg_try_advisory_lock(CHORES_LOCK))
        until(lambda: other.scalar(lock) is True, 10)
        other.invalidate()


def test_what_was_taken_in_long_ago_is_forgotten_unless_it_is_still_set_aside(engine: sa.Engine) -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)
    kept = {"facility": "H01", "epoch": 1, "kind": "ADT^A01"}
    aside = {"payload": b"", "reason": "why", "source_at": AT, "at": AT}
    with engine.begin() as connection:
        for seq, fate, at in ((1, "stored", AT), (2, "set_aside", AT), (3, "stored", AT), (4, "stored", now)):
            connection.execute(inbox.insert(), kept | {"seq": seq, "fate": fate, "received_at": at})
        connection.execute(set_aside.insert(), kept | aside | {"seq": 2, "redriven_at": None})
        connection.execute(set_aside.insert(), kept | aside | {"seq": 3, "redriven_at": AT})
    config = Config.from_env({"HIE_DATABASE_URL": engine.url.render_as_string(hide_password=False)})
    Chores(config, engine, SENDER, name="test").forget(now, threading.Event())
    with engine.connect() as connection:
        assert connection.scalars(sa.select(inbox.c.seq).order_by(inbox.c.seq)).all() == [2, 4]
        assert connection.scalars(sa.select(set_aside.c.seq)).all() == [2]


def test_a_lead_is_given_away_only_when_its_sealing_has_ended(
    engine: sa.Engine, bus: Broker, monkeypatch
) -> None:
    monkeypatch.setattr("hie.ingest.process.SEAL_EVERY_S", 0.01)
    monkeypatch.setattr("hie.ingest.process.CHORES_EVERY_S", 0.01)
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def sealing(_engine: sa.Engine, _wait: object) -> int:
        begun.set()
        may_end.wait(20)
        ended.set()
        return 0

    monkeypatch.setattr("hie.ingest.process.seal_audit", sealing)
    config = Config.from_env(
        {
            "HIE_DATABASE_URL": engine.url.render_as_string(hide_password=False),
            "HIE_AMQP_URL": bus.url(HUB_USER, "hub-word"),
        }
    )
    chores = Chores(config, engine, SENDER, name="test")
    stopping = threading.Event()
    with engine.connect() as connection:
        lead = threading.Thread(target=chores._lead, args=(connection, stopping))
        lead.start()
        assert begun.wait(20)
        stopping.set()
        until(lambda: chores._relay is None, 20)
        assert lead.is_alive() and not ended.is_set()
        may_end.set()
        lead.join(20)
    assert ended.is_set() and not lead.is_alive()
