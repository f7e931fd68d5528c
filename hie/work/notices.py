"""The part of the work process that serves subscriptions: one of all processes matches and delivers."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import structlog
from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from hie.config import Config
from hie.errors import NotNow
from hie.schema.absence import is_away
from hie.services.subscriptions import delivering, matching
from hie.work.looking import match_all, match_costly

log = structlog.get_logger(__name__)

LOCK = 0x4E4F5449
EVERY_S = 0.5
PRUNE_EVERY = 1200
AT_ONCE = 6  # subscribers that are called at the same time
Busy = dict[str, "Future[None]"]
TURN_S = 5.0  # one of them is told before the others have their turn


def serve(engine: Engine, config: Config, stopping: threading.Event) -> None:
    """Match and deliver while nobody else does, until told to stop."""
    while not stopping.is_set():
        try:
            with engine.connect() as connection:
                _lead_if_first(connection, engine, config, stopping)
        except (DBAPIError, psycopg.Error, PoolTimeoutError, NotNow) as error:
            event = "notices.database_away" if is_away(error) else "notices.database_refused"
            log.warning(event, kind=type(error).__name__)
        stopping.wait(EVERY_S)


def _lead_if_first(connection: Connection, engine: Engine, config: Config, stopping: threading.Event) -> None:
    """Lead if nobody else does. The lock ends with its connection, which never returns to the pool."""
    try:
        if not connection.scalar(select(func.pg_try_advisory_lock(LOCK))):
            return
        connection.commit()
        with (
            ThreadPoolExecutor(1, thread_name_prefix="costly") as apart,
            ThreadPoolExecutor(AT_ONCE, thread_name_prefix="notices") as pool,
        ):
            rounds = 0
            busy: Busy = {}
            costly: Future[bool] | None = None
            while not stopping.wait(EVERY_S):
                connection.scalar(select(1))
                connection.commit()
                match_all(engine, config, datetime.now(UTC))
                if costly is None or costly.done():
                    if costly is not None:
                        costly.result()
                    costly = apart.submit(match_costly, engine, config, datetime.now(UTC))
                begin_to_tell(engine, config, pool, busy)
                rounds += 1
                if rounds % PRUNE_EVERY == 0:
                    with Session(engine) as session, session.begin():
                        matching.prune(session, datetime.now(UTC))
    finally:
        connection.invalidate()


def begin_to_tell(engine: Engine, config: Config, pool: ThreadPoolExecutor, busy: Busy) -> None:
    """Begin to tell each subscriber what it waits for, unless it is being told; none waits for a slow one."""
    for id_ in [id_ for id_, telling in busy.items() if telling.done()]:
        _look_after(engine, config, id_, busy.pop(id_).exception())
    with Session(engine) as session:
        ids = delivering.due(session, datetime.now(UTC))
    for id_ in ids:
        if id_ not in busy:
            busy[id_] = pool.submit(_tell_all, engine, config, id_)


def _look_after(engine: Engine, config: Config, id_: str, error: BaseException | None) -> None:
    """Put off a subscription that could not be told for a reason nobody foresaw: it holds up no other.

    Raises: what says that the database is away.
    """
    if error is None:
        return
    if not isinstance(error, Exception) or is_away(error):
        raise error
    log.error("notices.unserved", subscription=id_, kind=type(error).__name__)
    delivering.put_off(
        engine, config, id_, f"The hub could not tell it ({type(error).__name__}).", datetime.now(UTC)
    )


def once(engine: Engine, config: Config, now: datetime) -> None:
    """Match all subscriptions once, and tell each what it waits for at this instant, to the end."""
    match_all(engine, config, now)
    while match_costly(engine, config, now):
        pass
    with Session(engine) as session:
        ids = delivering.due(session, now)
    for id_ in ids:
        while delivering.tell(engine, config, id_, now):
            pass


def _tell_all(engine: Engine, config: Config, id_: str) -> None:
    end = time.monotonic() + TURN_S
    while delivering.tell(engine, config, id_, datetime.now(UTC)) and time.monotonic() < end:
        pass
