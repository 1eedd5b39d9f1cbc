"""Queues and types as operators stop and start them, in values; no SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from taskhub.audit import Audit
from taskhub.model import Owner, TaskId, TaskItem
from taskhub.rates import Rate


class Line(StrEnum):
    """What can be paused: all tasks of a queue, or all of a type."""

    QUEUE = "queue"
    TYPE = "type"


class QueueLimit(msgspec.Struct, frozen=True, kw_only=True):
    """What a queue allows, over all workers; None: as much as comes.

    `concurrency` and `rate` of all its tasks, the other two of those with the same key.
    """

    queue: str
    concurrency: int | None = None
    rate: Rate | None = None
    key_concurrency: int | None = None
    key_rate: Rate | None = None


class Pause(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Let no task of a queue or a type begin, or let them again. Result: Touched | Missing.

    Touched(0): it was so before. What runs goes on. Claims in the same commit see it. The entry of
    the audit log is made in the same transaction, where something was changed. Missing: a type
    that no worker has registered.
    """

    line: Line
    name: str
    paused: bool
    audit: Audit


class LineState(msgspec.Struct, frozen=True):
    """Whether a queue or a type is paused, and how many of its tasks run."""

    name: str
    paused: bool
    processing: int


class QueueState(msgspec.Struct, frozen=True, rename="camel"):
    """A queue: whether it is paused, how many tasks wait (of each type up to 100,000 are counted)
    and run.

    `oldest_seconds`: for how long the one that was due first has waited.
    """

    name: str
    paused: bool
    pending: int = 0
    processing: int = 0
    oldest_seconds: float = 0.0


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """A task, and everything around it that says why it does or does not run; of one moment."""

    item: TaskItem
    suspect: bool = False
    owner: Owner | None = None
    lease_left: float = 0.0
    """Seconds until the lease ends; below 0 it has ended and is not yet swept."""
    queue_paused: bool = False
    type_known: bool = True
    type_paused: bool = False
    type_seen: datetime | None = None
    """When a worker has last said that it does the type."""
    ahead: int = 0
    """Due tasks of its type and queue (and key) that come before it, up to AHEAD_MOST."""
    running: int = 0
    """Tasks that run now, all of them."""
    in_queue: int = 0
    """Those of its queue."""
    of_key: Sequence[TaskId] = ()
    """Those of its queue with its key."""
    started: int = 0
    """How many of its queue have begun in the time of the queue's rate."""
    key_started: int = 0
    """How many of them with its key, in the time of the rate of keys."""
    waits_for: tuple[TaskId, ...] = ()
    """Tasks that it is after and that have not ended."""


WAITING_MOST = 100_000
"""Tasks of a type that wait in a queue are counted so far: beyond, there are at least as many."""
AHEAD_MOST = 10_000
"""How far they are counted."""


class Standings(Protocol):
    """What a store says of queues, types and of what is around a task."""

    async def queues(self) -> list[QueueState]:
        """Every queue that is paused or has live tasks."""

    async def standing(self, line: Line, name: str) -> LineState | None:
        """How a queue or a type stands; None for a type that nobody has registered."""

    async def circumstances(
        self, task: TaskId, limit: QueueLimit | None = None
    ) -> Circumstances | None:
        """A task and what is around it, at one moment; `limit` says since when starts count."""
