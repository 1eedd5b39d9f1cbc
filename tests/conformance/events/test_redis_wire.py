"""What goes over the line to a Redis server, as a foreign client sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis
from taskhub.bus import KINDS, BellKind, Subscribed
from taskhub.events.redis_pubsub import RedisBus
from taskhub.model import Event, EventType, TaskId

from tests.conformance.events.conftest import CREATED
from tests.valkey import ValkeyServer

PROGRESS = Event(
    EventType.PROGRESS, TaskId("2"), 'Größe "ß"\n', datetime(2025, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
)
CREATED_JSON = (
    b'{"type":"TaskCreated","id":"0199b3c4-0000-7000-8000-000000000001",'
    b'"title":"Resize images","at":"2025-09-28T22:17:17Z"}'
)
PROGRESS_JSON = (
    '{"type":"TaskProgress","id":"2","title":"Größe \\"ß\\"\\n","at":"2025-01-02T03:04:05.000678Z"}'
)


@pytest.fixture
async def foreigner(server: ValkeyServer) -> AsyncIterator[Redis]:
    """Somebody else's client."""
    async with Redis.from_url(server.url) as client:
        yield client


async def heard(foreigner: Redis, bus: RedisBus, *args: object) -> list[tuple[bytes, bytes]]:
    """What a foreign subscriber to everything gets of one publish."""
    async with foreigner.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.psubscribe("*")
        await pubsub.get_message(timeout=5)
        await bus.publish(*args)  # type: ignore[arg-type]
        await foreigner.publish("end", "")
        messages: list[tuple[bytes, bytes]] = []
        async for message in pubsub.listen():
            if message["channel"] == b"end":
                return messages
            messages.append((message["channel"], message["data"]))
    raise AssertionError


async def test_an_event_is_exactly_this_message(foreigner: Redis, redis_bus: RedisBus) -> None:
    """Programs of others parse it: the form is a promise."""
    messages = await heard(foreigner, redis_bus, [CREATED, PROGRESS], frozenset({"work", "ended"}))

    assert sorted(messages) == [
        (b"taskhub:events", CREATED_JSON),
        (b"taskhub:events", PROGRESS_JSON.encode()),
        (b"taskhub:events:bell", b"ended work"),
    ]


async def test_many_events_ring_one_bell(foreigner: Redis, redis_bus: RedisBus) -> None:
    """Each process would else wake once for each of them."""
    messages = await heard(foreigner, redis_bus, [CREATED] * 500, KINDS)

    assert (
        messages.count((b"taskhub:events:bell", b"cancel ended later schedules told types work"))
        == 1
    )
    assert len(messages) == 501


async def test_another_channel_has_another_bell(foreigner: Redis, server: ValkeyServer) -> None:
    """Two installations may share a server."""
    bus = RedisBus(server.url, "other")
    await bus.open()

    messages = await heard(foreigner, bus, [], KINDS)

    assert messages == [(b"other:bell", b"cancel ended later schedules told types work")]
    await bus.close()


@pytest.mark.parametrize(
    "content", [b"", b"work work\nevil", b"\xff\x00", b"drop tables", b"work " * 1000, b"9" * 99]
)
async def test_a_forged_bell_is_only_a_bell(
    content: bytes, foreigner: Redis, redis_bus: RedisBus
) -> None:
    """Whoever may publish can make us look; nothing that they say is believed."""
    async with aclosing(redis_bus.subscribe()) as signals:
        assert await anext(signals) == Subscribed()

        await foreigner.publish("taskhub:events:bell", content)

        assert await anext(signals) == BellKind(KINDS)


async def test_the_server_knows_who_we_are(foreigner: Redis, server: ValkeyServer) -> None:
    """An operator who reads CLIENT LIST sees the roles, and the database of the URL."""
    bus = RedisBus(f"{server.url}?db=3", client_name="taskhub-api")
    await bus.open()
    await bus.publish([], KINDS)

    names = {(client["name"], client["db"]) for client in await foreigner.client_list()}

    assert ("taskhub-api", "3") in names
    await bus.close()


async def test_a_listener_that_leaves_hangs_up(foreigner: Redis, redis_bus: RedisBus) -> None:
    """Its connection would else be kept by the server for ever."""
    async with aclosing(redis_bus.subscribe()) as signals:
        await anext(signals)
        assert await listeners(foreigner) == 1

    while await listeners(foreigner):
        pass  # the server reads the end of the line when it comes


async def listeners(client: Redis) -> int:
    """How many hear the bell."""
    [(_, count)] = await client.pubsub_numsub("taskhub:events:bell")
    return int(count)
