"""What attempts have failed of: kept for each task, found by its fingerprint."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from taskhub.store.migrations import dialects

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Only add: programs of the revision before go on undisturbed."""
    none = sa.text("''")
    op.add_column("Tasks", sa.Column("Backoff", sa.String(200)))
    op.add_column(
        "Tasks", sa.Column("Fingerprint", sa.String(32), nullable=False, server_default=none)
    )
    _index("Tasks_Fingerprint", ["Fingerprint", "Id"], "\"Fingerprint\" <> ''")
    _index("Tasks_Failures", ["Type", "Fingerprint", "FinishedAt"], "\"Status\" = 'Failed'")
    op.create_table(
        "Attempts",
        sa.Column("TaskId", sa.String(36), primary_key=True),
        sa.Column("Slot", sa.Integer, primary_key=True),
        sa.Column("Fence", sa.BigInteger, nullable=False),
        sa.Column("Attempt", sa.Integer, nullable=False),
        sa.Column("StartedAt", sa.BigInteger),
        sa.Column("EndedAt", sa.BigInteger, nullable=False),
        sa.Column("Worker", sa.String(200)),
        sa.Column("Fingerprint", sa.String(32), nullable=False, server_default=none),
        sa.Column("Exception", sa.String(100)),
        sa.Column("Place", sa.String(200)),
        sa.Column("Error", sa.Text),
        sa.Column("Trace", sa.Text),
    )
    dialects.goes_with("Attempts", {"TaskId": "Id"})


def _index(name: str, columns: list[str], where: str) -> None:
    op.create_index(name, "Tasks", columns, **dialects.where(where))
