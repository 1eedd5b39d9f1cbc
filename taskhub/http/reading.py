"""Bounds of reading: no request hangs on a database that does, or waits behind a large body."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from taskhub.errors import StoreDown

T = TypeVar("T")

READ_SECONDS = 10.0
LARGE = 65_536
"""Bodies from this size on are read in a thread, so that nobody waits behind them."""


async def in_time(asking: Awaitable[T], seconds: float = READ_SECONDS) -> T:
    """What the store answers; raises StoreDown when it takes longer than that."""
    try:
        async with asyncio.timeout(seconds):
            return await asking
    except TimeoutError:
        raise StoreDown from None
