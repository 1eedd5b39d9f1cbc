"""Shows other threads whether the event loop still turns; it judges nobody."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

EVERY = 0.5  # seconds between two beats
BLOCKED = 1.0  # a loop that has not turned for so long is blocked


class Pulse:
    """Touched by the loop, read by the keeper's thread.

    `deadline` gives the earliest one of all running tasks, in seconds of `time.monotonic()`
    (infinite: none runs), and is asked from the keeper's thread: a loop that is blocked past it
    will not obey it. `lag` is how late the last beat was, in seconds.
    """

    def __init__(self) -> None:
        """Make a pulse that counts from now; `start` makes it beat."""
        self.at = time.monotonic()
        self.lag = 0.0
        self.deadline: Callable[[], float] = lambda: math.inf
        self.doing: Callable[[], tuple[str, str]] = lambda: ("", "")
        """What kind of work the loop is at, and which one; asked from the keeper's thread."""
        self.is_ready = False
        self.is_draining = False
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Beat on this loop until `stop`."""
        self.at = time.monotonic()
        self._timer = loop.call_later(EVERY, self._beat, loop)

    def stop(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def age(self) -> float:
        """Seconds since the loop's last beat that was due and came."""
        return max(0.0, time.monotonic() - self.at)

    def is_overdue(self) -> bool:
        """Whether the loop is blocked past the deadline of a task that runs on it."""
        return self.age() > BLOCKED and time.monotonic() > self.deadline()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        self.lag = max(0.0, now - self.at - EVERY)
        self.at = now
        self._timer = loop.call_later(EVERY, self._beat, loop)
