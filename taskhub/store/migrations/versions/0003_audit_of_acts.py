"""Where an act came from, and indexes that find entries of the audit log however long it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from taskhub.store.migrations import dialects

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ACTS, BEATS = "\"Message\" <> 'heartbeat'", "\"Message\" = 'heartbeat'"


def upgrade() -> None:
    """Only add: programs of the revision before go on undisturbed."""
    op.add_column("Audit", sa.Column("Address", sa.String(100)))
    op.add_column("Audit", sa.Column("RequestId", sa.String(100)))
    _partial("Audit_Acts", ["At"], ACTS)
    _partial("Audit_Actors", ["Actor", "At"], ACTS)
    _partial("Audit_Tasks", ["TaskId", "At"], '"TaskId" IS NOT NULL')
    _partial("Audit_Heartbeats", ["At", "Actor"], BEATS)


def _partial(name: str, columns: list[str], where: str) -> None:
    op.create_index(name, "Audit", columns, **dialects.where(where))
