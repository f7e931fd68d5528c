"""The search index: numbers and quantities, and the texts that are looked through."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "search_number",
        sa.Column("compartment", sa.Text(collation="C"), nullable=False),
        sa.Column("type", sa.Text(collation="C"), nullable=False),
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.BigInteger(), nullable=False),
        sa.Column("about", sa.BigInteger(), nullable=True),
        sa.Column("about_system", sa.BigInteger(), nullable=True),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("unit", sa.BigInteger(), nullable=True),
        sa.Column("unit_system", sa.BigInteger(), nullable=True),
        sa.Column("unit_text", sa.BigInteger(), nullable=True),
        sa.Column("base", sa.BigInteger(), nullable=True),
        sa.Column("base_low", sa.Double(), nullable=True),
        sa.Column("base_high", sa.Double(), nullable=True),
    )
    op.create_index("ix_search_number_id", "search_number", ["id"], unique=False)
    op.create_index("ix_search_number_range", "search_number", ["name", "about", "low"], unique=False)
    op.create_table(
        "search_text",
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(collation="C"), nullable=False),
    )
    op.create_index("ix_search_text_token", "search_text", ["token"], unique=False)
    op.create_index("ix_search_text_path", "search_text", ["path"], unique=False)
