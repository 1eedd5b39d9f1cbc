"""Ways to wait for facts, so that no test sleeps and hopes; not for production code."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

LOOK_EVERY = 0.01  # seconds between two looks at a fact that cannot call us


async def turns(count: int = 10) -> None:
    """Let everything that is ready run, and what that makes ready, `count` rounds deep."""
    for _ in range(count):
        await asyncio.sleep(0)  # noqa: TID251 - a turn of the loop, no time passes


async def until(fact: Callable[[], object], within: float = 10.0, what: str = "") -> None:
    """Return when `fact()` is true: for what can only be looked at (a file, a row, a process)."""
    try:
        async with asyncio.timeout(within):
            while not fact():  # noqa: ASYNC110 - nobody sets an event for it
                await asyncio.sleep(LOOK_EVERY)  # noqa: TID251 - the one place that does
    except TimeoutError:
        raise AssertionError(what or f"still not true after {within} s: {fact}") from None


def blocking_until(
    fact: Callable[[], object],
    within: float = 10.0,
    what: str = "",
    *,
    every: float = LOOK_EVERY,
) -> None:
    """The same as `until`, for tests without a loop; a look that starts a process is dear."""
    end = time.monotonic() + within
    while not fact():
        if time.monotonic() > end:
            raise AssertionError(what or f"still not true after {within} s: {fact}")
        time.sleep(every)  # noqa: TID251 - the one place that looks again


class Signal(Generic[T]):
    """Pass it as a callback; `await signal.next()` gives what was said, one by one, in order."""

    def __init__(self) -> None:
        self._said: deque[T] = deque()
        self._news = asyncio.Event()

    def __call__(self, value: T) -> None:
        """Say it; the reader may come later."""
        self._said.append(value)
        self._news.set()

    async def next(self, within: float = 5.0) -> T:
        """The next value, or TimeoutError when none comes within so many seconds."""
        async with asyncio.timeout(within):
            while not self._said:
                self._news.clear()
                await self._news.wait()
        return self._said.popleft()
