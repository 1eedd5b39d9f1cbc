"""How many batches one process has in hand: each may be megabytes, and long for the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from taskhub.errors import Busy

IN_HAND = 32
"""Batches that are being read, wait for their turn or are worked on; past them: Busy."""
AT_WORK = 1
"""Those that are worked on at once. More are not faster, and single tasks wait for all of them."""
PATIENCE = 10.0
"""Seconds that a batch waits for its turn."""


class Batches:
    """Counts those in hand, and gives them their turns."""

    __slots__ = ("_count", "_most", "_patience", "_turns")

    def __init__(
        self, most: int = IN_HAND, at_work: int = AT_WORK, patience: float = PATIENCE
    ) -> None:
        self._count, self._most, self._patience = 0, most, patience
        self._turns = asyncio.Semaphore(at_work)

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Take one in hand; raises Busy."""
        if self._count >= self._most:
            raise Busy
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Work on it when those before it are done; raises Busy when that takes too long."""
        try:
            async with asyncio.timeout(self._patience):
                await self._turns.acquire()
        except TimeoutError:
            raise Busy from None
        try:
            yield
        finally:
            self._turns.release()
