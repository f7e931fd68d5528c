"""Tries again what was set aside, after the cause is mended; version order decides what it still changes."""

from datetime import UTC, datetime

import structlog
from sqlalchemy import and_, func, select, true, update
from sqlalchemy.orm import Session

from esb.envelope import Entry
from hie.config import Config
from hie.errors import HieError, without_text
from hie.ingest.reading import read_entry
from hie.ingest.storing import REASON_LENGTH, Ledger, answer_all, store_items
from hie.ingest.worker import reason_of
from hie.schema.absence import is_away
from hie.schema.exchange import inbox, set_aside

log = structlog.get_logger(__name__)

LIMIT = 1000


def redrive(session: Session, config: Config, facility: str | None = None) -> dict[str, int]:
    """Store the open set-aside entries, oldest first, up to LIMIT; each that succeeds is answered anew.

    Returns: how many were stored, how many refused again, and how many are left, the refused ones among them.
    Raises: what says that the database is away; the run is then undone.
    """
    is_open = and_(
        set_aside.c.redriven_at.is_(None), set_aside.c.facility == facility if facility else true()
    )
    answers = Ledger(datetime.now(UTC))
    counts = {"stored": 0, "refused": 0}
    oldest = select(set_aside).where(is_open).order_by(set_aside.c.at, set_aside.c.seq)
    rows = session.execute(oldest.limit(LIMIT).with_for_update())
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
        except Exception as fault:
            if is_away(fault):
                raise
            if isinstance(fault, HieError):
                session.execute(update(set_aside).where(here).values(reason=_keepable(reason_of(fault))))
            else:
                name = f"{row.facility}.{row.epoch}.{row.seq}"
                kind = type(fault).__name__
                log.error("redrive.unknown_failure", entry=name, kind=kind, exc_info=without_text(fault))
            counts["refused"] += 1
            continue
        session.execute(update(set_aside).where(here).values(redriven_at=ledger.now))
        taken = ledger.rows[0]
        session.execute(
            update(inbox)
            .where(inbox.c.facility == row.facility, inbox.c.epoch == row.epoch, inbox.c.seq == row.seq)
            .values(fate=taken.fate, reason=None)
        )
        for code, receipts in ledger.receipts.items():
            answers.receipts[code] += receipts
        counts["stored"] += 1
    answer_all(session, answers)
    left = session.scalar(select(func.count()).select_from(set_aside).where(is_open))
    return counts | {"left": left or 0}


def _keepable(reason: str) -> str:
    """Return a reason without what no text of the database can hold; it may name an element."""
    return reason.replace("\0", "").encode("utf-8", "replace").decode()[:REASON_LENGTH]
