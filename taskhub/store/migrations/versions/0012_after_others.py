"""Tasks that begin when others have ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from taskhub.store.migrations import dialects

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Only add: programs of the revision before go on undisturbed."""
    op.add_column("Tasks", sa.Column("After", sa.Text))
    op.create_table(
        "Waits",
        sa.Column("TaskId", sa.String(36), primary_key=True),
        sa.Column("Place", sa.Integer, primary_key=True),
        sa.Column("Parent", sa.String(36), nullable=False),
        sa.Column("EndedAs", sa.String(10)),
    )
    op.create_index("Waits_Parent", "Waits", ["Parent", "TaskId"])
    op.create_index("Waits_Open", "Waits", ["Parent"], **dialects.where('"EndedAs" IS NULL'))
    op.create_table(
        "Unsettled",
        sa.Column("TaskId", sa.String(36), primary_key=True),
        sa.Column("EndedAs", sa.String(10), nullable=False),
    )
    dialects.goes_with("Waits", {"TaskId": "Id"})
