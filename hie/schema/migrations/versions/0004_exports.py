"""Bulk exports and imports, asynchronous jobs, subscriptions and their deliveries."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from hie.schema.repository import Xid8

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
KEY = sa.Text(collation="C")


def upgrade() -> None:
    """Make the tables, and the index that finds what was committed since a watermark."""
    op.create_index("ix_resource_xid", "resource", ["xid"])
    jobs()
    subscriptions()


def jobs() -> None:
    """Make the tables of long work."""
    op.create_table(
        "job",
        sa.Column("id", KEY, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("actor", JSONB(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("request", JSONB(), nullable=False),
        sa.Column("position", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("progress", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("snapshot", Xid8(), nullable=True),
        sa.Column("transaction_at", INSTANT, nullable=True),
        sa.Column("asked_at", INSTANT, server_default=sa.text("now()"), nullable=False),
        sa.Column("polled_at", INSTANT, nullable=True),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.Column("expires_at", INSTANT, nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('export', 'import', 'request')", name=op.f("ck_job_kind")),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'done', 'failed', 'cancelled')", name=op.f("ck_job_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
    )
    op.create_index(
        "ix_job_open", "job", ["asked_at"], postgresql_where=sa.text("state IN ('waiting', 'running')")
    )
    op.create_index(op.f("ix_job_expires_at"), "job", ["expires_at"])
    op.create_table(
        "job_file",
        sa.Column("job", KEY, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("type", KEY, nullable=False),
        sa.Column("count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("kind IN ('output', 'deleted', 'error')", name=op.f("ck_job_file_kind")),
        sa.ForeignKeyConstraint(["job"], ["job.id"], name=op.f("fk_job_file_job"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job", "number", name=op.f("pk_job_file")),
    )
    op.create_table(
        "export_mark",
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("xid", Xid8(), nullable=False),
        sa.PrimaryKeyConstraint("at", name=op.f("pk_export_mark")),
    )


def subscriptions() -> None:
    """Make the tables of subscriptions and their events."""
    op.create_table(
        "subscription",
        sa.Column("id", KEY, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("owner", JSONB(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=True),
        sa.Column("filters", JSONB(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("headers", JSONB(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("heartbeat_s", sa.Integer(), nullable=True),
        sa.Column("most", sa.Integer(), server_default="1", nullable=False),
        sa.Column("ends_at", INSTANT, nullable=True),
        sa.Column("since", INSTANT, nullable=False),
        sa.Column("matched", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("last_number", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("costly", sa.Integer(), server_default="0", nullable=False),
        sa.Column("look_at", INSTANT, nullable=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retry_at", INSTANT, nullable=True),
        sa.Column("told_at", INSTANT, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('requested', 'active', 'error', 'off')", name=op.f("ck_subscription_state")
        ),
        sa.CheckConstraint(
            "payload IN ('none', 'resource', 'empty', 'id-only', 'full-resource')",
            name=op.f("ck_subscription_payload"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscription")),
    )
    op.create_table(
        "subscription_event",
        sa.Column("subscription", KEY, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("type", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("settled", sa.Text(), nullable=True),
        sa.Column("settled_at", INSTANT, nullable=True),
        sa.CheckConstraint(
            "settled IN ('delivered', 'withheld')", name=op.f("ck_subscription_event_settled")
        ),
        sa.ForeignKeyConstraint(
            ["subscription"],
            ["subscription.id"],
            name=op.f("fk_subscription_event_subscription"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("subscription", "number", name=op.f("pk_subscription_event")),
    )
    op.create_index(
        "uq_subscription_event_version",
        "subscription_event",
        ["subscription", "type", "id", "version"],
        unique=True,
    )
    op.create_index(
        "ix_subscription_event_waiting",
        "subscription_event",
        ["subscription", "number"],
        postgresql_where=sa.text("settled IS NULL"),
    )
