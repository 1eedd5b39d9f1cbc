"""While its task is in which states a unique key is held, and an end of it with the task."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from taskhub.store.migrations import dialects

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

HOLDING = sa.text("'Pending Processing'")


def upgrade() -> None:
    """Only add: programs of the revision before go on undisturbed."""
    states = sa.Column("States", sa.String(60), nullable=False, server_default=HOLDING)
    op.add_column("UniqueKeys", states)
    expires = dialects.where('"ExpiresAt" IS NOT NULL')
    op.create_index("UniqueKeys_ExpiresAt", "UniqueKeys", ["ExpiresAt"], **expires)
    own = {"Type": "Type", "Key": "UniqueKey", "TaskId": "Id"}
    dialects.goes_with("UniqueKeys", own, needs="UniqueKey")
