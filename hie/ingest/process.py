"""The ingest process: consumes queues, relays receipts, seals the audit trail; exits when a part breaks."""

import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import structlog
from sqlalchemy import Connection, Engine, create_engine, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from esb.consumer import Consumer
from esb.inbox import prune_inbox
from esb.outbox import prune
from esb.publisher import Publisher
from esb.relay import Relay, Sender
from esb.runtime import exit_at_once, rest_collector
from esb.topology import HUB_USER, ingest_queue
from hie.config import Config
from hie.directory.facilities import facility_keys
from hie.directory.own_keys import read_own_keys
from hie.errors import Rejected
from hie.ingest.opening import Directory
from hie.ingest.worker import Worker
from hie.schema.exchange import attempt, inbox, outbox, set_aside
from hie.security.chain import seal_audit

log = structlog.get_logger(__name__)
T = TypeVar("T")

CHORES_LOCK = 0x43484F52
CHORES_EVERY_S = 2.0
SEAL_EVERY_S = 30.0
PRUNE_AFTER = timedelta(days=7)
# A processor sends again for as long as it has no receipt: every 80 minutes at the latest while it runs.
# What comes after this all the same finds its version stored, and changes nothing.
FORGET_AFTER = timedelta(days=180)
FORGET_EVERY_S = 3600.0
RESEND_AFTER = timedelta(seconds=30)


def run(config: Config, *, worker: int, of: int) -> None:
    """Take in this worker's share of the queues, and others while nobody else does, until SIGTERM."""
    if not 1 <= worker <= of:
        raise Rejected("--worker counts from 1 to --of.")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    threading.excepthook = exit_at_once
    engine = create_engine(
        config.database_url, hide_parameters=True, pool_size=4, max_overflow=0, pool_pre_ping=True
    )
    own = read_own_keys(config.key_dir)
    directory = Directory(lambda: _read_keys(engine))
    sender = Sender(HUB_USER, own, directory.keys_of, config.suite)
    chores = Chores(config, engine, sender, name=f"hub receipts {worker}")
    queues = [ingest_queue(n) for n in range(config.queues)]
    mine = [queue for n, queue in enumerate(queues) if n % of == worker - 1]
    consumer = Consumer(
        config.amqp_url,
        name=f"hub ingest {worker}",
        own=mine,
        stand_in_for=[queue for queue in queues if queue not in mine],
        handle=Worker(engine, config, own, directory, chores.wake).handle,
        max_batch=config.ingest_batch,
        ca_file=str(config.ca_file) if config.ca_file else None,
    )
    chores.start(stopping)
    rest_collector()
    try:
        consumer.run(stopping)
    finally:
        stopping.set()
        chores.join()
        engine.dispose()


def _read_keys(engine: Engine) -> dict[str, dict[str, object]]:
    with Session(engine) as session:
        return facility_keys(session)


class Chores:
    """What one of the ingest processes does for all: it relays receipts, seals the trail, prunes.

    An advisory lock on a connection of its own says which one; when that is lost, another takes over.
    """

    def __init__(self, config: Config, engine: Engine, sender: Sender, name: str) -> None:
        self._config, self._engine, self._sender, self._name = config, engine, sender, name
        self._relay: Relay | None = None
        self._thread: threading.Thread | None = None

    def start(self, stopping: threading.Event) -> None:
        """Begin on a thread of its own."""
        self._thread = threading.Thread(target=self._run, args=(stopping,), name="chores", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the step under way."""
        if self._thread is not None:
            self._thread.join(timeout=20)

    def wake(self) -> None:
        """Say that receipts were written."""
        if self._relay is not None:
            self._relay.wake()

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                with self._engine.connect() as connection:
                    self._lead_if_first(connection, stopping)
            except (DBAPIError, PoolTimeoutError) as error:
                log.warning("chores.database_away", kind=type(error).__name__)
            stopping.wait(CHORES_EVERY_S)

    def _lead_if_first(self, connection: Connection, stopping: threading.Event) -> None:
        """Lead if nobody else does. The lock ends with its connection, which never returns to the pool."""
        try:
            if not connection.scalar(select(func.pg_try_advisory_lock(CHORES_LOCK))):
                return
            connection.commit()
            self._lead(connection, stopping)
        except BaseException:
            connection.invalidate()
            raise
        connection.invalidate()

    def _lead(self, connection: Connection, stopping: threading.Event) -> None:
        ca_file = str(self._config.ca_file) if self._config.ca_file else None
        publisher = Publisher(self._config.amqp_url, name=self._name, ca_file=ca_file)
        relay = Relay(
            self._transact,
            outbox,
            publisher,
            self._sender,
            resend_after=RESEND_AFTER,
            settle_on_confirm=True,
        )
        publisher.start()
        relay.start()
        self._relay = relay
        over = threading.Event()
        sealing = threading.Thread(target=self._seal, args=(over,), name="sealing", daemon=True)
        sealing.start()
        try:
            while not stopping.wait(CHORES_EVERY_S):
                connection.scalar(select(1))
                connection.commit()
        finally:
            self._relay = None
            over.set()
            relay.stop()
            publisher.stop()
            # Whoever leads next begins when this one has ended.
            sealing.join()

    def _seal(self, over: threading.Event) -> None:
        """Seal and prune until this lead is over."""
        forgotten_at = float("-inf")
        while not over.wait(SEAL_EVERY_S):
            try:
                seal_audit(self._engine, over.wait)
                self._transact(lambda c: prune(c, outbox, settled_before=datetime.now(UTC) - PRUNE_AFTER))
                if time.monotonic() - forgotten_at > FORGET_EVERY_S:
                    self.forget(datetime.now(UTC), over)
                    forgotten_at = time.monotonic()
            except (DBAPIError, PoolTimeoutError) as error:
                log.warning("sealing.database_away", kind=type(error).__name__)

    def forget(self, now: datetime, over: threading.Event) -> None:
        """Delete what was taken in so long ago that nobody sends it again; some in each transaction."""
        tables = inbox, set_aside, attempt
        while not over.is_set():
            if not self._transact(lambda c: prune_inbox(c, tables, before=now - FORGET_AFTER)):
                return

    def _transact(self, step: Callable[[Connection], T]) -> T:
        with self._engine.begin() as connection:
            return step(connection)
