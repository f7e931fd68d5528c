"""Tries again what was set aside, after the cause is mended; version order decides what it still changes."""

from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Table, and_, func, select, true, tuple_, update
from sqlalchemy.orm import Session, sessionmaker

from esb.envelope import Entry
from esb.errors import reason_of
from hie.config import Config
from hie.errors import HieError, without_text
from hie.ingest.reading import read_entry
from hie.ingest.storing import REASON_LENGTH, Ledger, answer_all, store_items
from hie.schema.absence import is_away
from hie.schema.exchange import inbox, set_aside
from hie.security import audit
from hie.security.actor import Actor

log = structlog.get_logger(__name__)

AT_ONCE = 200
PLACE = (set_aside.c.at, set_aside.c.facility, set_aside.c.epoch, set_aside.c.seq)


def redrive(
    sessions: sessionmaker[Session],
    config: Config,
    *,
    facility: str | None = None,
    limit: int | None = None,
    by: Actor,
) -> dict[str, int]:
    """Store the open set-aside entries, oldest first; each that succeeds is answered anew.

    Each is tried once; some at a time are committed together.

    Args:
        facility: only what this one sent. limit: how many to try; None for all.
    Returns: how many were stored, how many refused again, and how many are left, the refused ones among them.
    Raises: what says that the database is away; what was committed before stays.
    """
    is_open = and_(
        set_aside.c.redriven_at.is_(None), set_aside.c.facility == facility if facility else true()
    )
    counts = {"stored": 0, "refused": 0}
    after: ColumnElement[bool] = true()
    while most := AT_ONCE if limit is None else max(0, min(AT_ONCE, limit - sum(counts.values()))):
        with sessions.begin() as session:
            oldest = select(set_aside).where(is_open, after).order_by(*PLACE).limit(most)
            rows = session.execute(oldest.with_for_update()).all()
            if not rows:
                break
            done = _try_again(session, config, rows)
            audit.record(session, actor=by, action="E", operation="redrive", http=None, detail=done)
        counts = {name: count + done[name] for name, count in counts.items()}
        after = tuple_(*PLACE) > tuple_(*(getattr(rows[-1], column.name) for column in PLACE))
    with sessions() as session:
        left = session.scalar(select(func.count()).select_from(set_aside).where(is_open))
    return counts | {"left": left or 0}


def _try_again(session: Session, config: Config, rows: Any) -> dict[str, int]:
    """Store what can be stored now, and answer it. Returns: how many were stored, how many refused."""
    answers = Ledger(datetime.now(UTC))
    counts = {"stored": 0, "refused": 0}
    for row in rows:
        entry = Entry(row.epoch, row.seq, row.source_at, row.kind, row.payload)
        ledger = Ledger(answers.now)
        try:
            with session.begin_nested():
                item = read_entry(row.facility, entry)
                store_items(session, [item], ledger, config.zone, config.relation_days)
        except Exception as fault:
            if is_away(fault):
                raise
            _explain(session, row, fault)
            counts["refused"] += 1
            continue
        session.execute(update(set_aside).where(_at(set_aside, row)).values(redriven_at=ledger.now))
        fate = ledger.rows[0].fate
        session.execute(update(inbox).where(_at(inbox, row)).values(fate=fate, reason=None))
        for code, receipts in ledger.receipts.items():
            answers.receipts[code] += receipts
        counts["stored"] += 1
    answer_all(session, answers)
    return counts


def _explain(session: Session, row: Any, fault: Exception) -> None:
    """Keep why an entry was refused again."""
    if isinstance(fault, HieError):
        reason = _keepable(reason_of(fault))
        for table in (set_aside, inbox):
            session.execute(update(table).where(_at(table, row)).values(reason=reason))
        return
    name = f"{row.facility}.{row.epoch}.{row.seq}"
    log.error("redrive.unknown_failure", entry=name, kind=type(fault).__name__, exc_info=without_text(fault))


def _at(table: Table, row: Any) -> ColumnElement[bool]:
    """Return where a table of the exchange holds the same entry."""
    columns = table.c
    return and_(columns.facility == row.facility, columns.epoch == row.epoch, columns.seq == row.seq)


def _keepable(reason: str) -> str:
    """Return a reason without what no text of the database can hold; it may name an element."""
    return reason.replace("\0", "").encode("utf-8", "replace").decode()[:REASON_LENGTH]
