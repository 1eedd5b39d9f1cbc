"""Until when the result of a task is kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from taskhub.store.migrations import dialects

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Only add: to programs of the revision before the column does not exist."""
    op.add_column("Tasks", sa.Column("ResultUntil", sa.BigInteger))
    op.create_index(
        "Tasks_Results",
        "Tasks",
        ["ResultUntil"],
        **dialects.where('"ResultUntil" IS NOT NULL AND "Result" IS NOT NULL'),
    )
