"""Ends waits for the store that take too long: one look a second for all, no timer for each."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any


class Patience:
    """How many `seconds` a request waits for the store; the store itself gives up far sooner."""

    __slots__ = ("_clock", "_seconds", "_waits")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float = 30.0) -> None:
        self._clock, self._seconds = loop.time, seconds
        self._waits: deque[tuple[float, asyncio.Future[Any]]] = deque()

    def watch(self, wait: asyncio.Future[Any]) -> None:
        """Cancel this future when it is not done in time."""
        waits = self._waits
        waits.append((self._clock() + self._seconds, wait))
        while waits[0][1].done():
            waits.popleft()

    def look(self) -> None:
        """Forget the waits that are over, end those whose time is."""
        now, waits = self._clock(), self._waits
        while waits and (waits[0][1].done() or waits[0][0] <= now):
            waits.popleft()[1].cancel()
