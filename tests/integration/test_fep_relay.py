"""The link to the hub over a real RabbitMQ: records arrive, receipts come back, absence is survived."""

import json
import socket
import threading
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import orjson
import pika
import pytest
import sqlalchemy as sa

from deploy.stack.rabbitmq import Broker
from esb.consumer import Consumer
from esb.envelope import Entry, deflate, unpack
from esb.publisher import Publisher
from esb.relay import Sender, claims_of, envelope
from esb.seal import generate_keys, load_keys, load_public, open_sealed, public_part
from esb.topology import DEAD_QUEUE, HUB_USER, RECEIPTS, definitions
from front_end_processor.app import Processor
from front_end_processor.cache.tables import message, outbox
from front_end_processor.console.filters import Filters
from front_end_processor.pipeline.relay import prune_old
from tests.fep_world import adt, capture, processor, rows, settings, until

HUB = generate_keys("hub")
WORDS = {HUB_USER: "hub-word", "H01": "one-word"}


@pytest.fixture(scope="module")
def bus(broker: Broker) -> Broker:
    """The broker with the topology of a region of one hospital."""
    body = definitions(WORDS | {"admin": broker.password}, admin="admin", ingest_queues=1)
    body["users"] = [user for user in body["users"] if user["name"] != "admin"]
    broker.management.call("POST", "definitions", body)
    with pika.BlockingConnection(pika.URLParameters(broker.url())) as connection:
        for queue in ("ingest.0", DEAD_QUEUE, "receipts.H01"):
            connection.channel().queue_purge(queue)
    return broker


@pytest.fixture
def fep(bus: Broker, tmp_path) -> Iterator[Processor]:
    """A processor that knows the hub's public keys and the broker."""
    settings(tmp_path)
    (tmp_path / "keys" / "hub.public.jwks").write_text(json.dumps(public_part(HUB)))
    with processor(tmp_path, FEP_AMQP_URL=bus.url("H01", "one-word")) as made:
        yield made


class Hub:
    """The other side: opens what arrives and answers with a receipt each."""

    def __init__(
        self,
        bus: Broker,
        fep: Processor,
        fates: dict[str, tuple[str, str | None]] | None = None,
        *,
        suite: str = "intl",
    ) -> None:
        self._suite = suite
        self.ciphers: set[str] = set()
        public = orjson.loads((fep.config.key_dir / "own.public.jwks").read_bytes())
        self._hospital = load_public(public)
        self._fates = fates or {}
        self.entries: list[Entry] = []
        self._stopping = threading.Event()
        self._publisher = Publisher(bus.url(HUB_USER, "hub-word"), name="test hub out")
        self._consumer = Consumer(
            bus.url(HUB_USER, "hub-word"), name="test hub in", own=["ingest.0"], handle=self._handle
        )
        self._thread = threading.Thread(target=self._consumer.run, args=(self._stopping,))

    def __enter__(self) -> "Hub":
        self._publisher.start()
        assert self._publisher.wait_connected(20)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(20)
        self._publisher.stop()

    def _handle(self, _queue, batch):
        receipts = []
        for delivery in batch:
            claims = claims_of("H01", delivery.route, delivery.properties.message_id)
            signature = delivery.properties.headers["signature"]
            plain = open_sealed(delivery.body, signature, claims, sender=self._hospital, own=load_keys(HUB))
            self.ciphers.add(cipher_of(delivery.body))
            for entry in unpack(plain):
                self.entries.append(entry)
                fate, reason = self._fates.get(entry.kind, ("stored", None))
                receipts.append({"epoch": entry.epoch, "seq": entry.seq, "fate": fate, "reason": reason})
        now = datetime.now(UTC)
        body = Entry(1, 1, now, "receipts", deflate(orjson.dumps(receipts)))
        sender = Sender(HUB_USER, load_keys(HUB), lambda _route: self._hospital, self._suite)
        assert all(self._publisher.send([envelope(sender, RECEIPTS, "H01", [body], now)]))
        return set()


def cipher_of(token: bytes) -> str:
    """Return the content cipher that the header of a JWE names."""
    return str(orjson.loads(urlsafe_b64decode(token.partition(b".")[0] + b"=="))["enc"])


@pytest.mark.parametrize(("suite", "other", "cipher"), [("intl", "sm", "A256GCM"), ("sm", "intl", "SM4GCM")])
def test_each_side_seals_by_its_own_suite_and_opens_both(bus, tmp_path, suite, other, cipher):
    settings(tmp_path)
    (tmp_path / "keys" / "hub.public.jwks").write_text(json.dumps(public_part(HUB)))
    with processor(tmp_path, FEP_AMQP_URL=bus.url("H01", "one-word"), FEP_SUITE=suite) as fep:
        fep.link.start()
        with Hub(bus, fep, suite=other) as hub:
            capture(fep, adt("A1"))
            until(lambda: unsettled(fep) == 0)
    assert hub.ciphers == {cipher}


def unsettled(fep: Processor) -> int:
    return sum(row.settled_at is None for row in rows(fep, outbox))


def test_what_the_hub_cannot_open_shows_why_and_is_kept_for_the_next_time(fep, bus):
    fep.link.start()
    unknown = "The envelope's signature does not verify with the sender's key."
    with Hub(bus, fep, {"ADT^A01": ("refused", unknown)}):
        sent = capture(fep, adt("A1"))
        until(lambda: any(row.reason for row in rows(fep, outbox)))
    line = fep.console.one(sent.seq, Filters()).line
    assert (line.fate, line.reason) == ("sent", unknown)
    assert unsettled(fep) == 1


def test_what_was_captured_reaches_the_hub_in_order_and_is_settled(fep, bus):
    fep.link.start()
    with Hub(bus, fep) as hub:
        for number in range(30):
            capture(fep, adt(f"A{number}"))
        until(lambda: unsettled(fep) == 0)
    assert [entry.seq for entry in hub.entries] == sorted(row.seq for row in rows(fep, outbox))
    assert {row.fate for row in rows(fep, outbox)} == {"stored"}


def test_what_the_hub_sets_aside_shows_its_reason(fep, bus):
    fep.link.start()
    with Hub(bus, fep, {"ADT^A03": ("set_aside", "Encounter.status: is required")}):
        capture(fep, adt("A1"))
        refused = capture(fep, adt("A2", event="A03"))
        until(lambda: unsettled(fep) == 0)
    line = fep.console.one(refused.seq, Filters()).line
    assert (line.fate, line.reason) == ("hub_set_aside", "Encounter.status: is required")


def test_captured_while_hub_and_broker_are_away_it_arrives_when_they_are_back(bus, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = probe.getsockname()[1]
    settings(tmp_path)
    (tmp_path / "keys" / "hub.public.jwks").write_text(json.dumps(public_part(HUB)))
    with processor(tmp_path, FEP_AMQP_URL=f"amqp://H01:x@127.0.0.1:{nobody}/hie") as fep:
        fep.link.start()
        assert capture(fep, adt("A1")).fate == "captured"
        assert not fep.broken()
    with processor(tmp_path, FEP_AMQP_URL=bus.url("H01", "one-word")) as fep:
        fep.link.start()
        with Hub(bus, fep) as hub:
            until(lambda: unsettled(fep) == 0)
    assert len(hub.entries) == 1


@pytest.mark.parametrize("part", ["relay", "publisher"])
def test_a_relay_or_publisher_that_ended_by_itself_is_noticed(fep, monkeypatch, part):
    monkeypatch.setattr(threading, "excepthook", lambda _args: None)

    def broken(*_: object) -> None:
        raise TimeoutError

    if part == "relay":
        fep.link._relay._step = broken
    else:
        fep.link.publisher._connect_once = broken
        fep.link.publisher._ready.set()
    fep.link.start()
    until(fep.link.dead_thread)
    assert fep.link.dead_thread() == part


def test_a_forged_receipt_settles_nothing(fep, bus):
    fep.link.start()
    capture(fep, adt("A1"))
    until(lambda: all(row.confirmed_at for row in rows(fep, outbox)))
    (row,) = rows(fep, outbox)
    stranger = generate_keys("hub")
    public = load_public(orjson.loads((fep.config.key_dir / "own.public.jwks").read_bytes()))
    receipts = orjson.dumps([{"epoch": row.epoch, "seq": row.seq, "fate": "stored", "reason": None}])
    now = datetime.now(UTC)
    body = Entry(1, 1, now, "receipts", deflate(receipts))
    sender = Sender(HUB_USER, load_keys(stranger), lambda _route: public)
    publisher = Publisher(bus.url(HUB_USER, "hub-word"), name="forger")
    publisher.start()
    assert publisher.wait_connected(20)
    assert all(publisher.send([envelope(sender, RECEIPTS, "H01", [body], now)]))
    publisher.stop()
    with pika.BlockingConnection(pika.URLParameters(bus.url())) as connection:
        channel = connection.channel()
        until(lambda: channel.queue_declare("receipts.H01", passive=True).method.message_count == 0)
    assert unsettled(fep) == 1


def test_old_messages_go_once_the_hub_has_them_and_set_aside_ones_stay(tmp_path):
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    with processor(tmp_path) as fep:
        for number in range(3):
            capture(fep, adt(f"A{number}"))
        capture(fep, adt("A9", event="Z99"))
        with fep.cache.writing() as connection:
            connection.execute(sa.update(message).values(received_at=long_ago))
            settled = sa.update(outbox).where(outbox.c.seq < 3)
            connection.execute(settled.values(settled_at=long_ago, fate="stored"))
        assert prune_old(fep.cache.transact, long_ago + timedelta(days=1)) == 4
        assert [row.control_id for row in rows(fep)] == ["A2", "A9"]
        assert len(rows(fep, outbox)) == 1
