"""arq without API and database: `alone.py latency N` and `alone.py drain N` print JSON.

The worker is `arq benchmarks.stack.alone.Alone`; both sides talk through lists on the same server.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any, ClassVar

from arq import create_pool
from arq.connections import RedisSettings

SPACING = 0.02
TIMES = "bench:times"


def redis_settings() -> RedisSettings:
    """The benchmark's own server, on a unix socket."""
    return RedisSettings(unix_socket_path=os.environ["STACK_REDIS"])


async def clock(ctx: dict[str, Any], sent: int) -> None:
    """Tell how long it took from the enqueueing to here."""
    await ctx["redis"].rpush(TIMES, (time.time_ns() - sent) / 1e6)


async def noop(ctx: dict[str, Any], number: int, last: int) -> None:
    """Nothing; the first and the last of all tell when."""
    seen = ctx["seen"]
    seen.append(number)
    if len(seen) in {1, last}:
        await ctx["redis"].rpush(TIMES, time.perf_counter())


async def begin(ctx: dict[str, Any]) -> None:
    """Each job is given a copy of the context: what is counted must be in a list."""
    ctx["seen"] = []


class Alone:
    """As many at once as TaskHub's worker; a poll a hundred times as fast as arq's default."""

    functions: ClassVar = [clock, noop]
    redis_settings = redis_settings()
    max_jobs = 64
    poll_delay = 0.005
    on_startup = begin


async def latency(count: int) -> list[float]:
    """Milliseconds from enqueueing to start, of an idle system."""
    queue = await create_pool(redis_settings())
    for _ in range(count):
        await asyncio.sleep(SPACING)
        await queue.enqueue_job("clock", time.time_ns())
    return await _times(queue, count)


async def enqueue(count: int) -> list[float]:
    """Have so many jobs wait; what it returns says nothing."""
    queue = await create_pool(redis_settings())
    for start in range(0, count, 64):
        numbers = range(start, min(start + 64, count))
        await asyncio.gather(*(queue.enqueue_job("noop", number, count) for number in numbers))
    return []


async def drained(_: int) -> list[float]:
    """Wait for the worker: when the first and the last began."""
    return await _times(await create_pool(redis_settings()), 2)


async def _times(queue: Any, count: int) -> list[float]:
    while await queue.llen(TIMES) < count:  # noqa: ASYNC110 - the list is in another process
        await asyncio.sleep(0.05)
    times = [float(text) for text in await queue.lrange(TIMES, 0, -1)]
    await queue.delete(TIMES)
    return times


if __name__ == "__main__":
    act = {"latency": latency, "enqueue": enqueue, "drained": drained}[sys.argv[1]]
    json.dump(asyncio.run(act(int(sys.argv[2]))), sys.stdout)
