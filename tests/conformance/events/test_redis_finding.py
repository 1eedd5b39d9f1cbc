"""Sentinels and clusters of real servers: who is in charge changes, and we follow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot
from taskhub.bus import BellKind, Subscribed
from taskhub.config.sections import RedisSection, Secret
from taskhub.errors import BusAway, BusRefused
from taskhub.events.embedded_place import find_server
from taskhub.events.redis_pubsub import RedisBus
from taskhub.events.redis_streams import hints

from tests.acceptance.installation import free_port
from tests.conformance.events.conftest import CREATED, SHORT
from tests.valkey import ValkeyServer

CHANNEL = "taskhub:events"
KEY = "{taskhub:events}:work"
WORK = frozenset({"work"})
SLOTS = 16_384


class Server(ValkeyServer):
    """One that listens on a port too, for others find it by that."""

    def __init__(self, folder: Path, *settings: str) -> None:
        folder.mkdir()
        self.number = free_port()
        there = ("--bind", "127.0.0.1", "--port", str(self.number), "--hz", "100")
        soon = ("--repl-diskless-sync-delay", "0")
        super().__init__(folder, *there, *soon, *settings)

    async def ask(self, *words: object) -> object:
        """An operator's command."""
        async with Redis(port=self.number, decode_responses=True) as client:
            return await client.execute_command(*words)  # type: ignore[no-untyped-call]


# ---- sentinels


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Server, Server]]:
    """A master and its replica."""
    async with AsyncExitStack() as stack:
        master = await stack.enter_async_context(Server(tmp_path / "master"))
        follows = ("--replicaof", f"127.0.0.1 {master.number}")
        replica = await stack.enter_async_context(Server(tmp_path / "replica", *follows))
        async with asyncio.timeout(10):
            while "'state': 'online'" not in str(await master.ask("INFO", "replication")):
                pass
        yield master, replica


async def test_who_listens_on_a_replica_hears_everything(pair: tuple[Server, Server]) -> None:
    """The master does not know of listeners there: it is sent each event."""
    master, replica = pair
    bus, many = RedisBus(f"redis://127.0.0.1:{master.number}"), [CREATED] * 20
    await bus.open()
    async with (
        Redis(port=replica.number) as client,
        client.pubsub(ignore_subscribe_messages=True) as ears,
    ):
        await ears.subscribe(CHANNEL)
        await ears.get_message(timeout=5)
        for _ in range(2):
            await bus.publish(many, WORK)

        assert all([await ears.get_message(timeout=5) for _ in range(40)])
    await bus.close()


@pytest.fixture
async def sentinel(pair: tuple[Server, Server], tmp_path: Path) -> AsyncIterator[int]:
    """The port of a sentinel that watches them, and wants a password."""
    port, file = free_port(), tmp_path / "sentinel.conf"
    file.write_text(
        f"port {port}\nbind 127.0.0.1\nrequirepass theirs\n"
        f"sentinel monitor hub 127.0.0.1 {pair[0].number} 1\n"
        "sentinel down-after-milliseconds hub 200\nsentinel failover-timeout hub 1000\n"
    )
    process = await asyncio.create_subprocess_exec(
        str(find_server()), str(file), "--sentinel", stdout=asyncio.subprocess.DEVNULL
    )
    async with Redis(port=port, password="theirs", decode_responses=True) as client:
        async with asyncio.timeout(10):
            while await knows(client) < 1:
                pass
    yield port
    process.kill()
    await process.wait()


async def knows(client: Redis) -> int:
    """How many replicas the sentinel has found."""
    try:
        return len(await client.sentinel_slaves("hub"))
    except (OSError, ConnectionError):
        return 0


def by_sentinels(*ports: int, service: str = "hub") -> RedisBus:
    """A bus that asks them."""
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    login = RedisSection(sentinel_password=Secret("theirs"))
    url = f"redis+sentinel+streams://{hosts}/{service}"
    return RedisBus(url, CHANNEL, login=login, patience=SHORT, also=hints(CHANNEL))


async def test_the_replica_that_takes_over_is_found(
    pair: tuple[Server, Server], sentinel: int
) -> None:
    """The master is killed; a sentinel that is away holds nobody up. A wrong name is a mistake."""
    master, replica = pair
    bus = by_sentinels(free_port(), sentinel)
    await bus.open()
    async with aclosing(bus.subscribe()) as signals:
        assert await anext(signals) == Subscribed()
        await bus.publish([CREATED], WORK)
        assert await anext(signals) == BellKind(WORK)
        await master.kill()
        with pytest.raises(BusAway):
            await anext(signals)

    async with asyncio.timeout(20):
        while True:
            try:
                await bus.publish([CREATED], WORK)
                break
            except BusAway:
                await asyncio.sleep(0.05)  # noqa: TID251 - as the publisher pauses
    await bus.close()
    assert await replica.ask("XLEN", KEY)

    mistaken = by_sentinels(sentinel, service="hob")
    await mistaken.open()
    with pytest.raises(BusRefused, match="do not know the service"):  # waiting will not mend it
        await mistaken.publish([CREATED], WORK)
    await mistaken.close()


async def test_sentinels_that_are_all_away_are_said_so() -> None:
    """Degraded, as any server that is."""
    bus = by_sentinels(free_port(), free_port())
    await bus.open()

    with pytest.raises(BusAway, match="Connection refused"):
        await bus.publish([CREATED], WORK)
    await bus.close()


# ---- clusters


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[tuple[Server, Server]]:
    """Two nodes; the first is in charge of our keys, the second of the others."""
    async with AsyncExitStack() as stack:
        made: list[Server] = []
        for name in ("first", "second"):
            talk = ("--cluster-port", str(free_port()), "--cluster-node-timeout", "1000")
            node = Server(tmp_path / name, "--cluster-enabled", "yes", *talk)
            made.append(await stack.enter_async_context(node))
        first, second = made
        ours = key_slot(KEY.encode())
        await first.ask("CLUSTER", "ADDSLOTS", ours, ours + 1)  # who has none left is a replica
        await second.ask("CLUSTER", "ADDSLOTSRANGE", 0, ours - 1, ours + 2, SLOTS - 1)
        bus_port = second._settings[second._settings.index("--cluster-port") + 1]
        await first.ask("CLUSTER", "MEET", "127.0.0.1", second.number, bus_port)
        async with asyncio.timeout(20):
            while not all([await is_whole(node) for node in made]):
                pass
        yield first, second


async def is_whole(node: Server) -> bool:
    """Whether it knows who is in charge of every slot."""
    return "cluster_state:ok" in str(await node.ask("CLUSTER", "INFO"))


async def test_our_keys_are_found_and_followed(nodes: tuple[Server, Server]) -> None:
    """By way of any node; after they have moved the next try finds them."""
    first, second = nodes
    url = f"redis+cluster+streams://127.0.0.1:{free_port()},127.0.0.1:{second.number}"
    bus = RedisBus(url, CHANNEL, patience=SHORT, also=hints(CHANNEL))
    await bus.open()
    async with aclosing(bus.subscribe()) as signals:
        await anext(signals)
        await bus.publish([CREATED], WORK)
        assert await anext(signals) == BellKind(WORK)
    assert await first.ask("XLEN", KEY) == 1

    await first.ask("DEL", KEY)
    new = await second.ask("CLUSTER", "MYID")
    for node in (second, first):
        await node.ask("CLUSTER", "SETSLOT", key_slot(KEY.encode()), "NODE", new)
    with pytest.raises(BusAway, match="the cluster has moved our keys"):
        await bus.publish([CREATED], WORK)
    await bus.publish([CREATED], WORK)

    assert await second.ask("XLEN", KEY) == 1
    await bus.close()
