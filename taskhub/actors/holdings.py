"""What one pool holds now: leases that wait, run, or have ended and are not yet settled."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from taskhub.attempts import Attempt, Lost, Released
from taskhub.model import Status
from taskhub.ports import Finish, Release

if TYPE_CHECKING:
    from taskhub.model import TaskId

CLAIM = 512
"""Most tasks claimed at once."""
BRISK = 0.05
"""Seconds: while attempts are shorter than this on average, some are claimed ahead."""
WEIGHT = 0.05
"""Share of the newest attempt in the average duration."""


@dataclass(slots=True)
class Settled:
    """One attempt that has ended, and the write that says so (None: there is nothing to write)."""

    attempt: Attempt
    write: Finish | Release | None
    seconds: float

    def refused(self, reason: str) -> Settled:
        """The same attempt as a failure that can be stored."""
        lease = self.attempt.lease
        error = f"the outcome could not be stored: {reason}"
        fail = Finish(id=lease.item.id, fence=lease.fence, status=Status.FAILED, error=error)
        return replace(self, write=fail)


class Holdings:
    """Plain bookkeeping; limits follow from what is held, so no counter can leak."""

    __slots__ = ("attempts", "average", "ended", "running", "suspect", "waiting")

    def __init__(self) -> None:
        """Hold nothing."""
        self.attempts: dict[TaskId, Attempt] = {}
        self.waiting: deque[Attempt] = deque()
        self.running: set[TaskId] = set()
        self.ended: list[Settled] = []
        self.suspect: TaskId | None = None
        self.average = BRISK

    def room(self, concurrency: int) -> int:
        """How many tasks may be claimed now: free slots, while tasks are brisk as many again."""
        if self.average < BRISK:
            if len(self.waiting) > concurrency // 2:
                return 0
            return min(CLAIM, 2 * concurrency - len(self.running) - len(self.waiting))
        return min(CLAIM, concurrency - len(self.running) - len(self.waiting))

    def end(self, attempt: Attempt, ended: Finish | Lost | Released) -> None:
        """An attempt gives its slot back; its outcome waits to be settled."""
        self.leave_slot(attempt)
        self.average += WEIGHT * (attempt.seconds - self.average)
        self.ended.append(Settled(attempt, _write_of(attempt, ended), attempt.seconds))

    def leave_slot(self, attempt: Attempt) -> None:
        """An attempt runs no more, or is given up."""
        self.running.discard(attempt.id)
        if self.suspect == attempt.id:
            self.suspect = None

    def hand_back_waiting(self) -> bool:
        """Give back what has not started; returns whether there was any."""
        found = bool(self.waiting)
        while self.waiting:
            attempt = self.waiting.popleft()
            self.ended.append(Settled(attempt, _write_of(attempt, Released()), 0.0))
        return found


def _write_of(attempt: Attempt, ended: Finish | Lost | Released) -> Finish | Release | None:
    match ended:
        case Finish():
            return ended
        case Released():
            return Release(held=((attempt.id, attempt.lease.fence),))
        case Lost():
            return None
        case _:
            assert_never(ended)
