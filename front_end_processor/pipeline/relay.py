"""The link to the hub: outbox to the broker, receipts back, old rows out; waits while either is away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import orjson
import structlog
from sqlalchemy import Connection, delete, select
from sqlalchemy.exc import OperationalError

from esb.consumer import Consumer, Delivery
from esb.envelope import unpack
from esb.errors import NotNow, Rejected
from esb.outbox import Receipt, mark_settled, prune
from esb.publisher import Publisher
from esb.relay import Relay, Sender, claims_of
from esb.seal import Keys, PublicKeys, open_sealed
from esb.topology import HUB_USER, receipt_queue
from front_end_processor.cache.engine import Cache
from front_end_processor.cache.tables import CAPTURED, message, outbox

RESEND_AFTER = timedelta(minutes=5)
KEEP = timedelta(days=90)
PRUNE_EVERY_S = 600
PRUNE_ROWS = 2000

log = structlog.get_logger()


class Link:
    """The threads between the cache and the broker."""

    def __init__(
        self,
        cache: Cache,
        *,
        facility: str,
        amqp_url: str,
        own: Keys,
        hub: PublicKeys,
        ca_file: str | None = None,
        suite: str = "intl",
        resend_after: timedelta = RESEND_AFTER,
    ) -> None:
        """Prepare the link; nothing connects before `start`."""
        self._cache = cache
        self._own = own
        self._hub = hub
        self._stopping = threading.Event()
        self.publisher = Publisher(amqp_url, name=f"fep {facility}", ca_file=ca_file)
        self._relay = Relay(
            cache.transact,
            outbox,
            self.publisher,
            Sender(facility, own, lambda _route: hub, suite),
            resend_after=resend_after,
            settle_on_confirm=False,
        )
        self._receipts = Consumer(
            amqp_url,
            name=f"fep {facility} receipts",
            own=[receipt_queue(facility)],
            handle=self._take_receipts,
            ca_file=ca_file,
        )
        self._threads = [
            threading.Thread(target=self._receipts.run, args=(self._stopping,), name="receipts", daemon=True),
            threading.Thread(target=self._prune_at_times, name="prune", daemon=True),
        ]

    def start(self) -> None:
        """Begin to connect and to relay; returns at once."""
        self.publisher.start()
        self._relay.start()
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Say that there is something to send."""
        self._relay.wake()

    def stop(self) -> None:
        """Finish the step under way and close the connections."""
        self._stopping.set()
        self._relay.stop()
        self.publisher.stop()
        if self._threads[0].is_alive():
            self._threads[0].join(timeout=3)

    def dead_thread(self) -> str:
        """Return the name of a thread that ended by itself; empty if all run."""
        if self._stopping.is_set():
            return ""
        alive = {"publisher": self.publisher.is_alive(), "relay": self._relay.is_alive()}
        alive |= {thread.name: thread.is_alive() for thread in self._threads}
        return next((name for name, is_alive in alive.items() if not is_alive), "")

    def _take_receipts(self, _queue: str, batch: Sequence[Delivery]) -> set[int]:
        receipts: list[Receipt] = []
        dead: set[int] = set()
        for delivery in batch:
            try:
                receipts += self._open(delivery)
            except Rejected as fault:
                log.error("receipts.refused", reason=fault.text)
                dead.add(delivery.tag)
        try:
            with self._cache.writing() as connection:
                closed = mark_settled(connection, outbox, receipts, now=datetime.now(UTC))
        except OperationalError:
            raise NotNow("The local database does not take receipts at the moment.") from None
        log.debug("receipts.taken", receipts=len(receipts), closed=closed)
        return dead

    def _open(self, delivery: Delivery) -> list[Receipt]:
        properties = delivery.properties
        plain = open_sealed(
            delivery.body,
            str((properties.headers or {}).get("signature", "")),
            claims_of(HUB_USER, delivery.route, properties.message_id or ""),
            sender=self._hub,
            own=self._own,
        )
        return [receipt for entry in unpack(plain) for receipt in read_receipts(entry.body())]

    def _prune_at_times(self) -> None:
        while not self._stopping.wait(PRUNE_EVERY_S):
            try:
                prune_old(self._cache.transact, datetime.now(UTC) - KEEP)
            except OperationalError:
                log.warning("prune.database_away")


def read_receipts(body: bytes) -> list[Receipt]:
    """Return the receipts of one entry from the hub. Raises: Rejected if they cannot be read."""
    try:
        return [
            Receipt(int(each["epoch"]), int(each["seq"]), str(each["fate"]), each.get("reason"))
            for each in orjson.loads(body)
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Rejected(
            "The hub's receipts cannot be read; check that both sides have the same version."
        ) from None


def prune_old(transact: Callable[[Callable[[Connection], int]], int], before: datetime) -> int:
    """Delete what the hub settled before an instant, with its messages; return how many.

    What was set aside here stays until somebody has looked after it.
    """

    def step(connection: Connection) -> int:
        gone = prune(connection, outbox, settled_before=before, limit=PRUNE_ROWS)
        waiting = select(outbox.c.seq).where(
            outbox.c.seq >= message.c.entries_from, outbox.c.seq < message.c.entries_from + message.c.entries
        )
        old = (
            select(message.c.seq)
            .where(message.c.received_at < before, message.c.fate == CAPTURED, ~waiting.exists())
            .limit(PRUNE_ROWS)
        )
        return gone + connection.execute(delete(message).where(message.c.seq.in_(old))).rowcount

    total = 0
    while gone := transact(step):
        total += gone
    return total
