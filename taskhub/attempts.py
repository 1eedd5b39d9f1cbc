"""The third seam: what the pool needs of whatever runs handlers; no asyncio task, no thread."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol, TypeVar

import msgspec

from taskhub.model import Lease, TaskId
from taskhub.ports import Finish


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


class Lost(msgspec.Struct, frozen=True, tag=True):
    """The lease was lost: write nothing."""


class Released(msgspec.Struct, frozen=True, tag=True):
    """The task was not finished: give it back by a `ports.Release`."""


class Stubborn(msgspec.Struct, frozen=True, tag=True):
    """The handler does not stop: keep its lease, hand back the others, replace this process.

    `finish` may be written when all else is done and the process is about to end (None: nothing).
    """

    reason: StopReason
    finish: Finish | None = None


Ended = Finish | Lost | Released | Stubborn
"""What follows from an attempt; a match over it ends with `assert_never`."""


class Attempt(Protocol):
    """A lease in the hands of a handler."""

    lease: Lease
    lease_until: float
    """When the lease ends unless it is renewed, in seconds since boot (CLOCK_BOOTTIME)."""
    reason: StopReason | None

    @property
    def id(self) -> TaskId:
        """The task's id."""

    @property
    def seconds(self) -> float:
        """How long the handler ran (0 while it does)."""


A_contra = TypeVar("A_contra", bound=Attempt, contravariant=True)


class Runner(Protocol[A_contra]):
    """Runs attempts; all methods belong to one event loop."""

    async def run(self, attempt: A_contra) -> Ended:
        """Run the handler to its end, or until it is stopped."""

    def stop(self, attempt: A_contra, reason: StopReason) -> None:
        """Tell the handler to stop; `run` then returns soon. After its end nothing happens."""


class Ledger(Protocol):
    """Which tasks have started here, readable by others after our death."""

    def start(self, task_id: TaskId) -> None:
        """The handler begins."""

    def end(self, task_id: TaskId) -> None:
        """Its outcome is stored, or its end is nobody's fault."""
