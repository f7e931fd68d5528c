"""The hash chain over the audit trail: sealed afterwards in batches, so that requests need not queue for it.

A row altered, dropped or added later breaks the digest of its batch; a batch altered breaks the next one.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Engine, func, insert, select, text
from sqlalchemy.orm import Session

from hie.schema.security import AuditEventRow, AuditSeal

LOCK = 0x41554449
BATCH = 5000
SETTLE_S = 1.0
LONGEST_S = 60.0
FIRST = b"\0" * 32
COLUMNS = tuple(AuditEventRow.__table__.c)


def seal_audit(engine: Engine, wait: Callable[[float], object], batch: int = BATCH) -> int:
    """Seal the audit rows that no transaction under way can still add to; return how many.

    Rows take their number before they commit. So the highest number is read first, and sealing waits until
    every transaction that may have taken a smaller one has ended.

    Args:
        wait: sleeps so many seconds; returns true to give up (an Event's `wait`, or `time.sleep`).
    """
    with engine.connect() as connection:
        highest = connection.scalar(text("SELECT last_value FROM audit_event_id_seq"))
    if wait(SETTLE_S):
        return 0
    with engine.connect() as connection:
        limit = connection.scalar(text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"))
    deadline = time.monotonic() + LONGEST_S
    while not _is_over(engine, int(limit or 0)):
        if time.monotonic() > deadline or wait(SETTLE_S):
            return 0
    sealed = 0
    while count := _seal_batch(engine, int(highest or 0), batch):
        sealed += count
    return sealed


def _is_over(engine: Engine, xid: int) -> bool:
    """Say whether every transaction older than this one has ended."""
    with engine.connect() as connection:
        oldest = connection.scalar(text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"))
    return int(oldest or 0) >= xid


def _seal_batch(engine: Engine, highest: int, batch: int) -> int:
    with Session(engine) as session, session.begin():
        if not session.scalar(select(func.pg_try_advisory_xact_lock(LOCK))):
            return 0
        last = session.execute(
            select(AuditSeal.id_to, AuditSeal.digest).order_by(AuditSeal.id_to.desc()).limit(1)
        ).one_or_none()
        begin, previous = (last.id_to, last.digest) if last else (0, FIRST)
        rows = _rows(session, begin, highest, batch)
        if rows:
            session.execute(
                insert(AuditSeal).values(
                    id_from=rows[0].id,
                    id_to=rows[-1].id,
                    rows=len(rows),
                    previous=previous,
                    digest=digest_of(previous, rows),
                )
            )
        return len(rows)


def verify_audit(session: Session) -> list[int]:
    """Return the seals (by their last row's number) whose rows are no longer those that were sealed."""
    broken, previous, begin = [], FIRST, 0
    for seal in session.execute(select(AuditSeal).order_by(AuditSeal.id_to)).scalars():
        rows = _rows(session, begin, seal.id_to, None)
        if seal.previous != previous or len(rows) != seal.rows or digest_of(previous, rows) != seal.digest:
            broken.append(seal.id_to)
        begin, previous = seal.id_to, seal.digest
    return broken


def digest_of(previous: bytes, rows: Sequence[Any]) -> bytes:
    """Return the digest of a batch of rows, read in any zone, chained to the digest before it."""
    state = hashlib.sha256(previous)
    for row in rows:
        values = [value.astimezone(UTC) if isinstance(value, datetime) else value for value in row]
        state.update(orjson.dumps(values, str, orjson.OPT_SORT_KEYS))
    return state.digest()


def _rows(session: Session, after: int, up_to: int, limit: int | None) -> Sequence[Any]:
    query = select(*COLUMNS).where(AuditEventRow.id > after, AuditEventRow.id <= up_to)
    return session.execute(query.order_by(AuditEventRow.id).limit(limit)).all()
