"""What every request of the hub shares: settings, the database, tokens in memory."""

import select
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.orm import Session

from hie.config import Config
from hie.security import audit
from hie.security.oauth import TokenCache
from hie.security.throttle import Throttle

MOST_SECONDS_OF_A_LOOK = 10  # that one statement may take which needs no transaction


@dataclass(frozen=True, slots=True)
class Hub:
    """The running hub of one process; nothing is connected before the first request.

    looking: for statements that need no transaction around them.
    """

    config: Config
    engine: Engine
    looking: Engine
    tokens: TokenCache = field(default_factory=TokenCache)
    throttle: Throttle = field(default_factory=Throttle)

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """Give a session in a transaction that commits at the end and rolls back on any error."""
        with audit.forgotten_if_undone(), Session(self.engine) as session, session.begin():
            yield session

    @contextmanager
    def look(self) -> Iterator[Session]:
        """Give a session for a request that only reads: every statement is a transaction of its own.

        BEGIN and COMMIT would be two round trips more. The audit row is on disk when it is written, and it is
        written before anything is answered.
        """
        with audit.forgotten_if_undone(), Session(self.looking) as session:
            yield session


def open_hub(config: Config, *, connections: int = 5) -> Hub:
    """Return a hub with a pool of so many connections for writing, and one for looking."""
    writing, looking = (
        create_engine(
            config.database_url,
            hide_parameters=True,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=10,
            connect_args={"connect_timeout": 5},
            **manner,
        )
        for manner in ({}, {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None})
    )
    for engine in (writing, looking):
        event.listen(engine, "checkout", check_open)
    event.listen(looking, "connect", _limit)
    event.listen(writing, "engine_disposed", lambda _: looking.dispose())
    return Hub(config, writing, looking)


def _limit(connection: psycopg.Connection[Any], _record: object) -> None:
    """Let nothing that only reads keep a connection longer than anyone waits."""
    connection.execute(f"SET statement_timeout = '{MOST_SECONDS_OF_A_LOOK}s'")
    connection.commit()


def check_open(connection: psycopg.Connection[Any], *_: object) -> None:
    """Check that the database has not ended a connection while it lay in the pool, without asking it.

    An idle connection has nothing to read unless the server is going away. `pool_pre_ping` would cost every
    request a round trip to learn the same.

    Raises: InvalidatePoolError, upon which the pool connects anew.
    """
    if connection.closed:
        raise InvalidatePoolError
    watch = select.poll()
    watch.register(connection.fileno(), select.POLLIN)
    if watch.poll(0):
        raise InvalidatePoolError
