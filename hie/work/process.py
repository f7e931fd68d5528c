"""The work process: takes jobs from their table and delivers notices; exits when a part breaks."""

import signal
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import psycopg
import structlog
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from esb.runtime import exit_at_once, rest_collector
from hie.config import Config
from hie.errors import HieError, NotNow, without_text
from hie.schema.absence import is_away
from hie.schema.exports import Job
from hie.services.exports import jobs, writing
from hie.work import importing, requests
from hie.work.notices import serve

log = structlog.get_logger(__name__)

EVERY_S = 1.0
Run = Callable[[Engine, Config, str, Callable[[], bool]], None]
RUNS: Mapping[str, Run] = {"export": writing.run, "import": importing.run, "request": requests.run}
# Each has a thread of its own: a search does not wait behind an export.
THREADS: Mapping[str, tuple[str, ...]] = {"bulk": ("export", "import"), "requests": ("request",)}


def run(config: Config) -> None:
    """Work until SIGTERM; what is left in the middle goes on at the next start, here or elsewhere."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    threading.excepthook = exit_at_once
    engine = create_engine(
        config.database_url, hide_parameters=True, pool_size=12, max_overflow=0, pool_pre_ping=True
    )
    threads = [
        threading.Thread(target=_work, args=(engine, config, kinds, stopping), name=name, daemon=True)
        for name, kinds in THREADS.items()
    ]
    threads.append(
        threading.Thread(target=serve, args=(engine, config, stopping), name="notices", daemon=True)
    )
    for thread in threads:
        thread.start()
    rest_collector()
    log.info("work.ready")
    stopping.wait()
    for thread in threads:
        thread.join(timeout=20)
    engine.dispose()


def _work(engine: Engine, config: Config, kinds: tuple[str, ...], stopping: threading.Event) -> None:
    while not stopping.is_set():
        try:
            if work_once(engine, config, kinds, stopping.is_set):
                continue
            with Session(engine) as session, session.begin():
                jobs.forget(session, config.export_dir, datetime.now(UTC))
        except (DBAPIError, psycopg.Error, PoolTimeoutError, NotNow) as error:
            event = "work.database_away" if is_away(error) else "work.database_refused"
            log.warning(event, kind=type(error).__name__)
        stopping.wait(EVERY_S)


def work_once(
    engine: Engine, config: Config, kinds: tuple[str, ...], is_stopping: Callable[[], bool]
) -> bool:
    """Take one job and work on it; say whether there was one. The claim ends with its connection."""
    with engine.connect() as connection:
        try:
            id_ = jobs.claim(connection, kinds)
            if id_ is None:
                return False
            _settle(engine, config, id_, is_stopping)
            jobs.release(connection, id_)
        except BaseException:
            connection.invalidate()
            raise
    return True


def _settle(engine: Engine, config: Config, id_: str, is_stopping: Callable[[], bool]) -> None:
    """Do a job; an error of our family, or a bug, is its end, for it would come again.

    Raises: what says that the database is away; the job goes on when it is back.
    """
    with Session(engine) as session:
        kind = session.get_one(Job, id_).kind
    try:
        RUNS[kind](engine, config, id_, is_stopping)
    except writing.Cancelled:
        jobs.clear(config.export_dir, id_)
        log.info("job.cancelled", job=id_)
    except NotNow:
        raise
    except HieError as error:
        log.warning("job.failed", job=id_, kind=type(error).__name__)
        writing.fail(engine, id_, error)
    except Exception as error:
        if is_away(error):
            raise
        log.error("job.failed", job=id_, kind=type(error).__name__, exc_info=without_text(error))
        writing.fail(engine, id_, HieError())
