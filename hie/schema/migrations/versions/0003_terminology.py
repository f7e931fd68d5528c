"""Terminology: code systems, value sets, concept maps, local codes seen."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from hie.schema.repository import Xid8

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "code_system",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("url", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Text(collation="C"), nullable=False),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column("resource_id", sa.Text(collation="C"), nullable=True),
        sa.Column("is_written", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("facility", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("content", sa.Text(), server_default="complete", nullable=False),
        sa.Column("is_case_sensitive", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("language", sa.Text(), server_default="zh", nullable=False),
        sa.Column("value_set", sa.Text(collation="C"), nullable=True),
        sa.Column("source", sa.Text(), server_default="", nullable=False),
        sa.Column("digest", sa.Text(), server_default="", nullable=False),
        sa.Column("concepts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("loaded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_code_system")),
    )
    op.create_index(op.f("ix_code_system_resource_id"), "code_system", ["resource_id"], unique=False)
    op.create_index(
        "uq_code_system_current", "code_system", ["url"], unique=True, postgresql_where=sa.text("is_current")
    )
    op.create_index("uq_code_system_url_version", "code_system", ["url", "version"], unique=True)
    op.create_table(
        "concept_map",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("url", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Text(collation="C"), nullable=False),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column("resource_id", sa.Text(collation="C"), nullable=True),
        sa.Column("is_written", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("facility", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("source_uri", sa.Text(collation="C"), nullable=True),
        sa.Column("target_uri", sa.Text(collation="C"), nullable=True),
        sa.Column("unmapped", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("digest", sa.Text(), server_default="", nullable=False),
        sa.Column("loaded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_concept_map")),
    )
    op.create_index(op.f("ix_concept_map_resource_id"), "concept_map", ["resource_id"], unique=False)
    op.create_index(
        "uq_concept_map_current", "concept_map", ["url"], unique=True, postgresql_where=sa.text("is_current")
    )
    op.create_index("uq_concept_map_url_version", "concept_map", ["url", "version"], unique=True)
    op.create_table(
        "local_code",
        sa.Column("facility", sa.Text(collation="C"), nullable=False),
        sa.Column("system", sa.Text(collation="C"), nullable=False),
        sa.Column("code", sa.Text(collation="C"), nullable=False),
        sa.Column("display", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("example_type", sa.Text(), nullable=False),
        sa.Column("standard_system", sa.Text(collation="C"), nullable=True),
        sa.Column("standard_code", sa.Text(collation="C"), nullable=True),
        sa.PrimaryKeyConstraint("facility", "system", "code", name=op.f("pk_local_code")),
    )
    op.create_table(
        "terminology_mark",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("xid", Xid8(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_terminology_mark")),
    )
    op.create_table(
        "value_set",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("url", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Text(collation="C"), nullable=False),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column("resource_id", sa.Text(collation="C"), nullable=True),
        sa.Column("is_written", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("facility", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("compose", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("loaded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_value_set")),
    )
    op.create_index(op.f("ix_value_set_resource_id"), "value_set", ["resource_id"], unique=False)
    op.create_index(
        "uq_value_set_current", "value_set", ["url"], unique=True, postgresql_where=sa.text("is_current")
    )
    op.create_index("uq_value_set_url_version", "value_set", ["url", "version"], unique=True)
    op.create_table(
        "concept",
        sa.Column("system_id", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(collation="C"), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("display", sa.Text(), nullable=False),
        sa.Column("display_zh", sa.Text(), nullable=True),
        sa.Column("display_en", sa.Text(), nullable=True),
        sa.Column("definition", sa.Text(), nullable=True),
        sa.Column("parents", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("ancestors", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("abstract", sa.Boolean(), nullable=False),
        sa.Column("properties", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("designations", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("search", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["system_id"], ["code_system.id"], name=op.f("fk_concept_system_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("system_id", "code", name=op.f("pk_concept")),
    )
    op.create_index("ix_concept_ancestors", "concept", ["ancestors"], unique=False, postgresql_using="gin")
    op.create_index("ix_concept_ordinal", "concept", ["system_id", "ordinal"], unique=False)
    op.create_index("ix_concept_lower", "concept", ["system_id", sa.text("lower(code)")], unique=False)
    op.create_table(
        "concept_map_row",
        sa.Column("map_id", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("source_system", sa.Text(collation="C"), nullable=False),
        sa.Column("source_code", sa.Text(collation="C"), nullable=False),
        sa.Column("source_display", sa.Text(), nullable=True),
        sa.Column("target_system", sa.Text(collation="C"), nullable=True),
        sa.Column("target_code", sa.Text(collation="C"), nullable=True),
        sa.Column("target_display", sa.Text(), nullable=True),
        sa.Column("equivalence", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["map_id"], ["concept_map.id"], name=op.f("fk_concept_map_row_map_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("map_id", "ordinal", name=op.f("pk_concept_map_row")),
    )
    op.create_index(
        "ix_concept_map_row_source",
        "concept_map_row",
        ["source_system", "source_code", "map_id"],
        unique=False,
    )
    op.create_index(
        "ix_concept_map_row_target",
        "concept_map_row",
        ["target_system", "target_code", "map_id"],
        unique=False,
    )
