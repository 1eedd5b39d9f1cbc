"""The tables of the first version.

A revision is history: it is never changed once it was released, whatever `schema.py` says later.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from taskhub.store.migrations import dialects

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Columns = Sequence[str | sa.TextClause]
ZERO = sa.text("0")


def upgrade() -> None:
    """Make everything."""
    _tasks()
    _history()
    _keys()
    _names()


def _tasks() -> None:
    op.create_table(
        "Tasks",
        sa.Column("Id", sa.String(36), primary_key=True),
        sa.Column("Title", sa.String(200), nullable=False),
        sa.Column("Type", sa.String(100), nullable=False),
        sa.Column("Queue", sa.String(100), nullable=False),
        sa.Column("Priority", sa.Integer, nullable=False),
        sa.Column("Status", sa.String(10), nullable=False, server_default=sa.text("'Pending'")),
        sa.Column("Attempts", sa.Integer, nullable=False, server_default=ZERO),
        sa.Column("MaxAttempts", sa.Integer, nullable=False),
        sa.Column("TimeoutSeconds", sa.Float, nullable=False),
        sa.Column("RunAt", sa.BigInteger, nullable=False),
        sa.Column("CreatedAt", sa.BigInteger, nullable=False),
        sa.Column("UpdatedAt", sa.BigInteger, nullable=False),
        sa.Column("StartedAt", sa.BigInteger),
        sa.Column("FinishedAt", sa.BigInteger),
        sa.Column("Fence", sa.BigInteger, nullable=False, server_default=ZERO),
        sa.Column("LeaseOwner", sa.String(200)),
        sa.Column("LeaseUntil", sa.Float),
        sa.Column("Suspect", sa.Integer, nullable=False, server_default=ZERO),
        sa.Column("CancelRequested", sa.Integer, nullable=False, server_default=ZERO),
        sa.Column("CreatedBy", sa.String(200), nullable=False),
        sa.Column("UniqueKey", sa.String(255)),
        sa.Column("TraceParent", sa.String(100)),
        sa.Column("Progress", sa.Text),
        sa.Column("Error", sa.Text),
        sa.Column("Payload", sa.Text, nullable=False),
        sa.Column("Result", sa.Text),
    )
    urgency: Columns = ["Type", "Queue", sa.text('"Priority" DESC'), "RunAt", "Id"]
    _partial("Tasks_Claim", urgency, '"Status" = \'Pending\' AND "Suspect" = 0')
    _partial("Tasks_Suspects", urgency, '"Status" = \'Pending\' AND "Suspect" = 1')
    _partial("Tasks_Leases", ["CancelRequested"], "\"Status\" = 'Processing'")
    _partial("Tasks_Status", ["Status", "Type", "Queue", "Id"], "\"Status\" <> 'Processing'")


def _partial(name: str, columns: Columns, where: str) -> None:
    op.create_index(name, "Tasks", columns, **dialects.where(where))


def _history() -> None:
    op.create_table(
        "Events",
        sa.Column("Seq", dialects.number(), primary_key=True, autoincrement=dialects.counted()),
        sa.Column("At", sa.BigInteger, nullable=False),
        sa.Column("Type", sa.String(20), nullable=False),
        sa.Column("TaskId", sa.String(36), nullable=False),
        sa.Column("Data", sa.Text),
    )
    op.create_table(
        "Audit",
        sa.Column("Id", dialects.number(), primary_key=True),
        sa.Column("At", sa.BigInteger, nullable=False),
        sa.Column("Message", sa.Text, nullable=False),
        sa.Column("Actor", sa.String(200), nullable=False),
        sa.Column("TaskId", sa.String(36)),
    )
    dialects.only_grows("Audit", "the audit log is append-only")


def _keys() -> None:
    op.create_table(
        "IdempotencyKeys",
        sa.Column("Principal", sa.String(200), nullable=False),
        sa.Column("Key", sa.String(255), nullable=False),
        sa.Column("RequestHash", sa.String(128), nullable=False),
        sa.Column("TaskId", sa.String(36), nullable=False),
        sa.Column("ExpiresAt", sa.BigInteger, nullable=False),
        sa.Column("Answer", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("Principal", "Key", mssql_clustered=False),
    )
    op.create_index("IdempotencyKeys_ExpiresAt", "IdempotencyKeys", ["ExpiresAt"])
    op.create_table(
        "UniqueKeys",
        sa.Column("Type", sa.String(100), primary_key=True),
        sa.Column("Key", sa.String(255), primary_key=True),
        sa.Column("TaskId", sa.String(36), nullable=False),
        sa.Column("ExpiresAt", sa.BigInteger),
    )


def _names() -> None:
    op.create_table(
        "Types",
        sa.Column("Name", sa.String(100), primary_key=True),
        sa.Column("Schema", sa.Text, nullable=False),
        sa.Column("RegisteredBy", sa.String(200), nullable=False),
        sa.Column("RegisteredAt", sa.BigInteger, nullable=False),
        sa.Column("Paused", sa.Integer, nullable=False, server_default=ZERO),
    )
    op.create_table(
        "Queues",
        sa.Column("Name", sa.String(100), primary_key=True),
        sa.Column("Paused", sa.Integer, nullable=False, server_default=ZERO),
        sa.Column("UpdatedAt", sa.BigInteger, nullable=False),
        sa.Column("UpdatedBy", sa.String(200), nullable=False),
    )
    op.create_table(
        "Schedules",
        sa.Column("Name", sa.String(100), primary_key=True),
        sa.Column("Cron", sa.String(200), nullable=False),
        sa.Column("TimeZone", sa.String(100), nullable=False, server_default=sa.text("'UTC'")),
        sa.Column("Title", sa.String(200), nullable=False),
        sa.Column("Type", sa.String(100), nullable=False),
        sa.Column("Queue", sa.String(100), nullable=False),
        sa.Column("Priority", sa.Integer, nullable=False, server_default=ZERO),
        sa.Column("Enabled", sa.Integer, nullable=False, server_default=sa.text("1")),
        sa.Column("NextAt", sa.BigInteger),
        sa.Column("LastAt", sa.BigInteger),
        sa.Column("UpdatedAt", sa.BigInteger, nullable=False),
        sa.Column("UpdatedBy", sa.String(200), nullable=False),
        sa.Column("Payload", sa.Text, nullable=False),
    )
