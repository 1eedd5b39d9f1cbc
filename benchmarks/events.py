"""What events cost the event loop: `python -m benchmarks.events` starts a server, prints a table.

Figures are microseconds of this process's CPU, medians of 5 runs; redis-py's own pipeline stands
beside them, in the same run, on the same server.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

from redis.asyncio import Redis

from taskhub.bus import EventBus
from taskhub.events.embedded import EmbeddedServer
from taskhub.events.embedded_place import find_server, socket_url
from taskhub.events.redis_pubsub import RedisBus
from taskhub.kernel.actor import Context
from taskhub.model import Event, EventType, TaskId

EVENTS = 6_400  # in each run
RUNS = 5
WORK = frozenset({"work"})
EVENT = Event(
    EventType.CREATED,
    TaskId("0199b3c4-0000-7000-8000-000000000001"),
    "Resize images",
    datetime(2025, 9, 28, 22, 17, 17, 123456, tzinfo=UTC),
)


async def cpu(rounds: int, work: Callable[[], Awaitable[None]]) -> float:
    """Median microseconds of CPU of one call."""
    taken = []
    for _ in range(RUNS):
        began = time.process_time()
        for _ in range(rounds):
            await work()
        taken.append((time.process_time() - began) / rounds * 1e6)
    return statistics.median(taken)


async def ours(bus: EventBus, size: int) -> float:
    """An event of our pipeline, its bell included."""
    batch = [EVENT] * size
    return await cpu(max(1, EVENTS // size), lambda: bus.publish(batch, WORK)) / size


async def theirs(client: Redis, size: int) -> float:
    """The same by redis-py's pipeline, with messages made beforehand."""

    async def publish() -> None:
        async with client.pipeline(transaction=False) as pipeline:
            for _ in range(size):
                pipeline.publish("taskhub:events", "x" * 120)
            pipeline.publish("taskhub:events:bell", "work")
            await pipeline.execute()

    return await cpu(max(1, EVENTS // size), publish) / size


async def bell(bus: EventBus) -> float:
    """From one bell to its listener, the publishing of it included."""
    async with aclosing(bus.subscribe()) as signals:
        await anext(signals)

        async def ring() -> None:
            await bus.publish((), WORK)
            await anext(signals)

        return await cpu(EVENTS // 8, ring)


async def measure(socket: Path) -> None:
    """The table."""
    bus = RedisBus(socket_url(socket))
    await bus.open()
    async with Redis.from_url(socket_url(socket)) as client:
        print("events a batch   ours us/event   redis-py pipeline us/event")
        for size in (1, 8, 64, 512):
            mine, other = await ours(bus, size), await theirs(client, size)
            print(f"{size:14}   {mine:13.2f}   {other:26.2f}")
    print(f"one bell, rung and heard: {await bell(bus):.1f} us")
    await bus.close()


async def main() -> None:
    """Start a server, measure, stop it."""
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "events.sock"
        ctx = Context("events-server")
        server = asyncio.create_task(EmbeddedServer(find_server(), socket, lambda _: None).run(ctx))
        await ctx.is_ready.wait()
        await measure(socket)
        ctx.stopping.set()
        await server


if __name__ == "__main__":
    asyncio.run(main())
