"""What one process's pool holds now: leases that wait, run, or have ended and are not settled."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, assert_never

import msgspec

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


class Settled(msgspec.Struct):
    """One attempt that has ended, and the write that says so (None: there is nothing to write)."""

    attempt: Attempt
    write: Finish | Release | None
    seconds: float
    is_second_try: bool = False

    def refused(self, reason: str) -> Settled:
        """What to write instead: a failure that can be stored; when even that is refused, nothing.

        Then its lease ends, and the sweep decides.
        """
        if self.is_second_try or not isinstance(self.write, Finish):
            return msgspec.structs.replace(self, write=None)
        lease = self.attempt.lease
        error = f"the outcome could not be stored: {reason}"
        fail = Finish(id=lease.item.id, fence=lease.fence, status=Status.FAILED, error=error)
        return msgspec.structs.replace(self, write=fail, is_second_try=True)


class Holdings:
    """Plain bookkeeping; limits follow from what is held, so no counter can leak.

    It outlives the pool: what one that crashed has held, the next one in this process goes on with.
    """

    __slots__ = (
        "attempts",
        "average",
        "ended",
        "left_behind",
        "parked",
        "running",
        "suspect",
        "waiting",
    )

    def __init__(self) -> None:
        """Hold nothing."""
        self.attempts: dict[TaskId, Attempt] = {}
        """Every attempt whose lease is kept, whatever its state."""
        self.waiting: deque[Attempt] = deque()
        self.parked: dict[TaskId, Attempt] = {}
        """Claimed anew while an attempt whose lease was lost still runs: never two at once."""
        self.running: set[Attempt] = set()
        self.ended: list[Settled] = []
        self.left_behind: set[Attempt] = set()
        """Handlers that do not end: this process must."""
        self.suspect: Attempt | None = None
        self.average = BRISK

    def room(self, concurrency: int) -> int:
        """How many tasks may be claimed now: free slots, while tasks are brisk as many again."""
        taken = self._busy() + len(self.waiting)
        if self.average >= BRISK:
            return min(CLAIM, concurrency - taken)
        if len(self.waiting) > concurrency // 2:
            return 0
        return min(CLAIM, 2 * concurrency - taken)

    def take_in(self, attempt: Attempt) -> None:
        """A new lease waits for a slot; a suspect for its own, before the others."""
        task = attempt.id
        before = self.attempts.get(task)
        self.attempts[task] = attempt
        if attempt.lease.suspect:
            self.suspect = attempt
        if before is not None and self._still_runs(before):
            self.parked[task] = attempt
        elif attempt.lease.suspect:
            self.waiting.appendleft(attempt)
        else:
            self.waiting.append(attempt)

    def _still_runs(self, before: Attempt) -> bool:
        """The new lease is the proof that the old one was lost; what has not started never will."""
        if before in self.waiting:
            self.waiting.remove(before)
        return before in self.running

    def start_next(self, concurrency: int) -> Attempt | None:
        """The next attempt that waits takes a slot; None: nothing waits, or no slot is free."""
        if not self.waiting or not (self._busy() < concurrency or self.waiting[0].lease.suspect):
            return None
        attempt = self.waiting.popleft()
        self.running.add(attempt)
        return attempt

    def is_open(self, attempt: Attempt) -> bool:
        """Whether it has yet to end: it runs or waits."""
        return (
            attempt in self.running
            or attempt in self.waiting
            or self.parked.get(attempt.id) is attempt
        )

    def end(self, attempt: Attempt, ended: Finish | Lost | Released) -> None:
        """An attempt gives its slot back; its outcome waits to be settled."""
        self._leave_slot(attempt)
        seconds = attempt.seconds
        self.average += WEIGHT * (seconds - self.average)
        self.ended.append(Settled(attempt, _write_of(attempt, ended), seconds))

    def leave_behind(self, attempt: Attempt) -> None:
        """Its handler does not end: its lease is kept until this process is gone."""
        self._leave_slot(attempt)
        self.left_behind.add(attempt)

    def forget(self, attempt: Attempt) -> bool:
        """It is settled; False: its task is held under a newer lease, which stays."""
        if self.attempts.get(attempt.id) is not attempt:
            return False
        del self.attempts[attempt.id]
        return True

    def hand_back_waiting(self) -> bool:
        """Give back what has not started; returns whether there was any."""
        waiting = [*self.waiting, *self.parked.values()]
        self.waiting.clear()
        self.parked.clear()
        for attempt in waiting:
            if attempt is self.suspect:
                self.suspect = None
            self.ended.append(Settled(attempt, _write_of(attempt, Released()), 0.0))
        return bool(waiting)

    def _busy(self) -> int:
        """Slots that are taken; the suspect has one of its own."""
        return len(self.running) - (self.suspect in self.running)

    def _leave_slot(self, attempt: Attempt) -> None:
        self.running.discard(attempt)
        if self.suspect is attempt:
            self.suspect = None
        if self.parked and (newer := self.parked.pop(attempt.id, None)) is not None:
            self.waiting.appendleft(newer)


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
