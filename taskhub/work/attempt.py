"""One attempt at one task as this side runs it: until when, and whether it was told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from taskhub.attempts import StopReason
from taskhub.backoff import Backoff
from taskhub.failures import Cause
from taskhub.model import Lease, TaskId


class Attempt(msgspec.Struct, eq=False):
    """A lease in the hands of a handler; made as `Attempt(lease, lease_until)`.

    `lease_until` is kept by whoever renews the lease (seconds since boot); all else belongs to
    what runs the attempt, in seconds of its loop's clock.
    """

    lease: Lease
    lease_until: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    deadline: float = 0.0
    reason: StopReason | None = None
    is_running: bool = False
    is_ordered: bool = False
    """Whether its stop is enforced: everything but `CANCEL` is."""
    is_stubborn: bool = False
    """Whether it was told to stop and did not within the grace."""
    stopper: Callable[[Attempt], None] | None = None
    """Set by what runs the attempt: makes it heed `reason`."""
    cause: Cause | None = None
    """What it has failed of, once it has raised."""
    backoff: Backoff | None = None
    """The backoff of the rule for what it has raised, if there is one."""
    task: asyncio.Task[Any] | None = None
    cancels: int = 0
    """How often we cancelled `task`."""
    waiter: asyncio.Future[Any] | None = None
    """Set while a thread runs the handler."""
    left: object = None
    """A coroutine that did not even end when it was closed."""

    @property
    def id(self) -> TaskId:
        """The task's id."""
        return self.lease.item.id

    @property
    def number(self) -> int:
        """1 for the first attempt."""
        return self.lease.item.attempts

    @property
    def seconds(self) -> float:
        """How long the handler ran (0 while it does)."""
        return max(0.0, self.ended - self.started)

    def stop(self, reason: StopReason) -> None:
        """Tell the handler to stop, in the loop that runs it; its end comes soon.

        Before the attempt has begun it never will; after its end nothing happens.
        """
        if self.ended:
            return
        if self.reason is None or reason is StopReason.LOST:
            self.reason = reason
        is_news = not self.is_ordered
        self.is_ordered = self.is_ordered or reason is not StopReason.CANCEL
        if self.is_running and self.stopper is not None and is_news:
            self.stopper(self)
