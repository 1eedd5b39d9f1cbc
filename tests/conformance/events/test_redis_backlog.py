"""What waits in the stream of new work, as an API sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from taskhub.config.sections import RedisSection
from taskhub.errors import BusAway
from taskhub.events import redis_backlog
from taskhub.events.redis_backlog import BacklogWatch
from taskhub.events.redis_line import Address
from taskhub.events.redis_pubsub import RedisBus
from taskhub.events.redis_streams import hints
from taskhub.obs.telemetry import WorkWaits

from tests.conformance.events.conftest import CREATED, SHORT
from tests.valkey import ValkeyServer
from tests.waiting import Signal, until

CHANNEL, STREAM = "taskhub:events", "{taskhub:events}:work"


class Eye:
    """An API's watch, and what it has learned."""

    def __init__(self, url: str) -> None:
        self.told: list[WorkWaits] = []
        self.ups: list[None] = []
        self.learned: Signal[tuple[int, float]] = Signal()
        address = Address.parse(url, RedisSection(), "taskhub-test")
        self.watch = BacklogWatch(address, CHANNEL, self.told.append, SHORT)  # type: ignore[arg-type]

    async def run(self) -> None:
        """Until the server is away."""
        await self.watch.run(
            lambda: self.ups.append(None), lambda waiting, age: self.learned((waiting, age))
        )


@pytest.fixture
async def eye(server: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Eye]:
    """It looks often."""
    monkeypatch.setattr(redis_backlog, "EVERY", 0.01)
    eye = Eye(server.url)
    task = asyncio.create_task(eye.run())
    yield eye
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_waits_is_learned_with_its_age(server: ValkeyServer, eye: Eye) -> None:
    """Also before any worker was there."""
    assert await eye.learned.next() == (0, 0.0)
    bus = RedisBus(server.url, also=hints(CHANNEL))
    await bus.open()
    await bus.publish([CREATED] * 3, frozenset({"work"}))
    await bus.close()
    while (found := await eye.learned.next())[0] != 3:  # it may look between two of them
        pass
    while (later := await eye.learned.next())[1] <= found[1]:
        pass

    assert found[0] == later[0] == 3
    assert eye.told[-1].taken == 0


async def test_what_a_worker_has_taken_waits_no_more(server: ValkeyServer, eye: Eye) -> None:
    """It still counts for the age: it may never be settled."""
    async with Redis.from_url(server.url) as redis:
        await redis.xgroup_create(STREAM, "taskhub", "0", mkstream=True)
        for _ in range(3):
            await redis.xadd(STREAM, {"task": ""}, id="1000-*")
        await redis.xreadgroup("taskhub", "me", {STREAM: ">"}, count=2)

    await until(lambda: eye.told and eye.told[-1].taken == 2)
    while (found := await eye.learned.next())[0] != 1:
        pass

    assert found[1] > 1_000_000.0
    assert (eye.told[-1].waiting, eye.told[-1].taken) == (1, 2)


async def test_a_server_that_goes_away_ends_it(tmp_path: Path) -> None:
    """Who runs it tries again, and knows nothing meanwhile."""
    async with ValkeyServer(tmp_path) as server:
        eye = Eye(server.url)
        task = asyncio.create_task(eye.run())
        await eye.learned.next()
        assert eye.ups == [None]

    with pytest.raises(BusAway):
        await task
