"""The event bus of one process: bells go from the publisher to each listener; nothing leaves it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from taskhub.bus import BellKind, Signal, Subscribed
from taskhub.errors import BusAway
from taskhub.model import Event


class LocalBus:
    """An `EventBus` without a server. What rings while a listener is busy becomes one bell."""

    def __init__(self) -> None:
        self._lines: set[_Line] = set()
        self._is_open = False

    async def open(self) -> None:
        """Take calls."""
        self._is_open = True

    async def close(self) -> None:
        """Hang up on every listener; may be called twice."""
        self._is_open = False
        for line in self._lines:
            line.cut()

    async def publish(self, events: Sequence[Event], kinds: frozenset[str]) -> None:
        """Ring the bell; the events themselves have no listeners outside. Raises BusAway."""
        self._check()
        if kinds:
            for line in self._lines:
                line.ring(kinds)

    async def subscribe(self) -> AsyncGenerator[Signal, None]:
        """Hear the bell until the bus is closed, then raise BusAway."""
        self._check()
        line = _Line()
        self._lines.add(line)
        try:
            yield Subscribed()
            while True:
                yield BellKind(await line.rung())
        finally:
            self._lines.discard(line)

    def _check(self) -> None:
        if not self._is_open:
            raise BusAway("the event bus is closed")


class _Line:
    """What one listener has not heard yet: at most one of each kind."""

    def __init__(self) -> None:
        self._kinds: set[str] = set()
        self._news = asyncio.Event()
        self._is_cut = False

    def ring(self, kinds: frozenset[str]) -> None:
        self._kinds |= kinds
        self._news.set()

    def cut(self) -> None:
        self._is_cut = True
        self._news.set()

    async def rung(self) -> frozenset[str]:
        await self._news.wait()
        if self._is_cut:
            raise BusAway("the event bus is closed")
        self._news.clear()
        kinds = frozenset(self._kinds)
        self._kinds.clear()
        return kinds
