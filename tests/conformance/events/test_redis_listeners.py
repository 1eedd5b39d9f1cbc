"""Events that nobody can hear are not sent; whoever listens, anywhere, gets each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError
from taskhub.bus import KINDS
from taskhub.config.sections import RedisSection, Secret
from taskhub.events.redis_listeners import FEW, audience
from taskhub.events.redis_pubsub import RedisBus

from tests.conformance.events.conftest import CREATED
from tests.valkey import ValkeyServer

ALONE, CHANNEL = b"# Cluster\r\ncluster_enabled:0\r\n", b"taskhub:events"
CHANNELS = ["taskhub:events", "taskhub:events:*"]
RIGHTS = ["-@all", "+publish", "+client", "+ping"]
MANY = [CREATED] * (FEW + 1)


@pytest.fixture
async def operator(server: ValkeyServer) -> AsyncIterator[Redis]:
    """Who looks at the server's own figures."""
    async with Redis.from_url(server.url) as client:
        yield client


async def published(operator: Redis) -> int:
    """How many messages the server was sent since it was last asked, by anybody."""
    count = (await operator.info("commandstats")).get("cmdstat_publish", {}).get("calls", 0)
    await operator.config_resetstat()
    return int(count)


async def test_what_nobody_hears_is_not_sent_but_the_bell_is(
    operator: Redis, redis_bus: RedisBus
) -> None:
    """It would cost the server and us as much as what is heard; workers hear the bell."""
    await redis_bus.publish([CREATED], KINDS)
    assert await published(operator) == 2

    await redis_bus.publish(MANY, KINDS)

    assert await published(operator) == 1


async def test_the_first_events_on_a_line_are_sent_however_many_they_are(
    operator: Redis, redis_bus: RedisBus
) -> None:
    """A server that refuses them must say so before anybody needs them."""
    await redis_bus.publish(MANY, frozenset())

    assert await published(operator) == len(MANY)


@pytest.mark.parametrize("pattern", [False, True])
async def test_who_has_just_begun_to_listen_misses_nothing(
    pattern: bool,
    operator: Redis,
    redis_bus: RedisBus,
) -> None:
    """The server is asked each time, in the order in which it hears of listeners."""
    await redis_bus.publish([CREATED], KINDS)
    await redis_bus.publish(MANY, KINDS)

    async with operator.pubsub(ignore_subscribe_messages=True) as ears:
        await (ears.psubscribe("taskhub:*ents") if pattern else ears.subscribe("taskhub:events"))
        await ears.get_message(timeout=5)
        await published(operator)
        await redis_bus.publish(MANY, frozenset())

        heard = [await ears.get_message(timeout=5) for _ in MANY]

    assert all(heard)
    assert await published(operator) == len(MANY)


@pytest.mark.parametrize(
    "answers",
    [
        [[b"master", 0, [[b"127.0.0.1", b"6380", b"1"]]], ALONE, [CHANNEL, 0], 0],
        [[b"slave", b"127.0.0.1", 6379, b"connected", 0], ALONE, [CHANNEL, 0], 0],
        [[b"master", 0, []], b"# Cluster\r\ncluster_enabled:1\r\n", [CHANNEL, 0], 0],
        [[b"master", 0, []], ResponseError("no"), [CHANNEL, 0], 0],
        [[b"master", 0, []], ALONE, [], 0],
        [ResponseError("no")] * 4,
        [],
    ],
)
def test_where_others_may_listen_elsewhere_nobody_knows(answers: list[object]) -> None:
    """A replica and another node of a cluster have listeners of their own."""
    assert audience(answers) == "unknown"


async def test_who_may_not_ask_sends_everything(server: ValkeyServer, operator: Redis) -> None:
    """The rights that we name are enough; each refusal would stand in the server's log."""
    await operator.acl_setuser(
        "u", enabled=True, passwords=["+pw"], channels=CHANNELS, commands=RIGHTS, reset=True
    )
    login = RedisSection(username="u", password=Secret("pw"))
    bus = RedisBus(server.url, login=login)
    await bus.open()
    await bus.publish([CREATED], KINDS)
    await published(operator)

    await bus.publish(MANY, frozenset())
    await bus.publish(MANY, frozenset())

    assert await published(operator) == 2 * len(MANY)
    assert len(await operator.acl_log()) <= 4
    await bus.close()
