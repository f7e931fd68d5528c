"""Looks after subscriptions so that none waits for another's costly criteria; sets those aside for good."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import psycopg
import structlog
from psycopg.errors import QueryCanceled
from sqlalchemy import ColumnElement, Engine, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from hie.config import Config
from hie.errors import HieError
from hie.schema.absence import is_away
from hie.schema.subscriptions import SubscriptionRow
from hie.services.subscriptions import delivering, matching

log = structlog.get_logger(__name__)

QUICK_S = 1.0
# The pauses double from ten seconds on: about ten minutes, through which a busy database gets.
PAUSE_S = 5
MOST_COSTLY = 6
TOO_COSTLY = "To look for its events takes too long; narrow its criteria, then write the Subscription again."


def match_all(engine: Engine, config: Config, now: datetime) -> None:
    """Write the events of the active subscriptions that are quickly looked after.

    Who takes longer than `QUICK_S` holds up the others this once, and is left to `match_costly`.

    Raises: what says that the database is away.
    """
    with Session(engine) as session, session.begin():
        for id_ in matching.end_what_is_over(session, now):
            row = session.get_one(SubscriptionRow, id_)
            delivering.state_as_resource(session, row, now, config)
    for id_ in _active(engine, SubscriptionRow.costly == 0):
        _look(engine, config, id_, now, QUICK_S)


def match_costly(engine: Engine, config: Config, now: datetime) -> bool:
    """Look after the one that has waited longest of those that took too long; False if none is due.

    Raises: what says that the database is away.
    """
    for id_ in _active(engine, SubscriptionRow.costly > 0, SubscriptionRow.look_at < now)[:1]:
        _look(engine, config, id_, now, matching.MOST_S)
        return True
    return False


def _active(engine: Engine, *which: ColumnElement[bool]) -> list[str]:
    wanted = select(SubscriptionRow.id).where(SubscriptionRow.state == "active", *which)
    with Session(engine) as session:
        return list(session.scalars(wanted.order_by(SubscriptionRow.look_at, SubscriptionRow.id)))


def _look(engine: Engine, config: Config, id_: str, now: datetime, most_s: float) -> None:
    """Look after one in a transaction of its own; one that cannot be served holds up no other."""
    begun = time.monotonic()
    try:
        with Session(engine) as session, session.begin():
            matching.match(session, id_, config, now, most_s)
            row = session.get(SubscriptionRow, id_)
            if row is not None and row.costly:
                # Steps grow again one by one. Who needed long, though not too long, stays apart, behind the
                # others there; who did not in a step as long as the others' goes back to them.
                row.costly = max(row.costly - 1, int(time.monotonic() - begun > QUICK_S))
                row.look_at = now if row.costly else None
    except Exception as error:
        if is_away(error):
            raise
        _set_aside(engine, config, id_, now, error)


def _set_aside(engine: Engine, config: Config, id_: str, now: datetime, error: Exception) -> None:
    """Let who took too long wait; park who did so again and again, and who can never be served."""
    with Session(engine) as session, session.begin():
        row = session.get(SubscriptionRow, id_, with_for_update=True)
        if row is None or row.state != "active":
            return
        is_costly = _is_costly(error)
        if is_costly and row.costly < MOST_COSTLY:
            row.costly += 1
            row.look_at = now + timedelta(seconds=PAUSE_S * 2**row.costly)
            log.warning("subscription.costly", subscription=id_, times=row.costly)
            return
        why = error.text if isinstance(error, HieError) else HieError.describe()
        delivering.park(session, row, TOO_COSTLY if is_costly else why, now, config)


def _is_costly(error: Exception) -> bool:
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, psycopg.Error):
        # What else the database may refuse at one time and not at another is tried again in the same way.
        return isinstance(cause, QueryCanceled | psycopg.InternalError | psycopg.IntegrityError)
    return isinstance(cause, HieError) and cause.code == "too-costly"
