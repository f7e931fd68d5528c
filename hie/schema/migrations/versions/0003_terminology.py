"""Terminology: code systems, value sets, concept maps, local codes without a map."""

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""
