"""The outbox: what this side has promised to deliver, written in the same transaction as its cause.

A row lives until the receiver's receipt (hospital to hub) or the broker's confirm (hub to hospital) and is
then pruned by age. The broker is never the system of record.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
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
    Select,
    String,
    Table,
    TypeDecorator,
    and_,
    bindparam,
    case,
    delete,
    func,
    select,
    text,
    update,
)

from esb.envelope import Entry
from esb.prepared import Prepared

# SQLite numbers rows by itself only where the key is exactly INTEGER.
SERIAL = BigInteger().with_variant(Integer, "sqlite")
OPEN = text("settled_at IS NULL")
UNSENT = text("sent_at IS NULL AND settled_at IS NULL")
DOUBLINGS = 4
SET_ASIDE = "set_aside"
REFUSED = "refused"
TAKEN_IN = ("stored", "superseded")


class Instant(TypeDecorator[datetime]):
    """An aware datetime, kept in UTC; SQLite has no zones, so it is put back when read."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Return the instant in UTC; a naive one is a bug of the caller."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Return the stored instant, aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Due(NamedTuple):
    """What the relay needs of a row: its place in the order, where it goes, and the entry."""

    seq: int
    epoch: int
    exchange: str
    route: str
    kind: str
    source_at: datetime
    payload: bytes


class Receipt(NamedTuple):
    """What became of one entry at the receiver: stored, duplicate, superseded or set_aside (with reason).

    `refused` (with reason) says that its envelope could not be opened: it is still to be delivered.
    """

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
        Column("source_at", Instant, nullable=False),
        Column("payload", LargeBinary, nullable=False),
        Column("created_at", Instant, nullable=False),
        Column("eligible", Integer, nullable=False, server_default="1"),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("sent_at", Instant),
        Column("confirmed_at", Instant),
        Column("settled_at", Instant),
        Column("fate", String(16)),
        Column("reason", String(500)),
        Index("ix_outbox_unsettled", "seq", sqlite_where=OPEN, postgresql_where=OPEN),
        Index("ix_outbox_unsent", "eligible", "seq", sqlite_where=UNSENT, postgresql_where=UNSENT),
    )


def due(
    connection: Connection,
    outbox: Table,
    *,
    now: datetime,
    resend_after: timedelta,
    limit: int,
    with_resends: bool = True,
    without: Collection[str] = (),
) -> list[Due]:
    """Return the rows to send now, in order: never sent; if there is room, sent long ago without a receipt.

    Rows of the routes in `without` are left alone.

    Finding the latter takes a look at every row that waits for its receipt; `with_resends` says whether.
    Each sending doubles the wait for the next, DOUBLINGS times: while the receiver is away for hours, the
    broker is not filled with copies.
    """
    patience = {f"before_{doubled}": now - resend_after * 2**doubled for doubled in range(DOUBLINGS + 1)}
    found = _fetch(connection, outbox, _unsent, without, most=limit)
    if with_resends and len(found) < limit:
        found += _fetch(connection, outbox, _overdue, without, most=limit - len(found), **patience)
        found.sort()
    return [Due(*row) for row in found]


def _fetch(
    connection: Connection,
    outbox: Table,
    query: Callable[[Table], Select[Any]],
    without: Collection[str],
    **values: Any,
) -> list[tuple[Any, ...]]:
    if not without:
        return _prepared(outbox, query).fetch(connection, **values)
    others = query(outbox).where(outbox.c.route.not_in(without))
    return [tuple(row) for row in connection.execute(others, values)]


@cache
def _prepared(outbox: Table, query: Callable[[Table], Select[Any]]) -> Prepared:
    return Prepared(query(outbox))


def _unsent(outbox: Table) -> Select[Any]:
    return (
        select(*(outbox.c[name] for name in Due._fields))
        .where(outbox.c.sent_at.is_(None), outbox.c.settled_at.is_(None), outbox.c.eligible == 1)
        .order_by(outbox.c.seq)
        .limit(bindparam("most", type_=Integer))
    )


def _overdue(outbox: Table) -> Select[Any]:
    sent_at, attempts = outbox.c.sent_at, outbox.c.attempts
    patience = [bindparam(f"before_{doubled}", type_=sent_at.type) for doubled in range(DOUBLINGS + 1)]
    tired = case(*((attempts <= sent, before) for sent, before in enumerate(patience, 1)), else_=patience[-1])
    return (
        select(*(outbox.c[name] for name in Due._fields))
        .where(outbox.c.settled_at.is_(None), outbox.c.eligible == 1, sent_at < tired)
        .order_by(outbox.c.seq)
        .limit(bindparam("most", type_=Integer))
    )


def entry_of(row: Due) -> Entry:
    """Return the Entry of an outbox row."""
    return Entry(row.epoch, row.seq, row.source_at, row.kind, row.payload)


def mark_confirmed(
    connection: Connection, outbox: Table, seqs: Sequence[int], *, now: datetime, settle: bool
) -> None:
    """Note that the broker has these rows; with `settle` that is the end of them."""
    if seqs:
        _confirm(outbox, settle).run(connection, [{"row": seq, "at": now} for seq in seqs])


@cache
def _confirm(outbox: Table, settle: bool) -> Prepared:
    at = bindparam("at", type_=outbox.c.sent_at.type)
    values: dict[str, Any] = {"sent_at": at, "confirmed_at": at, "attempts": outbox.c.attempts + 1}
    if settle:
        values |= {"settled_at": at, "fate": "sent"}
    return Prepared(update(outbox).where(outbox.c.seq == bindparam("row")).values(values))


def mark_settled(connection: Connection, outbox: Table, receipts: Sequence[Receipt], *, now: datetime) -> int:
    """Write the receivers' receipts; return how many rows they closed.

    A second receipt changes nothing, but that what was set aside has been stored after all. What was refused
    stays open with its reason and is sent again.
    """
    refused = [r for r in receipts if r.fate == REFUSED]
    if refused:
        _explain(outbox).run(
            connection,
            [{"row": r.seq, "of_epoch": r.epoch, "why": r.reason and r.reason[:500]} for r in refused],
        )
        receipts = [r for r in receipts if r.fate != REFUSED]
    if not receipts:
        return 0
    rows = [
        {
            "row": r.seq,
            "of_epoch": r.epoch,
            "at": now,
            "to_fate": r.fate,
            "why": r.reason and r.reason[:500],
            "amended": SET_ASIDE if r.fate in TAKEN_IN else "",
        }
        for r in receipts
    ]
    return _settle(outbox).run(connection, rows).rowcount


@cache
def _settle(outbox: Table) -> Prepared:
    at = bindparam("at", type_=outbox.c.settled_at.type)
    return Prepared(
        update(outbox)
        .where(
            and_(
                outbox.c.seq == bindparam("row"),
                outbox.c.epoch == bindparam("of_epoch"),
                outbox.c.settled_at.is_(None) | (outbox.c.fate == bindparam("amended")),
            )
        )
        .values(settled_at=at, fate=bindparam("to_fate"), reason=bindparam("why"))
    )


@cache
def _explain(outbox: Table) -> Prepared:
    is_open = and_(
        outbox.c.seq == bindparam("row"),
        outbox.c.epoch == bindparam("of_epoch"),
        outbox.c.settled_at.is_(None),
    )
    return Prepared(update(outbox).where(is_open).values(reason=bindparam("why")))


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
