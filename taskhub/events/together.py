"""Runs what belongs together until one part ends; knows nothing of event servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any

AGAIN = 0.1
"""Seconds until what was cancelled and goes on is cancelled again."""


async def first_end(*works: Awaitable[None]) -> None:
    """Run them together until one ends; its error is ours."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await end(tasks)


async def end(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel them until they have ended: Python 3.11's `wait_for` can lose a cancellation."""
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN)
