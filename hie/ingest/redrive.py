"""Tries again what was set aside, after the cause is mended; version order decides what it still changes."""

from datetime import UTC, datetime

from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from esb.envelope import Entry
from hie.config import Config
from hie.errors import HieError
from hie.ingest.reading import read_entry
from hie.ingest.storing import Ledger, store_items
from hie.ingest.worker import reason_of
from hie.schema.exchange import inbox, set_aside

LIMIT = 1000


def redrive(session: Session, config: Config, facility: str | None = None) -> dict[str, int]:
    """Store the open set-aside entries, oldest first; return how many were stored and how many refused."""
    query = select(set_aside).where(set_aside.c.redriven_at.is_(None))
    if facility:
        query = query.where(set_aside.c.facility == facility)
    counts = {"stored": 0, "refused": 0}
    rows = session.execute(query.order_by(set_aside.c.at, set_aside.c.seq).limit(LIMIT).with_for_update())
    for row in rows.all():
        entry = Entry(row.epoch, row.seq, row.source_at, row.kind, row.payload)
        ledger = Ledger(datetime.now(UTC))
        here = (
            (set_aside.c.facility == row.facility)
            & (set_aside.c.epoch == row.epoch)
            & (set_aside.c.seq == row.seq)
        )
        try:
            with session.begin_nested():
                item = read_entry(row.facility, entry)
                store_items(session, [item], ledger, config.zone, config.relation_days)
        except (HieError, DBAPIError) as fault:
            reason = reason_of(fault) if isinstance(fault, HieError) else row.reason
            session.execute(update(set_aside).where(here).values(reason=reason[:500]))
            counts["refused"] += 1
            continue
        session.execute(update(set_aside).where(here).values(redriven_at=ledger.now))
        taken = ledger.rows[0]
        session.execute(
            update(inbox)
            .where(inbox.c.facility == row.facility, inbox.c.epoch == row.epoch, inbox.c.seq == row.seq)
            .values(fate=taken.fate, reason=None)
        )
        counts["stored"] += 1
    return counts
