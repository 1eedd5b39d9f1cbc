"""An index that finds the events of one task: its history is shown to whoever asks."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Only add: programs of the revision before go on undisturbed."""
    op.create_index("Events_TaskId", "Events", ["TaskId"])
