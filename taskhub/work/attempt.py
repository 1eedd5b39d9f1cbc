"""One attempt at one task: what runs, until when, why it was stopped, and what it can end in."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from taskhub.model import Lease, TaskId, TaskItem
from taskhub.ports import Finish

if TYPE_CHECKING:
    from taskhub.work.registry import HandlerSpec


class StopReason(StrEnum):
    """Why a running attempt is stopped; decides what is written about it."""

    CANCEL = "cancel"
    """Somebody asked for it: ends as Cancelled. A wish; only the deadline enforces it."""
    TIMEOUT = "timeout"
    """Its time is up: counts as a failed attempt."""
    LOST = "lost"
    """Its lease is gone: nothing may be written any more."""
    DRAIN = "drain"
    """The process stops: the task is given back without costing the attempt."""


class Lost(msgspec.Struct, frozen=True):
    """The lease was lost: write nothing."""

    id: TaskId


class Released(msgspec.Struct, frozen=True):
    """The task was not finished: give it back by a `ports.Release`."""

    id: TaskId
    fence: int


class Stubborn(msgspec.Struct, frozen=True):
    """The handler does not stop: write nothing, keep the lease until this process is replaced."""

    id: TaskId
    fence: int
    reason: StopReason


Ended = Finish | Lost | Released | Stubborn
"""What follows from an attempt; a match over it ends with `assert_never`."""


class Attempt:
    """A lease in the hands of a handler. Times are those of the loop's clock, in seconds."""

    __slots__ = (
        "cancels",
        "deadline",
        "ended",
        "is_ordered",
        "is_stubborn",
        "lease",
        "reason",
        "spec",
        "started",
        "task",
        "waiter",
    )

    def __init__(self, lease: Lease, spec: HandlerSpec) -> None:
        self.lease, self.spec = lease, spec
        self.started = self.ended = self.deadline = 0.0
        self.reason: StopReason | None = None
        self.is_ordered = False
        """Whether its stop is enforced: everything but `CANCEL` is."""
        self.is_stubborn = False
        """Whether it was told to stop and did not within the grace."""
        self.cancels = 0
        """How often we cancelled `task`."""
        self.task: asyncio.Task[Any] | None = None
        """Set while the attempt runs."""
        self.waiter: asyncio.Future[Any] | None = None
        """Set while a thread runs the handler."""

    @property
    def id(self) -> TaskId:
        """The task's id."""
        return self.lease.item.id

    @property
    def item(self) -> TaskItem:
        """The task as it was when it was claimed."""
        return self.lease.item

    @property
    def number(self) -> int:
        """1 for the first attempt."""
        return self.lease.item.attempts

    @property
    def seconds(self) -> float:
        """How long the handler ran (0 while it does)."""
        return max(0.0, self.ended - self.started)
