"""Tables of the FHIR repository: who owns an id, the present text of each resource, its past, its index.

Keys begin with the compartment (the source Patient's id, or '' for what belongs to no patient) so that a
distributed PostgreSQL can shard by it; `resource_key` maps (type, id) to the compartment.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import BigInteger, Column, DateTime, Double, Index, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from hie.schema.base import Base

NO_COMPARTMENT = ""


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id: the watermark that misses no late commit."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return the type's name in SQL."""
        return "xid8"

    def bind_processor(self, dialect: object) -> Callable[[int | None], str | None]:
        """Send it as text: PostgreSQL makes no transaction id of an integer."""
        return lambda value: None if value is None else str(value)

    def result_processor(self, dialect: object, coltype: object) -> Callable[[str | None], int | None]:
        """Read it as the number it is."""
        return lambda value: None if value is None else int(value)


class ResourceKey(Base):
    """The owner of a (type, id) for ever: which compartment it lives in, which facility wrote it first."""

    __tablename__ = "resource_key"

    type: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    id: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    compartment: Mapped[str] = mapped_column(Text(collation="C"))
    facility: Mapped[str | None] = mapped_column(Text)


class Resource(Base):
    """The present version of a resource; `content` is the text as it is returned, with meta.

    tokens: what it is found by (`hie.repository.tokens`). date_low, date_high: the instants its own date
    covers, e.g. Observation.effective; its other dates are in `search_date`.
    """

    __tablename__ = "resource"
    __table_args__ = (
        # New entries wait in a list that every search reads: small enough not to be felt (measured).
        Index(
            "ix_resource_tokens",
            "tokens",
            postgresql_using="gin",
            postgresql_with={"fastupdate": "on", "gin_pending_list_limit": "512"},
        ),
        Index("ix_resource_type_updated", "type", "updated_at", "id", postgresql_where=text("NOT deleted")),
        # Deletions alone, for histories: they are few.
        Index("ix_resource_deleted", "type", "updated_at", postgresql_where=text("deleted")),
        # What was committed below a watermark: exports and subscriptions begin here.
        Index("ix_resource_xid", "xid"),
        Index(
            "ix_resource_type_date",
            "type",
            text("date_low DESC NULLS LAST"),
            "date_high",
            postgresql_where=text("NOT deleted"),
        ),
    )

    compartment: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    type: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    id: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    version: Mapped[int]
    facility: Mapped[str | None] = mapped_column(Text)
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    xid: Mapped[int] = mapped_column(Xid8, server_default=text("pg_current_xact_id()"))
    source_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    epoch: Mapped[int]
    seq: Mapped[int] = mapped_column(BigInteger)
    deleted: Mapped[bool]
    tokens: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    date_low: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    date_high: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    content: Mapped[str] = mapped_column(Text)


class ResourceHistory(Base):
    """A version that is no longer present, or that arrived after a newer one (superseded)."""

    __tablename__ = "resource_history"
    __table_args__ = (
        # The histories of types and of the system; what arrived late is not in them.
        Index("ix_resource_history_updated", "type", "updated_at", postgresql_where=text("NOT superseded")),
    )

    type: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    id: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    compartment: Mapped[str] = mapped_column(Text(collation="C"))
    facility: Mapped[str | None] = mapped_column(Text)
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    xid: Mapped[int] = mapped_column(Xid8, server_default=text("pg_current_xact_id()"))
    source_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    epoch: Mapped[int]
    seq: Mapped[int] = mapped_column(BigInteger)
    deleted: Mapped[bool]
    superseded: Mapped[bool] = mapped_column(server_default=text("false"))
    content: Mapped[str] = mapped_column(Text)


class SearchDate(Base):
    """A date or period of a resource under a search parameter, as the instants it begins and ends at."""

    __tablename__ = "search_date"
    __table_args__ = (Index("ix_search_date_range", "type", "param", "low", "id"),)

    compartment: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    type: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    id: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    param: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    low: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    high: Mapped[datetime] = mapped_column(DateTime(timezone=True))


# A number or quantity of a resource, by a hash of the element's name; `about` is the code it is stated of,
# e.g. the laboratory test. base_low and base_high are in base units.
SearchNumber = Table(
    "search_number",
    Base.metadata,
    Column("compartment", Text(collation="C"), nullable=False),
    Column("type", Text(collation="C"), nullable=False),
    Column("id", Text(collation="C"), nullable=False),
    Column("name", BigInteger, nullable=False),
    Column("about", BigInteger),
    Column("about_system", BigInteger),
    Column("low", Double, nullable=False),
    Column("high", Double, nullable=False),
    Column("unit", BigInteger),
    Column("unit_system", BigInteger),
    Column("unit_text", BigInteger),
    Column("base", BigInteger),
    Column("base_low", Double),
    Column("base_high", Double),
    Index("ix_search_number_id", "id"),
    Index("ix_search_number_range", "name", "about", "low"),
)

# The different texts that stand at an element (`path` is a hash of its name), each with the token that
# resources having it carry: what `:contains`, `:text` and `:below` look through.
SearchText = Table(
    "search_text",
    Base.metadata,
    Column("token", BigInteger, nullable=False),
    Column("path", BigInteger, nullable=False),
    Column("text", Text(collation="C"), nullable=False),
    Index("ix_search_text_token", "token"),
    Index("ix_search_text_path", "path"),
)
