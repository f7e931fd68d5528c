"""Tables of long work: jobs (exports, imports, asynchronous requests), their files, watermarks of exports."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from hie.schema.base import Base
from hie.schema.repository import Xid8


class Job(Base):
    """One piece of long work; any worker may go on where another was killed.

    actor: who asked, as `hie.security.standing` remembers it. request: what was asked for.
    position: where the work stands, committed together with what was done so far.
    snapshot: an export holds what was committed below this transaction id.
    """

    __tablename__ = "job"
    __table_args__ = (
        CheckConstraint("kind IN ('export', 'import', 'request')", "kind"),
        CheckConstraint("state IN ('waiting', 'running', 'done', 'failed', 'cancelled')", "state"),
        Index("ix_job_open", "asked_at", postgresql_where=text("state IN ('waiting', 'running')")),
        Index(None, "expires_at"),
    )

    id: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, server_default="waiting")
    client: Mapped[str] = mapped_column(Text)
    actor: Mapped[dict[str, Any]] = mapped_column(JSONB)
    url: Mapped[str] = mapped_column(Text)
    request: Mapped[dict[str, Any]] = mapped_column(JSONB)
    position: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    progress: Mapped[str] = mapped_column(Text, server_default="waiting")
    snapshot: Mapped[int | None] = mapped_column(Xid8)
    transaction_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    asked_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))
    polled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    failure: Mapped[str | None] = mapped_column(Text)


class JobFile(Base):
    """A file of a job; what lies behind `bytes` on disk was not committed and is cut off.

    kind: output, deleted or error, as the manifest lists it.
    """

    __tablename__ = "job_file"
    __table_args__ = (CheckConstraint("kind IN ('output', 'deleted', 'error')", "kind"),)

    job: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    type: Mapped[str] = mapped_column(Text(collation="C"))
    count: Mapped[int] = mapped_column(BigInteger, server_default="0")
    bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")


class ExportMark(Base):
    """The watermark behind a transactionTime: `_since` that instant misses no late commit."""

    __tablename__ = "export_mark"

    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    xid: Mapped[int] = mapped_column(Xid8)
