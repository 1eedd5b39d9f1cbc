"""How far each webhook has come in the events: it goes on from there, whatever dies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Only add: programs of the revision before go on undisturbed."""
    op.create_table(
        "Webhooks",
        sa.Column("Name", sa.String(100), primary_key=True),
        sa.Column("Seq", sa.BigInteger, nullable=False),
    )
