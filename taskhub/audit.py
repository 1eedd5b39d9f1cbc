"""The audit log in values: what is appended, what is asked, what an entry says; no store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from taskhub.model import TaskId

HEARTBEAT = "heartbeat"
"""The message of the marks that processes leave."""


class Audit(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Append to the audit log (heartbeats have the message `heartbeat`). Result: Touched.

    `address` and `request_id`: from where an act was asked for, and by which request.
    """

    message: str
    actor: str
    task_id: TaskId | None = None
    address: str | None = None
    request_id: str | None = None


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the audit log, newest first; heartbeats come only where `text` is `heartbeat`.

    `text` is what a message begins with; `since` counts, `before` does not; `cursor` is the place
    of the last entry of the page before.
    """

    actor: str | None = None
    task_id: TaskId | None = None
    since: datetime | None = None
    before: datetime | None = None
    text: str = ""
    cursor: tuple[int, int] | None = None
    limit: int = 50


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One entry: who did what, when, to which task, from where."""

    id: int
    at: datetime
    message: str
    actor: str
    task_id: TaskId | None = None
    address: str | None = None
    request_id: str | None = None


class AuditPage(msgspec.Struct, frozen=True):
    """Entries, and the cursor of the next page (None: this was the last)."""

    items: Sequence[AuditEntry]
    next: tuple[int, int] | None
