"""Tables of subscriptions: whom to tell of what, and each event that is to be told, once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from hie.schema.base import Base
from hie.schema.repository import Xid8


class SubscriptionRow(Base):
    """What the hub does for a FHIR Subscription; follows the resource of the same id.

    owner: whose rights decide, as `hie.security.standing` remembers it. topic: canonical of a backport topic,
    None for criteria of R4. filters: the searches that must match, e.g. `Encounter?patient=Patient/1`.
    matched: every change below this transaction id has been looked at. last_number: of the newest event.
    payload: none, resource (R4: PUT), or empty, id-only, full-resource (backport).
    costly: how many looks in a row took too long; above none it is looked after apart, not before look_at.
    """

    __tablename__ = "subscription"
    __table_args__ = (
        CheckConstraint("state IN ('requested', 'active', 'error', 'off')", "state"),
        CheckConstraint("payload IN ('none', 'resource', 'empty', 'id-only', 'full-resource')", "payload"),
    )

    id: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    state: Mapped[str] = mapped_column(Text)
    owner: Mapped[dict[str, Any]] = mapped_column(JSONB)
    topic: Mapped[str | None] = mapped_column(Text)
    filters: Mapped[list[str]] = mapped_column(JSONB)
    endpoint: Mapped[str] = mapped_column(Text)
    headers: Mapped[list[str]] = mapped_column(JSONB)
    payload: Mapped[str] = mapped_column(Text)
    heartbeat_s: Mapped[int | None]
    most: Mapped[int] = mapped_column(server_default="1")
    ends_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    since: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    matched: Mapped[int] = mapped_column(Xid8, server_default=text("pg_current_xact_id()"))
    last_number: Mapped[int] = mapped_column(BigInteger, server_default="0")
    costly: Mapped[int] = mapped_column(server_default="0")
    look_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    failures: Mapped[int] = mapped_column(server_default="0")
    retry_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    told_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    error: Mapped[str | None] = mapped_column(Text)


class SubscriptionEvent(Base):
    """One event of a subscription: this version of this resource, under a number of its own.

    settled: None while it waits; `delivered`; `withheld` if the owner may not see it any more.
    """

    __tablename__ = "subscription_event"
    __table_args__ = (
        CheckConstraint("settled IN ('delivered', 'withheld')", "settled"),
        Index("uq_subscription_event_version", "subscription", "type", "id", "version", unique=True),
        Index(
            "ix_subscription_event_waiting",
            "subscription",
            "number",
            postgresql_where=text("settled IS NULL"),
        ),
    )

    subscription: Mapped[str] = mapped_column(
        ForeignKey("subscription.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    type: Mapped[str] = mapped_column(Text(collation="C"))
    id: Mapped[str] = mapped_column(Text(collation="C"))
    version: Mapped[int]
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    settled: Mapped[str | None] = mapped_column(Text)
    settled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
