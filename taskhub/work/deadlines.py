"""One timer for all deadlines: one per attempt would cost more than a small handler."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from taskhub.work.attempt import Attempt

_RESOLUTION = 0.02
"""Seconds between two looks at most: many different deadlines must not mean as many looks."""


class Deadlines:
    """Calls `expire` once for each watched attempt whose deadline has passed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, expire: Callable[[Attempt], None]) -> None:
        self._loop, self._expire = loop, expire
        self._attempts: set[Attempt] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf

    def __len__(self) -> int:
        return len(self._attempts)

    def watch(self, attempt: Attempt) -> None:
        """Look after the attempt until it is forgotten."""
        self._attempts.add(attempt)
        if attempt.deadline < self._due:
            self._arm(attempt.deadline)

    def forget(self, attempt: Attempt) -> None:
        """The attempt has ended; the timer stays: the next attempt will want one just as late."""
        self._attempts.discard(attempt)

    def close(self) -> None:
        """Expire nothing any more."""
        self._attempts.clear()
        self._disarm()

    def _look(self) -> None:
        self._due, self._timer = math.inf, None
        now = self._loop.time()
        expired = [attempt for attempt in self._attempts if attempt.deadline <= now]
        self._attempts.difference_update(expired)
        if self._attempts:
            earliest = min(attempt.deadline for attempt in self._attempts)
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
