"""A Redis server that dies, freezes, is cut off or refuses us: said by name, and soon."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from redis.asyncio import Redis
from taskhub.bus import BellKind, Subscribed
from taskhub.config.sections import RedisSection, Secret
from taskhub.errors import BusAway, BusRefused
from taskhub.events.redis_pubsub import RedisBus

from tests.conformance.events.conftest import CREATED, SHORT
from tests.proxy import Proxy
from tests.valkey import ValkeyServer

WORK = frozenset({"work"})
CANARY = "canary-b3f1"


@pytest.fixture
async def proxy(server: ValkeyServer) -> AsyncIterator[Proxy]:
    """The way to the server over TCP."""
    async with Proxy(server.socket) as proxy:
        yield proxy


@pytest.fixture
async def far_bus(proxy: Proxy) -> AsyncIterator[RedisBus]:
    """A bus that goes through the proxy."""
    bus = RedisBus(f"redis://127.0.0.1:{proxy.port}/0", patience=SHORT)
    await bus.open()
    yield bus
    await bus.close()


async def test_a_bus_opens_without_a_server(tmp_path: Path) -> None:
    """The system starts with the event server down; each call says so at once."""
    bus = RedisBus(f"unix://{tmp_path}/nobody.sock")
    await bus.open()

    with pytest.raises(BusAway, match="No such file or directory"):
        await bus.publish([], WORK)
    with pytest.raises(BusAway):
        await anext(bus.subscribe())
    await bus.close()


async def test_a_killed_server_is_noticed_and_used_again(
    server: ValkeyServer, redis_bus: RedisBus
) -> None:
    """The listener hears it at once; the same bus works on with the new, empty server."""
    async with aclosing(redis_bus.subscribe()) as signals:
        await anext(signals)
        await redis_bus.publish([CREATED], WORK)
        assert await anext(signals) == BellKind(WORK)

        await server.kill()

        with pytest.raises(BusAway):
            await anext(signals)
    with pytest.raises(BusAway):
        await redis_bus.publish([], WORK)
    await server.start()
    async with aclosing(redis_bus.subscribe()) as signals:
        assert await anext(signals) == Subscribed()
        await redis_bus.publish([], WORK)
        assert await anext(signals) == BellKind(WORK)


async def test_a_server_that_came_back_unnoticed_loses_no_event(
    server: ValkeyServer, redis_bus: RedisBus
) -> None:
    """An idle publisher's old connection is known to be dead before something is sent on it."""
    await redis_bus.publish([], WORK)
    await server.kill()
    await server.start()

    async with aclosing(redis_bus.subscribe()) as signals:
        await anext(signals)
        await redis_bus.publish([], WORK)

        assert await anext(signals) == BellKind(WORK)


async def test_publishing_to_a_frozen_server_ends(
    server: ValkeyServer, redis_bus: RedisBus
) -> None:
    """On the kept connection and on a new one; both would else wait as long as it is frozen."""
    await redis_bus.publish([], WORK)
    await server.freeze()

    for _ in range(2):
        with pytest.raises(BusAway, match="no answer in time"):
            await redis_bus.publish([CREATED] * 5_000, WORK)
    await server.thaw()
    await redis_bus.publish([], WORK)


async def test_a_frozen_server_is_noticed_by_its_listener(
    server: ValkeyServer, redis_bus: RedisBus
) -> None:
    """Nothing is read from it and no error comes: only a missing echo tells."""
    async with aclosing(redis_bus.subscribe()) as signals:
        await anext(signals)
        await server.freeze()

        with pytest.raises(BusAway, match="frozen"):
            await anext(signals)
    await server.thaw()


async def test_silence_is_no_trouble(server: ValkeyServer, redis_bus: RedisBus) -> None:
    """A quiet line answers its pings: the bell after many of them is heard on the same one."""
    async with aclosing(redis_bus.subscribe()) as signals, Redis.from_url(server.url) as foreigner:
        await anext(signals)
        waiting = asyncio.ensure_future(anext(signals))
        while await calls(foreigner, "ping") < 3:
            assert not waiting.done()

        await foreigner.publish("taskhub:events:bell", "work")

        assert await waiting == BellKind(WORK)


async def test_a_black_hole_is_noticed_on_both_sides(proxy: Proxy, far_bus: RedisBus) -> None:
    """A firewall that forgets a connection sends nothing, not even an end."""
    async with aclosing(far_bus.subscribe()) as signals:
        await anext(signals)
        await far_bus.publish([], WORK)
        assert await anext(signals) == BellKind(WORK)

        proxy.black_hole()

        with pytest.raises(BusAway):
            await anext(signals)
        for _ in range(2):
            with pytest.raises(BusAway):
                await far_bus.publish([], WORK)
    proxy.heal()
    await far_bus.publish([], WORK)


async def test_a_cut_connection_is_noticed_and_replaced(proxy: Proxy, far_bus: RedisBus) -> None:
    """A restarted load balancer costs one connection."""
    await far_bus.publish([], WORK)
    async with aclosing(far_bus.subscribe()) as signals:
        await anext(signals)

        proxy.cut()

        with pytest.raises(BusAway):
            await anext(signals)
    await far_bus.publish([], WORK)


async def test_a_slow_network_is_only_slow(proxy: Proxy, far_bus: RedisBus) -> None:
    """A whole batch takes one round trip: slow is not away until the limit."""
    proxy.latency = 0.02

    await far_bus.publish([CREATED] * 64, WORK)

    proxy.latency = 60.0
    with pytest.raises(BusAway, match="no answer in time"):
        await far_bus.publish([CREATED] * 64, WORK)


async def test_a_killed_client_subscribes_again(server: ValkeyServer, redis_bus: RedisBus) -> None:
    """CLIENT KILL, or the server's own limit for slow listeners."""
    async with Redis.from_url(server.url) as foreigner, aclosing(redis_bus.subscribe()) as signals:
        await anext(signals)

        await foreigner.client_kill_filter(_type="pubsub")

        with pytest.raises(BusAway, match="the line was cut"):
            await anext(signals)
    async with aclosing(redis_bus.subscribe()) as signals:
        assert await anext(signals) == Subscribed()


@pytest.mark.parametrize("given", ["", CANARY], ids=["none", "wrong"])
@pytest.mark.parametrize("way", ["unix", "tcp"])
async def test_a_wrong_password_is_refused_by_name(given: str, way: str, tmp_path: Path) -> None:
    """A mistake to mend, so it is not taken for a server that is away; and never shown."""
    async with (
        ValkeyServer(tmp_path, "--requirepass", "right") as server,
        Proxy(server.socket) as p,
    ):
        url = server.url if way == "unix" else f"redis://127.0.0.1:{p.port}"
        bus = RedisBus(url, login=RedisSection(password=Secret(given)))
        await bus.open()

        with pytest.raises(BusRefused, match=r"password in \[redis\]") as refused:
            await bus.publish([], WORK)
        with pytest.raises(BusRefused):
            await anext(bus.subscribe())

        shown = "".join(traceback.format_exception(refused.value)) + repr(vars(bus))
        assert CANARY not in shown
        await bus.close()


async def test_the_right_password_opens_the_door(tmp_path: Path) -> None:
    """It stands in a section of its own, never in the URL."""
    async with ValkeyServer(tmp_path, "--requirepass", "right") as server:
        bus = RedisBus(server.url, login=RedisSection(password=Secret("right")))
        await bus.open()
        await bus.publish([CREATED], WORK)
        await bus.close()


async def test_a_password_for_a_server_without_one_is_refused(redis_bus: RedisBus) -> None:
    """Somebody believes that the server is protected: say that it is not."""
    bus = RedisBus(
        "unix://" + redis_bus._address.options["path"], login=RedisSection(password=Secret(CANARY))
    )
    await bus.open()

    with pytest.raises(BusRefused):
        await bus.publish([], WORK)
    await bus.close()


async def test_a_user_with_too_few_rights_is_refused_by_name(
    server: ValkeyServer, tmp_path: Path
) -> None:
    """Each side needs its own right; the text says which rights there must be."""
    async with Redis.from_url(server.url) as admin:
        await admin.acl_setuser(
            "deaf", enabled=True, passwords=["+x"], commands=["+@all"], channels=["nothing"]
        )
    bus = RedisBus(server.url, login=RedisSection(username="deaf", password=Secret("x")))
    await bus.open()

    with pytest.raises(BusRefused, match="PUBLISH"):
        await bus.publish([CREATED], frozenset())
    with pytest.raises(BusRefused, match="SUBSCRIBE"):
        await anext(bus.subscribe())
    await bus.close()


async def test_a_user_with_just_enough_rights_is_enough(server: ValkeyServer) -> None:
    """The list in the error text is the whole list."""
    async with Redis.from_url(server.url) as admin:
        await admin.acl_setuser(
            "just",
            enabled=True,
            passwords=["+x"],
            commands=["+publish", "+subscribe", "+ping", "+client"],
            channels=["taskhub:events", "taskhub:events:bell"],
        )
    login = RedisSection(username="just", password=Secret("x"))
    bus = RedisBus(server.url, login=login, patience=SHORT)
    await bus.open()

    async with aclosing(bus.subscribe()) as signals:
        await anext(signals)
        await bus.publish([CREATED], WORK)
        assert await anext(signals) == BellKind(WORK)
    await bus.close()


async def test_a_database_that_is_not_there_is_refused(server: ValkeyServer) -> None:
    """Waiting will not make it appear."""
    bus = RedisBus(f"{server.url}?db=99")
    await bus.open()

    with pytest.raises(BusRefused, match=r"\[events\] url"):
        await bus.publish([], WORK)
    await bus.close()


async def test_another_kind_of_server_is_said() -> None:
    """A web server's port in the URL: it answers, but not in our language."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as web:
        bus = RedisBus(f"redis://127.0.0.1:{web.sockets[0].getsockname()[1]}")
        await bus.open()

        with pytest.raises(BusAway, match="does not speak the Redis protocol"):
            await bus.publish([], WORK)
        await bus.close()


async def calls(client: Redis, command: str) -> int:
    """How often the server has run a command."""
    stats = await client.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {}).get("calls", 0))
