"""The first cache: messages, outbox, aliases, blobs, looks, station."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this version."""
    op.create_table('alias',
    sa.Column('type', sa.String(length=64), nullable=False),
    sa.Column('local_id', sa.String(length=200), nullable=False),
    sa.Column('resource_id', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('type', 'local_id', name=op.f('pk_alias'))
    )
    op.create_table('blob',
    sa.Column('hash', sa.String(length=64), nullable=False, comment='SHA-256 of the content before sealing'),
    sa.Column('size', sa.Integer(), nullable=False),
    sa.Column('content_type', sa.String(length=200), nullable=False),
    sa.Column('content', sa.LargeBinary(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('uploaded_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('attempts', sa.Integer(), server_default='0', nullable=False),
    sa.PrimaryKeyConstraint('hash', name=op.f('pk_blob'))
    )
    op.create_index('ix_blob_waiting', 'blob', ['created_at'], unique=False, sqlite_where=sa.text('uploaded_at IS NULL'), postgresql_where=sa.text('uploaded_at IS NULL'))

    op.create_table('blob_need',
    sa.Column('seq', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('seq', 'hash', name=op.f('pk_blob_need'))
    )
    op.create_table('look',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('who', sa.String(length=64), nullable=False),
    sa.Column('peer', sa.String(length=120), nullable=False),
    sa.Column('action', sa.String(length=32), nullable=False),
    sa.Column('seq', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_look'))
    )
    op.create_table('message',
    sa.Column('seq', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('received_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('inlet', sa.String(length=8), nullable=False),
    sa.Column('peer', sa.String(length=120), server_default='', nullable=False),
    sa.Column('sender', sa.String(length=200), server_default='', nullable=False),
    sa.Column('control_id', sa.String(length=200), server_default='', nullable=False),
    sa.Column('content_hash', sa.LargeBinary(), nullable=False),
    sa.Column('kind', sa.String(length=64), server_default='', nullable=False),
    sa.Column('charset', sa.String(length=32), server_default='', nullable=False),
    sa.Column('request', sa.String(length=300), server_default='', nullable=False),
    sa.Column('source_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('partition', sa.SmallInteger(), nullable=True),
    sa.Column('patient_key', sa.String(length=64), nullable=True, comment='opaque id of the source patient, never a number'),
    sa.Column('size', sa.Integer(), nullable=False),
    sa.Column('raw', sa.LargeBinary(), nullable=False, comment='the bytes received, see kept()'),
    sa.Column('is_whole', sa.Boolean(), server_default=sa.text('true'), nullable=False, comment='may it be replayed'),
    sa.Column('fate', sa.String(length=16), nullable=False),
    sa.Column('reason', sa.String(length=1000), server_default='', nullable=False),
    sa.Column('warnings', sa.Text(), server_default='[]', nullable=False),
    sa.Column('resources', sa.Integer(), server_default='0', nullable=False),
    sa.Column('epoch', sa.Integer(), nullable=True),
    sa.Column('entries_from', sa.BigInteger(), nullable=True),
    sa.Column('entries', sa.Integer(), server_default='0', nullable=False),
    sa.Column('repeats', sa.Integer(), server_default='0', nullable=False),
    sa.Column('repeated_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('replayed_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("(fate = 'captured') = (entries_from IS NOT NULL)", name=op.f('ck_message_captured_has_entries')),
    sa.CheckConstraint("fate IN ('captured', 'set_aside')", name=op.f('ck_message_fate')),
    sa.CheckConstraint("inlet IN ('mllp', 'fhir', 'csv')", name=op.f('ck_message_inlet')),
    sa.PrimaryKeyConstraint('seq', name=op.f('pk_message'))
    )
    op.create_index('ix_message_control_id', 'message', ['control_id'], unique=False)
    op.create_index('ix_message_received_at', 'message', ['received_at'], unique=False)
    op.create_index('ix_message_set_aside', 'message', ['seq'], unique=False, sqlite_where=sa.text("fate = 'set_aside'"), postgresql_where=sa.text("fate = 'set_aside'"))
    op.create_index('uq_message_captured_once', 'message', ['sender', 'control_id', 'content_hash'], unique=True, sqlite_where=sa.text("fate = 'captured'"), postgresql_where=sa.text("fate = 'captured'"))

    op.create_table('outbox',
    sa.Column('seq', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('epoch', sa.Integer(), nullable=False),
    sa.Column('exchange', sa.String(length=64), nullable=False),
    sa.Column('route', sa.String(length=128), nullable=False),
    sa.Column('kind', sa.String(length=64), nullable=False),
    sa.Column('source_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('payload', sa.LargeBinary(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('eligible', sa.Integer(), server_default='1', nullable=False),
    sa.Column('attempts', sa.Integer(), server_default='0', nullable=False),
    sa.Column('sent_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('settled_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('fate', sa.String(length=16), nullable=True),
    sa.Column('reason', sa.String(length=500), nullable=True),
    sa.PrimaryKeyConstraint('seq', name=op.f('pk_outbox'))
    )
    op.create_index('ix_outbox_unsent', 'outbox', ['eligible', 'seq'], unique=False, sqlite_where=sa.text('sent_at IS NULL AND settled_at IS NULL'), postgresql_where=sa.text('sent_at IS NULL AND settled_at IS NULL'))
    op.create_index('ix_outbox_unsettled', 'outbox', ['seq'], unique=False, sqlite_where=sa.text('settled_at IS NULL'), postgresql_where=sa.text('settled_at IS NULL'))

    op.create_table('station',
    sa.Column('id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('facility', sa.String(length=32), nullable=False),
    sa.Column('epoch', sa.Integer(), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint('id = 1', name=op.f('ck_station_one_row')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_station'))
    )
