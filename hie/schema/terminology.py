"""Tables of the terminology: code systems and their concepts, value sets, maps, local codes seen.

A code system, value set or map is one row per (url, version); `is_current` marks the version meant where
none is named: the one that was loaded or written last.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, DateTime, ForeignKey, Identity, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from hie.schema.base import Base
from hie.schema.repository import Xid8

CODE = Text(collation="C")


def _one_version(table: str) -> tuple[Index, Index]:
    """Return the indexes that keep one row per url and version, and one current version per url."""
    return (
        Index(f"uq_{table}_url_version", "url", "version", unique=True),
        Index(f"uq_{table}_current", "url", unique=True, postgresql_where=text("is_current")),
    )


class CodeSystem(Base):
    """A version of a code system.

    resource_id: id of the CodeSystem it is read under; written over the API where `is_written`, else loaded.
    digest: SHA-256 of what was loaded, so that loading it again does nothing.
    content: complete, fragment, example, supplement or not-present (FHIR codesystem-content-mode).
    """

    __tablename__ = "code_system"
    __table_args__ = _one_version("code_system")

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    url: Mapped[str] = mapped_column(CODE)
    version: Mapped[str] = mapped_column(CODE)
    is_current: Mapped[bool]
    resource_id: Mapped[str | None] = mapped_column(CODE, index=True)
    is_written: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    facility: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text, server_default="")
    status: Mapped[str] = mapped_column(Text, server_default="active")
    content: Mapped[str] = mapped_column(Text, server_default="complete")
    is_case_sensitive: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    language: Mapped[str] = mapped_column(Text, server_default="zh")
    value_set: Mapped[str | None] = mapped_column(CODE)
    source: Mapped[str] = mapped_column(Text, server_default="")
    digest: Mapped[str] = mapped_column(Text, server_default="")
    concepts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    loaded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))


class Concept(Base):
    """A code of a code system.

    display: in the language of the code system; display_zh, display_en where known.
    ancestors: every code above it; a category may stand here that the table itself does not list.
    search: lower-case words it is found by: code, English words, pinyin, initials.
    properties, designations: as in the FHIR CodeSystem.
    """

    __tablename__ = "concept"
    __table_args__ = (
        Index("ix_concept_ancestors", "ancestors", postgresql_using="gin"),
        Index("ix_concept_ordinal", "system_id", "ordinal"),
        Index("ix_concept_lower", "system_id", text("lower(code)")),
    )

    system_id: Mapped[int] = mapped_column(
        Integer, ForeignKey("code_system.id", ondelete="CASCADE"), primary_key=True
    )
    code: Mapped[str] = mapped_column(CODE, primary_key=True)
    ordinal: Mapped[int]
    display: Mapped[str] = mapped_column(Text)
    display_zh: Mapped[str | None] = mapped_column(Text)
    display_en: Mapped[str | None] = mapped_column(Text)
    definition: Mapped[str | None] = mapped_column(Text)
    parents: Mapped[list[str]] = mapped_column(ARRAY(Text))
    ancestors: Mapped[list[str]] = mapped_column(ARRAY(Text))
    active: Mapped[bool]
    abstract: Mapped[bool]
    properties: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
    designations: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
    search: Mapped[str] = mapped_column(Text)


class ValueSet(Base):
    """A version of a value set, by its compose; expanded when asked."""

    __tablename__ = "value_set"
    __table_args__ = _one_version("value_set")

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    url: Mapped[str] = mapped_column(CODE)
    version: Mapped[str] = mapped_column(CODE)
    is_current: Mapped[bool]
    resource_id: Mapped[str | None] = mapped_column(CODE, index=True)
    is_written: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    facility: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text, server_default="")
    status: Mapped[str] = mapped_column(Text, server_default="active")
    compose: Mapped[dict[str, Any]] = mapped_column(JSONB)
    loaded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))


class ConceptMap(Base):
    """A version of a map between codes. facility: whose local codes it maps, if one hospital's.

    unmapped: what becomes of codes that a group does not list, with its source and target.
    digest: SHA-256 of what was loaded, so that loading it again does nothing.
    """

    __tablename__ = "concept_map"
    __table_args__ = _one_version("concept_map")

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    url: Mapped[str] = mapped_column(CODE)
    version: Mapped[str] = mapped_column(CODE)
    is_current: Mapped[bool]
    resource_id: Mapped[str | None] = mapped_column(CODE, index=True)
    is_written: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    facility: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, server_default="active")
    source_uri: Mapped[str | None] = mapped_column(CODE)
    target_uri: Mapped[str | None] = mapped_column(CODE)
    unmapped: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
    digest: Mapped[str] = mapped_column(Text, server_default="")
    loaded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))


class ConceptMapRow(Base):
    """One source code and one of its targets; no target_code where there is none (unmatched)."""

    __tablename__ = "concept_map_row"
    __table_args__ = (
        Index("ix_concept_map_row_source", "source_system", "source_code", "map_id"),
        Index("ix_concept_map_row_target", "target_system", "target_code", "map_id"),
    )

    map_id: Mapped[int] = mapped_column(
        Integer, ForeignKey("concept_map.id", ondelete="CASCADE"), primary_key=True
    )
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    source_system: Mapped[str] = mapped_column(CODE)
    source_code: Mapped[str] = mapped_column(CODE)
    source_display: Mapped[str | None] = mapped_column(Text)
    target_system: Mapped[str | None] = mapped_column(CODE)
    target_code: Mapped[str | None] = mapped_column(CODE)
    target_display: Mapped[str | None] = mapped_column(Text)
    equivalence: Mapped[str] = mapped_column(Text)
    comment: Mapped[str | None] = mapped_column(Text)


class LocalCode(Base):
    """A code of a hospital's own, as the repository received it.

    count: versions of resources that carried it. standard_system, standard_code: what the front-end
    processor had set beside it, where it had.
    """

    __tablename__ = "local_code"

    facility: Mapped[str] = mapped_column(CODE, primary_key=True)
    system: Mapped[str] = mapped_column(CODE, primary_key=True)
    code: Mapped[str] = mapped_column(CODE, primary_key=True)
    display: Mapped[str] = mapped_column(Text)
    count: Mapped[int] = mapped_column(BigInteger)
    first_seen: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    last_seen: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    example_type: Mapped[str] = mapped_column(Text)
    standard_system: Mapped[str | None] = mapped_column(CODE)
    standard_code: Mapped[str | None] = mapped_column(CODE)


class TerminologyMark(Base):
    """How far the repository was read for local codes: every transaction below `xid` is counted."""

    __tablename__ = "terminology_mark"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    xid: Mapped[int] = mapped_column(Xid8)
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
