"""Keys of tasks that take turns, and what limits of queues and keys are derived from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from taskhub.store.migrations import dialects

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Only add: programs of the revision before see no task that has a key, and leave it."""
    op.add_column("Tasks", sa.Column("GroupKey", sa.String(100)))
    op.create_index(
        "Tasks_Turns",
        "Tasks",
        ["Type", "Queue", sa.text('"Priority" DESC'), "GroupKey", "RunAt", "Id"],
        **dialects.where('"Status" = \'Pending\' AND "Suspect" = 2'),
    )
    op.create_index(
        "Tasks_Later",
        "Tasks",
        ["Type", "Queue", "RunAt"],
        **dialects.where('"Status" = \'Pending\' AND "Suspect" = 2'),
    )
    op.create_index(
        "Tasks_Groups",
        "Tasks",
        ["Queue", "GroupKey"],
        **dialects.where('"Status" = \'Processing\' AND "GroupKey" IS NOT NULL'),
    )
    op.create_table(
        "Turns",
        sa.Column("Queue", sa.String(100), primary_key=True),
        sa.Column("GroupKey", sa.String(100), nullable=False),
        sa.Column("At", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "Starts",
        sa.Column("Queue", sa.String(100), primary_key=True),
        sa.Column("GroupKey", sa.String(100), primary_key=True),
        sa.Column("At", sa.BigInteger, primary_key=True),
        sa.Column("Count", sa.Integer, nullable=False),
    )
    op.create_index("Starts_Age", "Starts", ["Queue", "At"])
