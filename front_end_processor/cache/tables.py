"""Tables of the cache; the outbox is esb's, in the same metadata and the same transactions."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
    true,
)

from esb.outbox import Instant, outbox_table

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMES)
REVISION = "0001"  # the migration that makes these tables

# SQLite numbers rows by itself only where the key is exactly INTEGER.
Serial = BigInteger().with_variant(Integer, "sqlite")

INLETS = ("mllp", "fhir", "csv")
CAPTURED, SET_ASIDE = "captured", "set_aside"


outbox = outbox_table(metadata)

# seq: capture sequence, in the order of submission. A message that became several entries (a bundle or file
# of several patients) owns the numbers entries_from .. entries_from + entries - 1 of the outbox.
# request: what the raw bytes alone do not say: `PUT Patient/p1` of a FHIR request, the name of a file.
message = Table(
    "message",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("received_at", Instant, nullable=False),
    Column("inlet", String(8), nullable=False),
    Column("peer", String(120), nullable=False, server_default=""),
    Column("sender", String(200), nullable=False, server_default=""),
    Column("control_id", String(200), nullable=False, server_default=""),
    Column("content_hash", LargeBinary, nullable=False),
    Column("kind", String(64), nullable=False, server_default=""),
    Column("charset", String(32), nullable=False, server_default=""),
    Column("request", String(300), nullable=False, server_default=""),
    Column("source_at", Instant),
    Column("partition", SmallInteger),
    Column("patient_key", String(64), comment="opaque id of the source patient, never a number"),
    Column("size", Integer, nullable=False),
    Column("raw", LargeBinary, nullable=False, comment="the bytes received, see kept()"),
    Column("is_whole", Boolean, nullable=False, server_default=true(), comment="may it be replayed"),
    Column("fate", String(16), nullable=False),
    Column("reason", String(1000), nullable=False, server_default=""),
    Column("warnings", Text, nullable=False, server_default="[]"),
    Column("resources", Integer, nullable=False, server_default="0"),
    Column("epoch", Integer),
    Column("entries_from", BigInteger),
    Column("entries", Integer, nullable=False, server_default="0"),
    Column("repeats", Integer, nullable=False, server_default="0"),
    Column("repeated_at", Instant),
    Column("replayed_at", Instant),
    CheckConstraint(f"inlet IN {INLETS}", name="inlet"),
    CheckConstraint(f"fate IN ('{CAPTURED}', '{SET_ASIDE}')", name="fate"),
    CheckConstraint(f"(fate = '{CAPTURED}') = (entries_from IS NOT NULL)", name="captured_has_entries"),
    # A re-send is acknowledged and not doubled, whatever the pipeline believes.
    Index(
        "uq_message_captured_once",
        "sender",
        "control_id",
        "content_hash",
        unique=True,
        sqlite_where=text(f"fate = '{CAPTURED}'"),
        postgresql_where=text(f"fate = '{CAPTURED}'"),
    ),
    Index("ix_message_control_id", "control_id"),
    Index("ix_message_received_at", "received_at"),
    Index(
        "ix_message_set_aside",
        "seq",
        sqlite_where=text(f"fate = '{SET_ASIDE}'"),
        postgresql_where=text(f"fate = '{SET_ASIDE}'"),
    ),
)

# What a hospital's FHIR server calls a resource whose id here comes from its business identifier.
alias = Table(
    "alias",
    metadata,
    Column("type", String(64), primary_key=True),
    Column("local_id", String(200), primary_key=True),
    Column("resource_id", String(64), nullable=False),
)

# A large content, sealed for the hub, until the hub has it.
blob = Table(
    "blob",
    metadata,
    Column("hash", String(64), primary_key=True, comment="SHA-256 of the content before sealing"),
    Column("size", Integer, nullable=False),
    Column("content_type", String(200), nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("uploaded_at", Instant),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Index(
        "ix_blob_waiting",
        "created_at",
        sqlite_where=text("uploaded_at IS NULL"),
        postgresql_where=text("uploaded_at IS NULL"),
    ),
)

# Which outbox rows wait for which blobs.
blob_need = Table(
    "blob_need",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", String(64), primary_key=True),
)

# Who looked at a message's content in the console, or replayed it.
look = Table(
    "look",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("who", String(64), nullable=False),
    Column("peer", String(120), nullable=False),
    Column("action", String(32), nullable=False),
    Column("seq", BigInteger),
)

# One row: whose cache this is and the epoch of the present run.
station = Table(
    "station",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("facility", String(32), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("started_at", Instant, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)
