"""What the benchmark's tasks do: nothing, tell the time, or wait to be killed."""

from __future__ import annotations

import asyncio
import time

from taskhub import Job, handler

LONG = 60.0


@handler("noop")
async def noop() -> None:
    """Nothing: what is left is the cost of the system."""


@handler("clock")
async def clock() -> int:
    """When it began, in nanoseconds since 1970."""
    return time.time_ns()


@handler("victim", timeout=2 * LONG)
async def victim(job: Job) -> int:
    """Wait to be killed; from the second attempt on tell when it began."""
    began = time.time_ns()
    if job.attempt == 1:
        await asyncio.sleep(LONG)
    return began
