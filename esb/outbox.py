"""The outbox: what this side has promised to deliver, written in the same transaction as its cause.

A row lives until the receiver's receipt (hospital to hub) or the broker's confirm (hub to hospital) and is
then pruned by age. The broker is never the system of record.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    text,
    update,
)

from esb.envelope import Entry

# SQLite numbers rows by itself only where the key is exactly INTEGER.
SERIAL = BigInteger().with_variant(Integer, "sqlite")
OPEN = text("settled_at IS NULL")
DOUBLINGS = 4


class Receipt(NamedTuple):
    """What became of one entry at the receiver: stored, duplicate, superseded or set_aside (with reason)."""

    epoch: int
    seq: int
    fate: str
    reason: str | None


class Backlog(NamedTuple):
    """How much waits: rows not yet settled, rows never sent, and since when the oldest waits."""

    unsettled: int
    unsent: int
    oldest_at: datetime | None


def outbox_table(metadata: MetaData) -> Table:
    """Define the outbox in the metadata of one side.

    seq: the sender's sequence. exchange, route: where it goes; order matters within a route. payload: the
    Entry's deflated body. eligible: 0 while something it needs (a blob) has not arrived. confirmed_at: the
    broker has it. settled_at, fate, reason: what the receiver said became of it.
    """
    return Table(
        "outbox",
        metadata,
        Column("seq", SERIAL, primary_key=True),
        Column("epoch", Integer, nullable=False),
        Column("exchange", String(64), nullable=False),
        Column("route", String(128), nullable=False),
        Column("kind", String(64), nullable=False),
        Column("source_at", DateTime(timezone=True), nullable=False),
        Column("payload", LargeBinary, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False),
        Column("eligible", Integer, nullable=False, server_default="1"),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("sent_at", DateTime(timezone=True)),
        Column("confirmed_at", DateTime(timezone=True)),
        Column("settled_at", DateTime(timezone=True)),
        Column("fate", String(16)),
        Column("reason", String(500)),
        Index("ix_outbox_unsettled", "seq", sqlite_where=OPEN, postgresql_where=OPEN),
    )


def due(
    connection: Connection, outbox: Table, *, now: datetime, resend_after: timedelta, limit: int
) -> list[Any]:
    """Return the rows to send now, oldest first: never sent, or sent long ago without a receipt.

    Each sending doubles the wait for the next, DOUBLINGS times: while the receiver is away for hours, the
    broker is not filled with copies.
    """
    sent_at, attempts = outbox.c.sent_at, outbox.c.attempts
    patience = [literal(now - resend_after * 2**doubled, sent_at.type) for doubled in range(DOUBLINGS + 1)]
    tired = case(*((attempts <= sent, before) for sent, before in enumerate(patience, 1)), else_=patience[-1])
    query = (
        select(outbox)
        .where(outbox.c.settled_at.is_(None), outbox.c.eligible == 1, or_(sent_at.is_(None), sent_at < tired))
        .order_by(outbox.c.seq)
        .limit(limit)
    )
    return list(connection.execute(query))


def entry_of(row: Any) -> Entry:
    """Return the Entry of an outbox row."""
    return Entry(row.epoch, row.seq, row.source_at, row.kind, row.payload)


def mark_confirmed(
    connection: Connection, outbox: Table, seqs: Sequence[int], *, now: datetime, settle: bool
) -> None:
    """Note that the broker has these rows; with `settle` that is the end of them."""
    values: dict[str, Any] = {"sent_at": now, "confirmed_at": now, "attempts": outbox.c.attempts + 1}
    if settle:
        values |= {"settled_at": now, "fate": "sent"}
    statement = update(outbox).where(outbox.c.seq == bindparam("row")).values(values)
    if seqs:
        connection.execute(statement, [{"row": seq} for seq in seqs])


def mark_settled(connection: Connection, outbox: Table, receipts: Sequence[Receipt], *, now: datetime) -> int:
    """Write the receivers' receipts; return how many rows they closed. A second receipt changes nothing."""
    if not receipts:
        return 0
    statement = (
        update(outbox)
        .where(
            and_(
                outbox.c.seq == bindparam("row"),
                outbox.c.epoch == bindparam("of_epoch"),
                outbox.c.settled_at.is_(None),
            )
        )
        .values(settled_at=now, fate=bindparam("to_fate"), reason=bindparam("why"))
    )
    rows = [
        {"row": r.seq, "of_epoch": r.epoch, "to_fate": r.fate, "why": r.reason and r.reason[:500]}
        for r in receipts
    ]
    return connection.execute(statement, rows).rowcount


def backlog(connection: Connection, outbox: Table) -> Backlog:
    """Return how much waits to be delivered."""
    query = select(
        func.count(),
        func.count().filter(outbox.c.sent_at.is_(None)),
        func.min(outbox.c.created_at),
    ).where(outbox.c.settled_at.is_(None))
    return Backlog(*connection.execute(query).one())


def prune(connection: Connection, outbox: Table, *, settled_before: datetime, limit: int = 5000) -> int:
    """Delete rows settled before an instant, a bounded number at a time; return how many."""
    old = (
        select(outbox.c.seq)
        .where(outbox.c.settled_at < settled_before)
        .order_by(outbox.c.seq)
        .limit(limit)
        .scalar_subquery()
    )
    return connection.execute(delete(outbox).where(outbox.c.seq.in_(old))).rowcount
