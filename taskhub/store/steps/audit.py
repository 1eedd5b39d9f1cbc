"""A page of the audit log in SQL: which statement, its values, its rows; it asks nothing."""

from __future__ import annotations

from collections.abc import Sequence

from taskhub.audit import HEARTBEAT, AuditEntry, AuditPage, AuditQuery
from taskhub.model import micros_from_utc, utc_from_micros
from taskhub.store.steps.clock import FOREVER
from taskhub.store.steps.rows import Row


def statement(query: AuditQuery) -> str:
    """The statement whose index answers this query."""
    if query.task_id is not None:
        return "audit_of_task"
    if query.text == HEARTBEAT:
        return "audit_heartbeats"
    return "audit_acts" if query.actor is None else "audit_acts_of"


def values(query: AuditQuery) -> dict[str, object]:
    """What any of these statements takes; a row more than asked for tells of a next page."""
    end = (FOREVER if query.before is None else micros_from_utc(query.before), 0)
    before, before_id = end if query.cursor is None else min(end, query.cursor)
    return {
        "actor": query.actor,
        "task": query.task_id,
        "since": 0 if query.since is None else micros_from_utc(query.since),
        "before": before,
        "before_id": before_id,
        "text": query.text,
        "limit": query.limit + 1,
    }


def page(rows: Sequence[Row], limit: int) -> AuditPage:
    """The rows as entries, and where the next page begins."""
    last = (rows[limit - 1][1], rows[limit - 1][0]) if len(rows) > limit else None
    return AuditPage([_entry(row) for row in rows[:limit]], last)


def _entry(row: Row) -> AuditEntry:
    id_, at, message, actor, task_id, address, request_id = row
    return AuditEntry(
        id=id_,
        at=utc_from_micros(at),
        message=message,
        actor=actor,
        task_id=task_id,
        address=address,
        request_id=request_id,
    )
