"""Connections to the cache: SQLite (WAL, every commit on disk) or PostgreSQL; one processor per cache."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import IO, Any, TypeVar

import structlog
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from esb.errors import HieError
from front_end_processor.cache.tables import REVISION

T = TypeVar("T")

BUSY_TIMEOUT_S = 10
PROBE_S = 2.0
_LOCK_KEY = 0x0FEB_CACE

log = structlog.get_logger()


class CacheInUse(HieError):
    """Another processor is working on this cache; stop it first, or name another FEP_CACHE_URL."""


class Cache:
    """One cache: transactions that read, and transactions that write, one writer at a time."""

    def __init__(self, url: str) -> None:
        """Prepare it; connects when first used."""
        self.engine = open_engine(url)
        # SQLite's own lock makes waiters poll; inside the process they queue here.
        self._turn = threading.Lock() if self.engine.dialect.name == "sqlite" else None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection whose transaction is on disk when the block ends."""
        with self._turn or nullcontext(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one moment and waits for no writer."""
        with readonly(self.engine).connect() as connection:
            yield connection

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` returns after its transaction is on disk."""
        with self.writing() as connection:
            return work(connection)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def open_engine(url: str) -> Engine:
    """Return an engine for a cache URL; its transactions write durably and take the write lock at once."""
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, hide_parameters=True, pool_pre_ping=True, pool_size=8, max_overflow=8)
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=8,
        max_overflow=8,
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def readonly(engine: Engine) -> Engine:
    """Return the same engine for reading: on SQLite its transactions do not wait for the writer."""
    return engine.execution_options(reads_only=True)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the BEGIN is ours, see below
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "wal_autocheckpoint=2000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and then writes cannot wait for another writer (SQLITE_BUSY_SNAPSHOT).
    reads = connection.get_execution_options().get("reads_only")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def is_current(engine: Engine) -> bool:
    """Return whether the cache's tables are those this version needs."""
    with readonly(engine).connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return False
        return connection.scalar(text("SELECT version_num FROM alembic_version")) == REVISION


class Claim:
    """The right to be the one processor of a cache.

    A lock on a file lasts as long as the process; one of PostgreSQL goes with its connection, so it is looked
    after by a thread.
    """

    def __init__(self, engine: Engine) -> None:
        """Take it. Raises: CacheInUse if another process has it."""
        self._file: IO[str] | None = None
        self._connection: Connection | None = None
        self._engine = engine
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="claim", daemon=True)
        if engine.dialect.name == "sqlite":
            database = engine.url.database
            if not database or database == ":memory:":
                return
            self._file = open(f"{database}.lock", "w")  # noqa: SIM115 - held open as long as the claim lasts
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._file.close()
                raise CacheInUse from None
            return
        self._lock()

    def _lock(self) -> None:
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK_KEY}):
            connection.close()
            raise CacheInUse
        self._connection = connection

    def start(self) -> None:
        """Begin to look after it."""
        if self._file is None and self._engine.dialect.name != "sqlite":
            self._thread.start()

    def is_watched(self) -> bool:
        """Return whether it is looked after, where it has to be; its end is a reason to end the process."""
        return self._thread.ident is None or self._thread.is_alive()

    def still_holds(self) -> bool:
        """Return whether no other process has it; a lock that went with its connection is taken again.

        While the database is away nobody can write, and so nobody is told to have it.
        """
        try:
            if self._connection is not None:
                self._connection.scalar(text("SELECT 1"))
                return True
            self._lock()
        except CacheInUse:
            return False
        except DBAPIError:
            if self._connection is None:
                return True
            with suppress(DBAPIError):
                self._connection.close()
            self._connection = None
            return self.still_holds()
        return True

    def _watch(self) -> None:
        while not self._stopping.wait(PROBE_S):
            if not self.still_holds():
                log.critical("cache.claimed_by_another")
                return

    def release(self) -> None:
        """Give the right back."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(PROBE_S)
        if self._file is not None:
            self._file.close()
        if self._connection is not None:
            with suppress(DBAPIError):  # its connection is gone, and the lock with it
                self._connection.scalar(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK_KEY})
                self._connection.close()
