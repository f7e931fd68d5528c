"""Tells a database that is away from one that refuses: to wait helps with the first only."""

from __future__ import annotations

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from hie.errors import NotNow

# Classes of SQLSTATE: connection, deadlock, resources, locks, operator, system.
AWAY = frozenset({"08", "40", "53", "55", "57", "58"})
READ_ONLY = "25006"
# A statement that took too long may take as long the next time.
QUERY_CANCELED = "57014"


def is_away(error: Exception) -> bool:
    """Say whether something failed for a cause outside of what was stored: to wait is all that helps.

    Source: PostgreSQL, appendix A "Error Codes". A connection that broke has no code.
    """
    if isinstance(error, NotNow | PoolTimeoutError):
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, psycopg.Error):
        return False
    if cause.sqlstate is None:
        return isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
    if cause.sqlstate == QUERY_CANCELED:
        return False
    return cause.sqlstate[:2] in AWAY or cause.sqlstate == READ_ONLY
