"""Tables of the master patient index: persons, their source records (identities), and every decision made.

Clinical rows point at the identity (the source Patient's id), never at the person.
"""

from __future__ import annotations

import uuid
from datetime import date, datetime

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from hie.schema.base import Base


class Person(Base):
    """One human in the MPI."""

    __tablename__ = "person"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Identity(Base):
    """A source patient record: what one facility knows a person by. `id` is the Patient's resource id."""

    __tablename__ = "identity"
    __table_args__ = (Index(None, "person_id"),)

    id: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    facility: Mapped[str | None] = mapped_column(Text)
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id"))
    name_norm: Mapped[str | None] = mapped_column(Text)
    birth_date: Mapped[date | None]
    gender: Mapped[str | None] = mapped_column(Text)
    restricted: Mapped[bool] = mapped_column(server_default=text("false"))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class IdentityKey(Base):
    """A hashed identifier (system and value) that an identity carries and that may identify a human."""

    __tablename__ = "identity_key"
    __table_args__ = (Index(None, "identity"),)

    key: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    identity: Mapped[str] = mapped_column(
        Text(collation="C"), ForeignKey("identity.id", ondelete="CASCADE"), primary_key=True
    )


class PersonLink(Base):
    """One move of an identity from a person to another; append-only, so that each step can be undone."""

    __tablename__ = "person_link"
    __table_args__ = (
        Index(None, "identity"),
        CheckConstraint(
            "reason IN ('registered', 'matched', 'merged by the facility', 'linked', 'unlinked',"
            " 'declared not the same', 'undone')",
            "reason",
        ),
    )

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    identity: Mapped[str] = mapped_column(Text(collation="C"))
    person_from: Mapped[uuid.UUID | None]
    person_to: Mapped[uuid.UUID]
    reason: Mapped[str] = mapped_column(Text)
    detail: Mapped[str] = mapped_column(Text, server_default="")
    actor: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class NotSame(Base):
    """A steward's word that two identities are different people; it outranks every automatic link."""

    __tablename__ = "not_same"
    __table_args__ = (CheckConstraint("identity_a < identity_b", "ordered"),)

    identity_a: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    identity_b: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    actor: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class ReviewItem(Base):
    """Two identities that a human must decide about; at most one open item for a pair."""

    __tablename__ = "review_item"
    __table_args__ = (
        Index(
            "uq_review_item_open",
            "identity_a",
            "identity_b",
            unique=True,
            postgresql_where=text("state = 'open'"),
        ),
        CheckConstraint("kind IN ('disagreement', 'suggestion', 'changed', 'merge')", "kind"),
        CheckConstraint("state IN ('open', 'linked', 'not_same', 'closed')", "state"),
        CheckConstraint("identity_a < identity_b", "ordered"),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    identity_a: Mapped[str] = mapped_column(Text(collation="C"))
    identity_b: Mapped[str] = mapped_column(Text(collation="C"))
    reason: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, server_default="open")
    opened_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    closed_by: Mapped[str | None] = mapped_column(Text)
