"""Tables of rights and proof: relations between facilities and persons, and the audit trail."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from hie.schema.base import Base


class Relation(Base):
    """Why a facility (or one user of it) may see a person's record, and until when.

    identity: the source record it arose from; when that moves to another person, the relation moves too.
    cause: what opened it, e.g. `Encounter/x`; a newer version of the same cause updates the row.
    kind `granted` is the explicit right that a restricted person's record needs.
    """

    __tablename__ = "relation"
    __table_args__ = (
        Index(None, "person_id", "facility"),
        Index(None, "facility", "until"),
        Index(None, "identity"),
        Index(
            "uq_relation_cause", "cause", "facility", unique=True, postgresql_where=text("cause IS NOT NULL")
        ),
        CheckConstraint("kind IN ('encounter', 'referral', 'consultation', 'confirmed', 'granted')", "kind"),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    facility: Mapped[str] = mapped_column(Text)
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id"))
    identity: Mapped[str | None] = mapped_column(Text(collation="C"))
    cause: Mapped[str | None] = mapped_column(Text(collation="C"))
    username: Mapped[str | None] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    purpose: Mapped[str] = mapped_column(Text, server_default="TREAT")
    opened_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    until: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class AuditEventRow(Base):
    """One request, permitted or denied: who, what, whose, why, how it ended (rendered as IHE BALP).

    others: the further patients, beside `compartment`, whose records the request gave or changed.
    """

    __tablename__ = "audit_event"
    __table_args__ = (
        CheckConstraint("action IN ('C', 'R', 'U', 'D', 'E')", "action"),
        CheckConstraint("outcome IN (0, 4, 8)", "outcome"),
        Index(None, "at"),
        Index(None, "compartment", "at", postgresql_where=text("compartment IS NOT NULL")),
        Index(None, "actor", "at"),
        # Rows that name no compartment: a person's record as a whole, and refused looks at a Patient.
        Index(
            "ix_audit_event_person",
            "person_id",
            "at",
            postgresql_where=text("compartment IS NULL AND person_id IS NOT NULL"),
        ),
        Index(
            "ix_audit_event_refused_patient",
            "resource_id",
            "at",
            postgresql_where=text("compartment IS NULL AND resource_type = 'Patient'"),
        ),
        Index(None, "others", postgresql_using="gin", postgresql_where=text("others IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("clock_timestamp()"))
    actor_kind: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)
    facility: Mapped[str | None] = mapped_column(Text)
    role: Mapped[str | None] = mapped_column(Text)
    purpose: Mapped[str | None] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    operation: Mapped[str] = mapped_column(Text)
    resource_type: Mapped[str | None] = mapped_column(Text)
    resource_id: Mapped[str | None] = mapped_column(Text)
    compartment: Mapped[str | None] = mapped_column(Text)
    others: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    person_id: Mapped[uuid.UUID | None]
    outcome: Mapped[int]
    http: Mapped[int | None]
    request_id: Mapped[str | None] = mapped_column(Text)
    detail: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))


class AuditSeal(Base):
    """A link of the hash chain over the audit rows id_from..id_to; made afterwards, in batches."""

    __tablename__ = "audit_seal"

    id_to: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    id_from: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int]
    previous: Mapped[bytes] = mapped_column(LargeBinary)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=text("clock_timestamp()")
    )
