"""What a store is asked, and what it answers; the tasks themselves come as pages."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from taskhub.model import Owner, PastEvent, Status, TaskId, TaskItem


class Held(msgspec.Struct, frozen=True):
    """A task, its newest fence, and who holds it under that (None: nobody any more)."""

    item: TaskItem
    fence: int
    owner: Owner | None


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Up to `limit` events whose Seq is greater than `after`: of one task, or all."""

    after: int = 0
    limit: int = 500
    task: TaskId | None = None


class EventPage(msgspec.Struct, frozen=True):
    """Events in their order, and the first and last Seq of the table at that moment (0: empty).

    Seqs grow by one from event to event; only pruning takes some away, the oldest first.
    """

    items: Sequence[PastEvent]
    oldest: int
    newest: int


class QueueCount(msgspec.Struct, frozen=True):
    """How many tasks of a queue are in a state; `oldest`: age in seconds of the one due longest.

    Of each type up to `WAITING_MOST` that wait are counted.
    """

    queue: str
    status: Status
    count: int
    oldest: float = 0.0


class SchemaState(msgspec.Struct, frozen=True):
    """Revision found (None: empty database), the newest of this version, what is missing."""

    found: str | None
    newest: str
    missing: Sequence[str]
