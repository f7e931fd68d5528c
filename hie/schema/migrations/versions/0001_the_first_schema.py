"""The first schema: directory, exchange, repository, MPI, rights and audit."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from hie.schema.repository import Xid8

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attempt",
        sa.Column("message_id", sa.String(length=64), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.String(length=500), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_attempt")),
    )
    op.create_table(
        "audit_event",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("facility", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("purpose", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("resource_type", sa.Text(), nullable=True),
        sa.Column("resource_id", sa.Text(), nullable=True),
        sa.Column("compartment", sa.Text(), nullable=True),
        sa.Column("others", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("outcome", sa.Integer(), nullable=False),
        sa.Column("http", sa.Integer(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.CheckConstraint("action IN ('C', 'R', 'U', 'D', 'E')", name=op.f("ck_audit_event_action")),
        sa.CheckConstraint("outcome IN (0, 4, 8)", name=op.f("ck_audit_event_outcome")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
    )
    op.create_index(op.f("ix_audit_event_actor_at"), "audit_event", ["actor", "at"], unique=False)
    op.create_index(op.f("ix_audit_event_at"), "audit_event", ["at"], unique=False)
    op.create_index(
        "ix_audit_event_person",
        "audit_event",
        ["person_id", "at"],
        unique=False,
        postgresql_where=sa.text("compartment IS NULL AND person_id IS NOT NULL"),
    )
    op.create_index(
        "ix_audit_event_refused_patient",
        "audit_event",
        ["resource_id", "at"],
        unique=False,
        postgresql_where=sa.text("compartment IS NULL AND resource_type = 'Patient'"),
    )
    op.create_index(
        op.f("ix_audit_event_compartment_at"),
        "audit_event",
        ["compartment", "at"],
        unique=False,
        postgresql_where=sa.text("compartment IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_audit_event_others"),
        "audit_event",
        ["others"],
        unique=False,
        postgresql_using="gin",
        postgresql_where=sa.text("others IS NOT NULL"),
    )
    op.create_table(
        "audit_seal",
        sa.Column("id_to", sa.BigInteger(), nullable=False),
        sa.Column("id_from", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column(
            "sealed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id_to", name=op.f("pk_audit_seal")),
    )
    op.create_table(
        "facility",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_en", sa.Text(), server_default="", nullable=False),
        sa.Column("jwks", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_facility")),
    )
    op.create_table(
        "inbox",
        sa.Column("facility", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fate", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.PrimaryKeyConstraint("facility", "epoch", "seq", name=op.f("pk_inbox")),
    )
    op.create_index("ix_inbox_received_at", "inbox", ["received_at"], unique=False, postgresql_using="brin")
    op.create_table(
        "not_same",
        sa.Column("identity_a", sa.Text(collation="C"), nullable=False),
        sa.Column("identity_b", sa.Text(collation="C"), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("identity_a < identity_b", name=op.f("ck_not_same_ordered")),
        sa.PrimaryKeyConstraint("identity_a", "identity_b", name=op.f("pk_not_same")),
    )
    op.create_table(
        "outbox",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("exchange", sa.String(length=64), nullable=False),
        sa.Column("route", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("source_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("eligible", sa.Integer(), server_default="1", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fate", sa.String(length=16), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_outbox")),
    )
    op.create_index(
        "ix_outbox_unsent",
        "outbox",
        ["eligible", "seq"],
        unique=False,
        sqlite_where=sa.text("sent_at IS NULL AND settled_at IS NULL"),
        postgresql_where=sa.text("sent_at IS NULL AND settled_at IS NULL"),
    )
    op.create_index(
        "ix_outbox_unsettled",
        "outbox",
        ["seq"],
        unique=False,
        sqlite_where=sa.text("settled_at IS NULL"),
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    op.create_table(
        "person",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
    )
    op.create_table(
        "person_link",
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("identity", sa.Text(collation="C"), nullable=False),
        sa.Column("person_from", sa.Uuid(), nullable=True),
        sa.Column("person_to", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "reason IN ('registered', 'matched', 'merged by the facility', 'linked', 'unlinked',"
            " 'declared not the same', 'undone')",
            name=op.f("ck_person_link_reason"),
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_person_link")),
    )
    op.create_index(op.f("ix_person_link_identity"), "person_link", ["identity"], unique=False)
    op.create_table(
        "resource",
        sa.Column("compartment", sa.Text(collation="C"), nullable=False),
        sa.Column("type", sa.Text(collation="C"), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("facility", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("source_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("tokens", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("date_low", sa.DateTime(timezone=True), nullable=True),
        sa.Column("date_high", sa.DateTime(timezone=True), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("compartment", "type", "id", name=op.f("pk_resource")),
    )
    op.create_index(
        "ix_resource_tokens",
        "resource",
        ["tokens"],
        unique=False,
        postgresql_using="gin",
        postgresql_with={"fastupdate": "on", "gin_pending_list_limit": "512"},
    )
    op.create_index(
        "ix_resource_deleted",
        "resource",
        ["type", "updated_at"],
        unique=False,
        postgresql_where=sa.text("deleted"),
    )
    op.create_index(
        "ix_resource_type_updated",
        "resource",
        ["type", "updated_at", "id"],
        unique=False,
        postgresql_where=sa.text("NOT deleted"),
    )
    op.create_index(
        "ix_resource_type_date",
        "resource",
        ["type", sa.literal_column("date_low DESC NULLS LAST"), "date_high"],
        unique=False,
        postgresql_where=sa.text("NOT deleted"),
    )
    op.create_table(
        "resource_history",
        sa.Column("type", sa.Text(collation="C"), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("compartment", sa.Text(collation="C"), nullable=False),
        sa.Column("facility", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("source_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("superseded", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("type", "id", "version", name=op.f("pk_resource_history")),
    )
    op.create_index(
        "ix_resource_history_updated",
        "resource_history",
        ["type", "updated_at"],
        unique=False,
        postgresql_where=sa.text("NOT superseded"),
    )
    for table in ("resource", "resource_history"):
        # For less CPU than the default in writing and reading; the disk each takes was not compared.
        op.execute(f"ALTER TABLE {table} ALTER COLUMN content SET COMPRESSION lz4")
    op.create_table(
        "resource_key",
        sa.Column("type", sa.Text(collation="C"), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("compartment", sa.Text(collation="C"), nullable=False),
        sa.Column("facility", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("type", "id", name=op.f("pk_resource_key")),
    )
    op.create_table(
        "review_item",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("identity_a", sa.Text(collation="C"), nullable=False),
        sa.Column("identity_b", sa.Text(collation="C"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_by", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('open', 'linked', 'not_same', 'closed')", name=op.f("ck_review_item_state")
        ),
        sa.CheckConstraint(
            "kind IN ('disagreement', 'suggestion', 'changed', 'merge')", name=op.f("ck_review_item_kind")
        ),
        sa.CheckConstraint("identity_a < identity_b", name=op.f("ck_review_item_ordered")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review_item")),
    )
    op.create_index(
        "uq_review_item_open",
        "review_item",
        ["identity_a", "identity_b"],
        unique=True,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "search_date",
        sa.Column("compartment", sa.Text(collation="C"), nullable=False),
        sa.Column("type", sa.Text(collation="C"), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("param", sa.Text(collation="C"), nullable=False),
        sa.Column("low", sa.DateTime(timezone=True), nullable=False),
        sa.Column("high", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("compartment", "type", "id", "param", "low", name=op.f("pk_search_date")),
    )
    op.create_index("ix_search_date_range", "search_date", ["type", "param", "low", "id"], unique=False)
    op.create_table(
        "set_aside",
        sa.Column("facility", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("source_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("redriven_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("facility", "epoch", "seq", name=op.f("pk_set_aside")),
    )
    op.create_index(
        "ix_set_aside_open",
        "set_aside",
        ["at"],
        unique=False,
        postgresql_where=sa.text("redriven_at IS NULL"),
    )
    op.create_table(
        "app_client",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("facility", sa.Text(), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["facility"], ["facility.code"], name=op.f("fk_app_client_facility")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_app_client")),
    )
    op.create_table(
        "app_user",
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("facility", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "role IN ('doctor', 'referral', 'engineer', 'steward', 'auditor', 'operator')",
            name=op.f("ck_app_user_role"),
        ),
        sa.ForeignKeyConstraint(["facility"], ["facility.code"], name=op.f("fk_app_user_facility")),
        sa.PrimaryKeyConstraint("username", name=op.f("pk_app_user")),
    )
    op.create_table(
        "identity",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("facility", sa.Text(), nullable=True),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("name_norm", sa.Text(), nullable=True),
        sa.Column("birth_date", sa.Date(), nullable=True),
        sa.Column("gender", sa.Text(), nullable=True),
        sa.Column("restricted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_identity_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity")),
    )
    op.create_index(op.f("ix_identity_person_id"), "identity", ["person_id"], unique=False)
    op.create_table(
        "relation",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("facility", sa.Text(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("identity", sa.Text(collation="C"), nullable=True),
        sa.Column("cause", sa.Text(collation="C"), nullable=True),
        sa.Column("username", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), server_default="TREAT", nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind IN ('encounter', 'referral', 'consultation', 'confirmed', 'granted')",
            name=op.f("ck_relation_kind"),
        ),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_relation_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_relation")),
    )
    op.create_index(op.f("ix_relation_facility_until"), "relation", ["facility", "until"], unique=False)
    op.create_index(op.f("ix_relation_identity"), "relation", ["identity"], unique=False)
    op.create_index(
        op.f("ix_relation_person_id_facility"), "relation", ["person_id", "facility"], unique=False
    )
    op.create_index(
        "uq_relation_cause",
        "relation",
        ["cause", "facility"],
        unique=True,
        postgresql_where=sa.text("cause IS NOT NULL"),
    )
    op.create_table(
        "access_token",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["client_id"], ["app_client.id"], name=op.f("fk_access_token_client_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_access_token")),
    )
    op.create_index(op.f("ix_access_token_expires_at"), "access_token", ["expires_at"], unique=False)
    op.create_table(
        "portal_session",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["username"],
            ["app_user.username"],
            name=op.f("fk_portal_session_username"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_portal_session")),
    )
    op.create_index(op.f("ix_portal_session_expires_at"), "portal_session", ["expires_at"], unique=False)
    op.create_table(
        "identity_key",
        sa.Column("key", sa.BigInteger(), nullable=False),
        sa.Column("identity", sa.Text(collation="C"), nullable=False),
        sa.ForeignKeyConstraint(
            ["identity"], ["identity.id"], name=op.f("fk_identity_key_identity"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("key", "identity", name=op.f("pk_identity_key")),
    )
    op.create_index(op.f("ix_identity_key_identity"), "identity_key", ["identity"], unique=False)
