"""The status of a kept answer: it need not be the 201 of one new task."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Only add: programs of the revision before go on undisturbed."""
    status = sa.Column("Status", sa.Integer, nullable=False, server_default=sa.text("201"))
    op.add_column("IdempotencyKeys", status)
