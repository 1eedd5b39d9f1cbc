"""One timer for all deadlines: one per attempt would cost more than a small handler."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from taskhub.work.attempt import Attempt

_RESOLUTION = 0.02
"""Seconds between two looks at most: many different deadlines must not mean as many looks."""


class Deadlines:
    """Calls `expire` once for each watched attempt whose deadline has passed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, expire: Callable[[Attempt], None]) -> None:
        self._loop, self._expire = loop, expire
        self._watched: set[Attempt] = set()
        self._expired: set[Attempt] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf

    def watch(self, attempt: Attempt) -> None:
        """Look after the attempt until it is forgotten."""
        self._watched.add(attempt)
        if attempt.deadline < self._due:
            self._arm(attempt.deadline)

    def forget(self, attempt: Attempt) -> None:
        """The attempt has ended; the timer stays: the next attempt will want one just as late."""
        self._watched.discard(attempt)
        if self._expired:
            self._expired.discard(attempt)

    def run_by(self, task: asyncio.Task[Any] | None) -> Attempt | None:
        """The attempt that this task runs in the loop, if it is one of ours; from any thread."""
        running = [*self._watched.copy(), *self._expired.copy()]
        mine = (each for each in running if each.task is task and each.waiter is None)
        return None if task is None else next(mine, None)

    def earliest_in_loop(self) -> float:
        """The earliest deadline of what runs in the loop itself (infinite: none); any thread."""
        running = [*self._watched.copy(), *self._expired.copy()]  # single steps, so no lock
        return min((each.deadline for each in running if each.waiter is None), default=math.inf)

    def close(self) -> None:
        """Expire nothing any more."""
        self._watched.clear()
        self._disarm()

    def _look(self) -> None:
        self._due, self._timer = math.inf, None
        now = self._loop.time()
        expired = {attempt for attempt in self._watched if attempt.deadline <= now}
        self._expired |= expired
        self._watched -= expired
        if self._watched:
            earliest = min(attempt.deadline for attempt in self._watched)
            self._arm(max(earliest, now + _RESOLUTION))
        for attempt in expired:
            self._expire(attempt)

    def _arm(self, due: float) -> None:
        self._disarm()
        self._due = due
        self._timer = self._loop.call_at(due, self._look)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due, self._timer = math.inf, None
