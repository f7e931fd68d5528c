"""The road between an outbox and the other side's handler, over a real RabbitMQ."""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pika
import pytest
import sqlalchemy as sa
from pika.exceptions import ChannelClosedByBroker
from structlog.testing import capture_logs

from deploy.stack.rabbitmq import Broker
from esb.consumer import Consumer
from esb.envelope import Entry, deflate, unpack
from esb.errors import NotNow
from esb.outbox import Receipt, backlog, due, mark_confirmed, mark_settled, outbox_table, prune
from esb.publisher import Message, Publisher
from esb.relay import MAX_ROWS, Held, Sender, claims_of, envelope, relay_once
from esb.seal import NotTrusted, generate_keys, load_keys, load_public, open_sealed, public_part
from esb.topology import DEAD_QUEUE, HUB_USER, RECORDS, definitions, record_route

AT = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = {"admin": "", HUB_USER: "hub-word", "H01": "one-word", "H02": "two-word"}
HOSPITAL, HUB = generate_keys("H01"), generate_keys("hub")
SENDER = Sender("H01", load_keys(HOSPITAL), lambda _route: load_public(public_part(HUB)))


@pytest.fixture(scope="module")
def bus(broker: Broker) -> Broker:
    """The broker with the exchange's topology: two ingest queues, two hospitals."""
    words = WORDS | {"admin": broker.password}
    body = definitions(words, admin="admin", ingest_queues=2)
    body["users"] = [user for user in body["users"] if user["name"] != "admin"]
    broker.management.call("POST", "definitions", body)
    return broker


@pytest.fixture
def empty_bus(bus: Broker) -> Iterator[Broker]:
    """The same with all queues empty."""
    with pika.BlockingConnection(pika.URLParameters(bus.url())) as connection:
        for queue in ("ingest.0", "ingest.1", DEAD_QUEUE, "receipts.H01"):
            connection.channel().queue_purge(queue)
    yield bus


@pytest.fixture
def publisher(empty_bus: Broker) -> Iterator[Publisher]:
    """A connected publisher of H01."""
    made = Publisher(empty_bus.url("H01", "one-word"), name="test H01")
    made.start()
    assert made.wait_connected(20)
    yield made
    made.stop()


@pytest.fixture
def cache(tmp_path) -> Iterator[sa.Engine]:
    """A SQLite database with an outbox, as a front-end processor has."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/cache.db")
    yield engine
    engine.dispose()


@pytest.fixture
def outbox(cache: sa.Engine) -> sa.Table:
    """The outbox table in the cache."""
    metadata = sa.MetaData()
    table = outbox_table(metadata)
    metadata.create_all(cache)
    return table


def plain(route: str, number: int, size: int = 10) -> Message:
    return Message(RECORDS, route, b"%d" % number + bytes(size), {"message_id": str(number)})


def write(cache: sa.Engine, outbox: sa.Table, count: int, route: str = "H01.0") -> None:
    row = {
        "epoch": 1,
        "exchange": RECORDS,
        "route": route,
        "kind": "ADT^A01",
        "source_at": AT,
        "created_at": AT,
    }
    with cache.begin() as connection:
        connection.execute(outbox.insert(), [row | {"payload": deflate(b"{}")} for _ in range(count)])


def transact_on(cache: sa.Engine) -> Callable:
    def transact(work):
        with cache.begin() as connection:
            return work(connection)

    return transact


def relay(cache, outbox, publisher, *, now=AT, settle=False, held=None, sender=SENDER):
    return relay_once(
        transact_on(cache),
        outbox,
        publisher,
        sender,
        now=now,
        resend_after=timedelta(minutes=1),
        settle_on_confirm=settle,
        held=held,
    )


def consume(bus: Broker, handle, until: Callable[[], bool], *, own=("ingest.0", "ingest.1"), **more) -> None:
    """Run a consumer until something holds, at most twenty seconds."""
    stopping = threading.Event()
    consumer = Consumer(bus.url(HUB_USER, "hub-word"), name="test hub", own=own, handle=handle, **more)
    thread = threading.Thread(target=consumer.run, args=(stopping,))
    thread.start()
    deadline = time.monotonic() + 20
    try:
        while not until():
            assert time.monotonic() < deadline, "the consumer did not get there"
            time.sleep(0.01)
    finally:
        stopping.set()
        thread.join(timeout=20)


def test_messages_of_a_partition_arrive_in_the_order_they_were_sent(empty_bus, publisher):
    assert all(publisher.send([plain("H01.0", n) for n in range(2500)]))
    seen: list[bytes] = []

    def handle(_queue, batch):
        seen.extend(d.body.rstrip(b"\0") for d in batch)
        return set()

    consume(empty_bus, handle, lambda: len(seen) >= 2500)
    assert seen == [b"%d" % n for n in range(2500)]


def test_a_message_without_a_queue_is_not_called_sent(empty_bus):
    anybody = Publisher(empty_bus.url(), name="test admin")
    anybody.start()
    assert anybody.wait_connected(20)
    assert anybody.send([plain("H01.0", 1), plain("nowhere", 2), plain("H01.1", 3)]) == [True, False, True]
    anybody.stop()


def test_nothing_is_called_sent_while_the_broker_is_away():
    away = Publisher("amqp://a:b@127.0.0.1:1/hie", name="nobody")
    away.start()
    assert away.send([plain("H01.0", 1)]) == [False]
    away.stop()


def test_a_batch_that_meets_the_end_of_the_connection_is_given_back_at_once(publisher):
    loop = publisher._connection.ioloop
    # The loop ends before it comes to the batch.
    loop_add = loop.add_callback_threadsafe
    loop.add_callback_threadsafe = lambda _enter: loop_add(publisher._close)
    begun = time.monotonic()
    assert publisher.send([plain("H01.0", 1)]) == [False]
    assert time.monotonic() - begun < 10
    assert publisher.wait_connected(20)
    assert publisher.send([plain("H01.0", 1)]) == [True]


def test_a_connection_that_confirms_nothing_any_more_is_given_up_for_a_new_one(empty_bus, monkeypatch):
    monkeypatch.setattr("esb.publisher.QUIET_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        deaf = threading.Event()
        threading.Thread(target=pass_on, args=(listener, empty_bus.ports.amqp, deaf), daemon=True).start()
        url = empty_bus.url("H01", "one-word").replace(
            f":{empty_bus.ports.amqp}/", f":{listener.getsockname()[1]}/"
        )
        behind = Publisher(url, name="test H01 behind a proxy")
        behind.start()
        assert behind.wait_connected(20)
        assert behind.send([plain("H01.0", 1)]) == [True]
        deaf.set()
        assert behind.send([plain("H01.0", 2)], timeout_s=30) == [False]
        deaf.clear()
        assert behind.wait_connected(20)
        assert behind.send([plain("H01.0", 3)], timeout_s=30) == [True]
        behind.stop()


def pass_on(listener: socket.socket, port: int, deaf: threading.Event) -> None:
    """Connect whoever comes to the broker; while `deaf`, what the broker says is lost for that connection."""

    def serve(near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", port)) as far:
            is_lost = False
            while True:
                for source in select.select([near, far], [], [])[0]:
                    octets = source.recv(65536)
                    if not octets:
                        return
                    is_lost = is_lost or (source is far and deaf.is_set())
                    if source is near:
                        far.sendall(octets)
                    elif not is_lost:
                        near.sendall(octets)

    with contextlib.suppress(OSError):
        while True:
            near, _ = listener.accept()
            threading.Thread(target=serve, args=(near,), daemon=True).start()


def test_another_hospitals_key_is_refused_by_the_broker(empty_bus):
    with pika.BlockingConnection(pika.URLParameters(empty_bus.url("H02", "two-word"))) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        with pytest.raises(ChannelClosedByBroker) as refused:
            channel.basic_publish(RECORDS, "H01.0", b"forged")
        assert refused.value.reply_code == 403
        channel = connection.channel()
        channel.confirm_delivery()
        with pytest.raises(ChannelClosedByBroker) as refused:
            channel.basic_publish(RECORDS, "H02.0", b"forged", pika.BasicProperties(user_id="H01"))
        assert refused.value.reply_code == 406
        with pytest.raises(ChannelClosedByBroker) as refused:
            next(connection.channel().consume("receipts.H01", inactivity_timeout=1))
        assert refused.value.reply_code == 403


def test_a_batch_that_cannot_be_handled_now_waits_in_order(empty_bus, publisher):
    publisher.send([plain("H01.0", n) for n in range(20)])
    seen, refusals = [], iter([True, True, False])

    def handle(_queue, batch):
        if next(refusals, False):
            raise NotNow
        seen.extend(d.body.rstrip(b"\0") for d in batch)
        return set()

    consume(empty_bus, handle, lambda: len(seen) >= 20)
    assert seen == [b"%d" % n for n in range(20)]


def test_a_poisoned_message_goes_to_the_dead_letters_and_the_others_go_on(empty_bus, publisher):
    publisher.send([plain("H01.0", n) for n in range(10)])
    seen = []

    def handle(_queue, batch):
        poison = {d.tag for d in batch if d.body.startswith(b"4")}
        seen.extend(d.body.rstrip(b"\0") for d in batch if d.tag not in poison)
        return poison

    consume(empty_bus, handle, lambda: len(seen) >= 9)
    dead = []

    def bury(_queue, batch):
        dead.extend(d.body.rstrip(b"\0") for d in batch)
        return set()

    consume(empty_bus, bury, lambda: bool(dead), own=(DEAD_QUEUE,))
    assert dead == [b"4"]
    assert b"4" not in seen


def test_after_an_abnormal_end_the_next_batch_is_one_message(empty_bus, publisher):
    publisher.send([plain("H01.0", n) for n in range(30)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda _args: None)
        crashed = threading.Event()

        def crash(_queue, _batch):
            crashed.set()
            raise MemoryError

        consume(empty_bus, crash, crashed.is_set)
    sizes: list[int] = []

    def handle(_queue, batch):
        sizes.append(len(batch))
        return set()

    consume(empty_bus, handle, lambda: sum(sizes) >= 30)
    assert sizes[0] == 1


class Pauses(threading.Event):
    """Notes how long somebody would wait, and ends it after some times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.noted: list[float] = []
        self._times = times

    def wait(self, timeout=None):
        self.noted.append(timeout)
        if len(self.noted) == self._times:
            self.set()
        return self.is_set()


def test_a_queue_that_is_not_there_is_asked_for_ever_more_seldom(empty_bus):
    stopping = Pauses(6)
    with capture_logs() as logged:
        consumer = Consumer(empty_bus.url(), name="test", own=["ingest.none"], handle=lambda *_: set())
        consumer.run(stopping)
    assert stopping.noted == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0]
    assert "no queue 'ingest.none'" in logged[-1]["reason"]


def test_a_right_that_is_missing_is_asked_for_ever_more_seldom(empty_bus, monkeypatch):
    monkeypatch.setattr("esb.publisher.random.uniform", lambda *_: 1)
    rightless = Publisher(empty_bus.url("H02", "two-word"), name="test H02")
    rightless._stopping = stopping = Pauses(4)
    rightless.start()
    while not stopping.is_set():
        rightless.wait_connected(0.05)
        rightless.send([plain("H01.0", 1)])
    rightless.stop()
    assert stopping.noted == [0.2, 0.4, 0.8, 1.6]


def test_a_queue_whose_consumer_is_gone_is_taken_over(empty_bus, publisher, monkeypatch):
    monkeypatch.setattr("esb.consumer.TAKE_OVER_AFTER_S", 0.5)
    publisher.send([plain("H01.1", 1)])
    seen = []

    def handle(queue, batch):
        seen.append((queue, len(batch)))
        return set()

    consume(empty_bus, handle, lambda: bool(seen), own=("ingest.0",), stand_in_for=("ingest.1",))
    assert {queue for queue, _ in seen} == {"ingest.1"}


def test_a_queue_that_was_made_again_is_consumed_again(empty_bus, publisher, monkeypatch):
    monkeypatch.setattr("esb.consumer.REOPEN_AFTER_S", 0.5)
    monkeypatch.setattr("esb.consumer.RENEW_AFTER_S", 2.0)
    publisher.send([plain("H01.0", 1)])
    seen = []

    def handle(_queue, batch):
        seen.extend(delivery.body[:1] for delivery in batch)
        return set()

    def is_back() -> bool:
        if seen == [b"1"]:
            with pika.BlockingConnection(pika.URLParameters(empty_bus.url())) as connection:
                connection.channel().queue_delete("ingest.0")
            body = definitions(WORDS, admin="admin", ingest_queues=2)
            body["users"] = []
            empty_bus.management.call("POST", "definitions", body)
            publisher.send([plain("H01.0", 2)])
            seen.append(b"again")
        return seen[-1:] == [b"2"]

    consume(empty_bus, handle, is_back, own=("ingest.0",))
    assert seen == [b"1", b"again", b"2"]


def test_what_arrives_while_another_queue_is_handled_is_not_asked_for_again(
    empty_bus, publisher, monkeypatch
):
    """Asked for again, it would come as redelivered, and be handled one message at a time."""
    monkeypatch.setattr("esb.consumer.REOPEN_AFTER_S", 0.3)
    monkeypatch.setattr("esb.consumer.RENEW_AFTER_S", 0.3)
    publisher.send([plain("H01.0", 1), plain("H01.1", 2)])
    seen: list[tuple[str, bool]] = []

    def handle(queue, batch):
        if queue == "ingest.0":
            assert all(publisher.send([plain("H01.1", n) for n in range(50)]))
            time.sleep(1.2)  # longer than a quiet queue is left alone and than the look round takes to come
        seen.extend((queue, delivery.redelivered) for delivery in batch)
        return set()

    consume(empty_bus, handle, lambda: len(seen) >= 52)
    assert [queue for queue, is_again in seen if is_again] == []


def test_the_outbox_reaches_the_hub_sealed_and_is_closed_by_the_receipt(empty_bus, publisher, cache, outbox):
    write(cache, outbox, 120)
    assert relay(cache, outbox, publisher) == (120, 120)
    entries: list[Entry] = []

    def handle(_queue, batch):
        for delivery in batch:
            headers = delivery.properties.headers
            claims = claims_of("H01", delivery.route, delivery.properties.message_id)
            sender = load_public(public_part(HOSPITAL))
            body = open_sealed(delivery.body, headers["signature"], claims, sender=sender, own=load_keys(HUB))
            assert delivery.properties.user_id == "H01"
            entries.extend(unpack(body))
        return set()

    consume(empty_bus, handle, lambda: len(entries) >= 120)
    assert [entry.seq for entry in entries] == list(range(1, 121))
    with cache.begin() as connection:
        receipts = [Receipt(e.epoch, e.seq, "stored", None) for e in entries]
        assert mark_settled(connection, outbox, receipts, now=AT) == 120
        assert mark_settled(connection, outbox, receipts, now=AT) == 0
        assert backlog(connection, outbox).unsettled == 0
        assert prune(connection, outbox, settled_before=AT + timedelta(seconds=1)) == 120


def test_a_source_time_is_sent_as_the_instant_it_was_whatever_zone_it_came_in(cache, outbox):
    at = datetime(2026, 3, 1, 15, 33, tzinfo=ZoneInfo("Asia/Shanghai"))
    with cache.begin() as connection:
        row = {
            "epoch": 1,
            "exchange": RECORDS,
            "route": "H01.0",
            "kind": "ADT^A01",
            "payload": deflate(b"{}"),
        }
        connection.execute(outbox.insert(), row | {"source_at": at, "created_at": at})
        (found,) = due(connection, outbox, now=AT, resend_after=timedelta(minutes=1), limit=10)
    assert (found.source_at, found.source_at.utcoffset()) == (at, timedelta(0))
    with pytest.raises(sa.exc.StatementError), cache.begin() as connection:
        naive = row | {"source_at": at.replace(tzinfo=None), "created_at": at}
        connection.execute(outbox.insert(), naive)


def test_what_has_no_queue_holds_up_nothing_else(empty_bus, publisher, cache, outbox):
    # Others may have bound queues of their own on this broker.
    bindings = empty_bus.management.call("GET", f"bindings/{empty_bus.vhost}")
    takers = [one["destination"] for one in bindings if one["routing_key"] == "*.7"]
    with pika.BlockingConnection(pika.URLParameters(empty_bus.url())) as connection:
        channel = connection.channel()
        for queue in takers:
            channel.queue_unbind(queue, RECORDS, "*.7")
        write(cache, outbox, MAX_ROWS + 1, "H01.7")
        write(cache, outbox, 1, "H01.8")
        held = Held()
        assert relay(cache, outbox, publisher, held=held) == (MAX_ROWS, 0)
        assert relay(cache, outbox, publisher, held=held) == (1, 1)
        assert relay(cache, outbox, publisher, held=held) == (0, 0)
        for queue in takers:
            channel.queue_bind(queue, RECORDS, "*.7")
    while held.routes(time.monotonic()):
        time.sleep(0.01)
    assert relay(cache, outbox, publisher, held=held) == (MAX_ROWS, MAX_ROWS)
    assert relay(cache, outbox, publisher, held=held) == (1, 1)


def test_a_route_is_held_longer_each_time_and_let_go_when_it_is_served():
    held = Held()
    held.note({"H01.1"}, {"H01.2"}, 100.0)
    assert (held.routes(100.1), held.routes(100.3)) == (["H01.1"], [])
    held.note({"H01.1"}, set(), 100.3)
    assert (held.routes(100.6), held.routes(100.8)) == (["H01.1"], [])
    for _ in range(20):
        held.note({"H01.1"}, set(), 200.0)
    assert (held.routes(204.9), held.routes(205.1)) == (["H01.1"], [])
    held.note(set(), {"H01.1"}, 200.0)
    held.note({"H01.1"}, set(), 300.0)
    assert held.routes(300.3) == []


def test_a_receiver_without_usable_keys_holds_up_nobody_else(publisher, cache, outbox):
    def receiver(route):
        if route == "H01.7":
            raise NotTrusted
        return SENDER.receiver(route)

    write(cache, outbox, 2, "H01.7")
    write(cache, outbox, 3, "H01.8")
    sender, held = replace(SENDER, receiver=receiver), Held()
    assert relay(cache, outbox, publisher, sender=sender, held=held) == (5, 3)
    assert relay(cache, outbox, publisher, sender=sender, held=held) == (0, 0)
    assert relay(cache, outbox, publisher) == (2, 2)


def test_what_got_no_receipt_is_sent_again_and_not_before_its_time(publisher, cache, outbox):
    write(cache, outbox, 3)
    assert relay(cache, outbox, publisher) == (3, 3)
    assert relay(cache, outbox, publisher, now=AT + timedelta(seconds=59)) == (0, 0)
    assert relay(cache, outbox, publisher, now=AT + timedelta(seconds=61)) == (3, 3)


def test_a_receiver_that_stays_away_is_sent_copies_ever_more_seldom(cache, outbox):
    write(cache, outbox, 1)
    sendings = []
    for minute in range(80):
        now = AT + timedelta(minutes=minute)
        with cache.begin() as connection:
            if due(connection, outbox, now=now, resend_after=timedelta(minutes=1), limit=10):
                mark_confirmed(connection, outbox, [1], now=now, settle=False)
                sendings.append(minute)
    assert [later - earlier for earlier, later in pairwise(sendings)] == [2, 3, 5, 9, 17, 17, 17]


def test_what_waits_for_receipts_is_not_gone_through_to_find_what_is_new(cache, outbox):
    write(cache, outbox, 20_000)
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 100

    with cache.begin() as connection:
        connection.execute(sa.update(outbox).values(sent_at=AT, confirmed_at=AT, attempts=1))
    write(cache, outbox, 3)
    with cache.begin() as connection:
        connection.connection.dbapi_connection.set_progress_handler(count, 100)
        wait = timedelta(minutes=1)
        fresh = due(connection, outbox, now=AT, resend_after=wait, limit=10, with_resends=False)
        connection.connection.dbapi_connection.set_progress_handler(None, 0)
        late = due(connection, outbox, now=AT + 2 * wait, resend_after=wait, limit=10)
    assert [row.seq for row in fresh] == [20_001, 20_002, 20_003]
    assert [row.seq for row in late] == [*range(1, 8), 20_001, 20_002, 20_003]
    assert steps < 2000


def test_what_the_hub_could_not_open_stays_open_with_the_reason_and_is_sent_again(publisher, cache, outbox):
    write(cache, outbox, 1)
    relay(cache, outbox, publisher)
    with cache.begin() as connection:
        assert mark_settled(connection, outbox, [Receipt(1, 1, "refused", "unknown keys")], now=AT) == 0
        assert backlog(connection, outbox).unsettled == 1
        assert connection.scalar(sa.select(outbox.c.reason)) == "unknown keys"
    assert relay(cache, outbox, publisher, now=AT + timedelta(seconds=61)) == (1, 1)
    with cache.begin() as connection:
        assert mark_settled(connection, outbox, [Receipt(1, 1, "stored", None)], now=AT) == 1
        assert mark_settled(connection, outbox, [Receipt(1, 1, "refused", "unknown keys")], now=AT) == 0
        assert connection.scalar(sa.select(outbox.c.reason)) is None


def test_a_receipt_of_another_epoch_closes_nothing(cache, outbox):
    write(cache, outbox, 1)
    with cache.begin() as connection:
        assert mark_settled(connection, outbox, [Receipt(2, 1, "stored", None)], now=AT) == 0


def test_a_later_receipt_counts_only_where_it_says_that_a_set_aside_entry_was_stored(cache, outbox):
    write(cache, outbox, 2)
    fates = sa.select(outbox.c.fate, outbox.c.reason).order_by(outbox.c.seq)
    with cache.begin() as connection:
        first = [Receipt(1, 1, "set_aside", "no such code"), Receipt(1, 2, "stored", None)]
        assert mark_settled(connection, outbox, first, now=AT) == 2
        for fate in ("set_aside", "duplicate"):
            assert mark_settled(connection, outbox, [Receipt(1, 1, fate, None)], now=AT) == 0
        assert connection.execute(fates).all() == [("set_aside", "no such code"), ("stored", None)]
        later = [Receipt(1, 1, "superseded", None), Receipt(1, 2, "set_aside", "late")]
        assert mark_settled(connection, outbox, later, now=AT) == 1
        assert connection.execute(fates).all() == [("superseded", None), ("stored", None)]


def test_an_envelope_names_its_place_in_the_senders_order():
    message = envelope(
        SENDER, RECORDS, record_route("H01", 5), [Entry(3, 9, AT, "ADT^A01", deflate(b"{}"))], AT
    )
    assert message.properties["headers"] | {"signature": ""} == {
        "version": "1",
        "signature": "",
        "facility": "H01",
        "entries": ["3/9"],
        "source_at": "2026-03-01T00:00:00+00:00",
    }
