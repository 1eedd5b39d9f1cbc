"""When a worker has last said that it does a type, and how often types have changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Only add: to programs of the revision before the columns do not exist."""
    op.add_column("Types", sa.Column("SeenAt", sa.BigInteger))
    op.add_column(
        "Types", sa.Column("Revision", sa.BigInteger, nullable=False, server_default=sa.text("0"))
    )
