"""The inbox: what this side has taken in, by the sender's own order; its key makes a re-send harmless."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

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
    delete,
    select,
    text,
    tuple_,
)


class Taken(NamedTuple):
    """One entry taken in, and its fate (esb.outbox.Receipt)."""

    facility: str
    epoch: int
    seq: int
    kind: str
    received_at: datetime
    fate: str
    reason: str | None


def inbox_tables(metadata: MetaData) -> tuple[Table, Table, Table]:
    """Define inbox, set_aside and attempt in the metadata of one side.

    inbox: one row per entry taken in. set_aside: the payload of what could not be stored, for a re-drive.
    attempt: how often an envelope failed for a reason nobody foresaw.
    """
    inbox = Table(
        "inbox",
        metadata,
        Column("facility", String(32), primary_key=True),
        Column("epoch", Integer, primary_key=True),
        Column("seq", BigInteger, primary_key=True),
        Column("kind", String(64), nullable=False),
        Column("received_at", DateTime(timezone=True), nullable=False),
        Column("fate", String(16), nullable=False),
        Column("reason", String(500)),
        # Rows come in the order of their time: a few blocks say where the old ones are.
        Index("ix_inbox_received_at", "received_at", postgresql_using="brin"),
    )
    set_aside = Table(
        "set_aside",
        metadata,
        Column("facility", String(32), primary_key=True),
        Column("epoch", Integer, primary_key=True),
        Column("seq", BigInteger, primary_key=True),
        Column("kind", String(64), nullable=False),
        Column("source_at", DateTime(timezone=True), nullable=False),
        Column("payload", LargeBinary, nullable=False),
        Column("reason", String(500), nullable=False),
        Column("at", DateTime(timezone=True), nullable=False),
        Column("redriven_at", DateTime(timezone=True)),
        Index("ix_set_aside_open", "at", postgresql_where=text("redriven_at IS NULL")),
    )
    attempt = Table(
        "attempt",
        metadata,
        Column("message_id", String(64), primary_key=True),
        Column("count", Integer, nullable=False),
        Column("last_error", String(500), nullable=False),
        Column("at", DateTime(timezone=True), nullable=False),
    )
    return inbox, set_aside, attempt


def taken(
    connection: Connection, inbox: Table, keys: Sequence[tuple[str, int, int]]
) -> dict[tuple[str, int, int], tuple[str, str | None]]:
    """Return fate and reason by (facility, epoch, seq) of those entries that were taken in before."""
    if not keys:
        return {}
    key = tuple_(inbox.c.facility, inbox.c.epoch, inbox.c.seq)
    rows = connection.execute(
        select(inbox.c.facility, inbox.c.epoch, inbox.c.seq, inbox.c.fate, inbox.c.reason).where(
            key.in_(keys)
        )
    )
    return {(row.facility, row.epoch, row.seq): (row.fate, row.reason) for row in rows}


def prune_inbox(
    connection: Connection,
    tables: tuple[Table, Table, Table],
    *,
    before: datetime,
    limit: int = 5000,
) -> int:
    """Delete what was settled before an instant, a bounded number at a time; return how many.

    What is set aside stays, and what it holds, until a re-drive has stored it.
    """
    inbox, set_aside, attempt = tables
    old = {
        inbox: (inbox.c.received_at < before) & (inbox.c.fate != "set_aside"),
        set_aside: set_aside.c.redriven_at < before,
        attempt: attempt.c.at < before,
    }
    gone = 0
    for table, is_old in old.items():
        key = tuple_(*table.primary_key.columns)
        some = select(*table.primary_key.columns).where(is_old).limit(limit)
        gone += connection.execute(delete(table).where(key.in_(some))).rowcount
    return gone


def take(connection: Connection, inbox: Table, rows: Sequence[Taken]) -> None:
    """Insert inbox rows.

    Raises: IntegrityError if one of them was taken in before; the whole batch must then roll back.
    """
    if rows:
        values = [row._asdict() | {"reason": row.reason and row.reason[:500]} for row in rows]
        connection.execute(inbox.insert(), values)
