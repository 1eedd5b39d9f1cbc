"""Schedules with their policies, and a row for each due time that was handled."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from taskhub.store.migrations import dialects

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

WAITING, NOT_WAITING = "\"Outcome\" = 'waiting'", "\"Outcome\" <> 'waiting'"


def upgrade() -> None:
    """Only add: programs of the revision before go on undisturbed."""
    for column in (
        sa.Column("MaxAttempts", sa.Integer),
        sa.Column("TimeoutSeconds", sa.Float),
        _word("Misfire", 10, "once"),
        sa.Column("MisfireGrace", sa.Float, nullable=False, server_default=sa.text("60")),
        _word("Overlap", 10, "skip"),
        sa.Column("Version", sa.Integer, nullable=False, server_default=sa.text("1")),
        _word("Source", 10, "api"),
        _word("Place", 200, ""),
        sa.Column("LastTaskId", sa.String(36)),
    ):
        op.add_column("Schedules", column)
    op.create_index("Schedules_Due", "Schedules", ["NextAt"], **dialects.where('"Enabled" = 1'))
    op.create_index("Schedules_Source", "Schedules", ["Source", "Place"])
    _runs()


def _word(name: str, length: int, usual: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False, server_default=sa.text(f"'{usual}'"))


def _runs() -> None:
    op.create_table(
        "ScheduleRuns",
        sa.Column("Schedule", sa.String(100), primary_key=True),
        sa.Column("DueAt", sa.BigInteger, primary_key=True),
        sa.Column("At", sa.BigInteger, nullable=False),
        sa.Column("Since", sa.BigInteger),
        sa.Column("Outcome", sa.String(10), nullable=False),
        _word("Reason", 20, ""),
        sa.Column("Manual", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("TaskId", sa.String(36)),
    )
    for name, columns, where in (
        ("ScheduleRuns_Waiting", ["Schedule", "DueAt"], WAITING),
        ("ScheduleRuns_At", ["At"], NOT_WAITING),
    ):
        op.create_index(name, "ScheduleRuns", columns, **dialects.where(where))
