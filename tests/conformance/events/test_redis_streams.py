"""Hints of new work in a stream: each for one worker, kept until that has looked, then gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from redis.asyncio import Redis
from taskhub.bus import KINDS
from taskhub.config.sections import RedisSection, Secret
from taskhub.errors import BusAway, BusRefused
from taskhub.events import redis_streams
from taskhub.events.redis_line import Address
from taskhub.events.redis_pubsub import RedisBus
from taskhub.events.redis_streams import WorkStream, hints
from taskhub.model import Event, EventType, TaskId

from tests.conformance.events.conftest import CREATED, SHORT
from tests.proxy import Proxy
from tests.valkey import ValkeyServer
from tests.waiting import Signal, until

CHANNEL = "taskhub:events"
STREAM = "{taskhub:events}:work"
WORK = frozenset({"work"})


def many(count: int) -> list[Event]:
    """New tasks."""
    return [Event(CREATED.type, TaskId(f"t{n}"), "t", CREATED.at) for n in range(count)]


class Taker:
    """A worker: it hears that there are hints, and says when it has looked."""

    def __init__(self, url: str, name: str) -> None:
        address = Address.parse(url, RedisSection(), "taskhub-test")
        self.stream = WorkStream(address, CHANNEL, name, SHORT)
        self.rings: Signal[None] = Signal()

    def looks(self, room: int) -> None:
        """It claims, and has room for so many more."""
        self.stream.looked(asyncio.get_running_loop().time(), room)

    async def run(self) -> None:
        """Until cancelled, or the server is away."""
        await self.stream.run(lambda: None, lambda: self.rings(None))

    @asynccontextmanager
    async def running(self, room: int = 8) -> AsyncIterator[None]:
        """It has joined, and has room."""
        task = asyncio.create_task(self.run())
        try:
            await self.rings.next()  # once, for whatever was missed
            self.looks(room)
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, BusAway):
                await task


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ValkeyServer]:
    """Looks so often how long somebody waits; ours looks once a second."""
    async with ValkeyServer(tmp_path, "--hz", "100") as server:
        yield server


@pytest.fixture
async def bus(server: ValkeyServer) -> AsyncIterator[RedisBus]:
    """Publishes, as an API does."""
    bus = RedisBus(server.url, also=hints(CHANNEL), patience=SHORT)
    await bus.open()
    yield bus
    await bus.close()


@pytest.fixture
async def eye(server: ValkeyServer) -> AsyncIterator[Redis]:
    """Looks into the server."""
    async with Redis.from_url(server.url, decode_responses=True) as client:
        yield client


@pytest.fixture
def make(server: ValkeyServer) -> Callable[[str], Taker]:
    """Workers by name."""
    return lambda name: Taker(server.url, name)


async def pending(eye: Redis) -> dict[str, int]:
    """How many hints each worker holds."""
    told = await eye.xinfo_consumers(STREAM, "taskhub")
    return {row["name"]: row["pending"] for row in told if row["pending"]}


async def gone(look: Callable[[], Awaitable[object]]) -> None:
    """Return when what `look` finds is nothing."""
    async with asyncio.timeout(5):
        while await look():
            pass


async def test_each_hint_goes_to_one_worker(
    bus: RedisBus, eye: Redis, make: Callable[[str], Taker]
) -> None:
    """Nobody else wakes up for it."""
    first, second = make("first"), make("second")
    async with first.running(), second.running():
        await bus.publish([CREATED], WORK)
        ringing = {asyncio.ensure_future(taker.rings.next()) for taker in (first, second)}
        woken, asleep = await asyncio.wait(ringing, return_when=asyncio.FIRST_COMPLETED)
        for each in asleep:
            each.cancel()

        assert len(woken) == 1
        assert sum((await pending(eye)).values()) == 1


async def test_a_worker_takes_no_more_than_it_has_room_for(
    bus: RedisBus, eye: Redis, make: Callable[[str], Taker]
) -> None:
    """The rest is for others: what nobody has room for shows as a lag."""
    busy, idle = make("busy"), make("idle")
    async with busy.running(room=3):
        await bus.publish(many(10), WORK)
        await busy.rings.next()

        assert await pending(eye) == {"busy": 3}
        (group,) = await eye.xinfo_groups(STREAM)
        assert group["lag"] == 7

        async with idle.running():
            await idle.rings.next()
            assert await pending(eye) == {"busy": 3, "idle": 7}


async def test_a_hint_is_settled_by_a_claim_that_was_sent_after_it_came(
    bus: RedisBus, eye: Redis, make: Callable[[str], Taker]
) -> None:
    """An older one cannot have seen the task. Then it is off the stream, which stays as short as
    what is in flight.
    """
    worker = make("worker")
    async with worker.running():
        before = asyncio.get_running_loop().time()
        await bus.publish(many(5), WORK)
        await worker.rings.next()
        await until(lambda: asyncio.get_running_loop().time() > before)

        worker.stream.looked(before, 8)
        assert await pending(eye) == {"worker": 5}
        worker.looks(8)

        await gone(lambda: eye.xlen(STREAM))
        assert await pending(eye) == {}


async def test_what_a_dead_worker_has_taken_comes_to_another(
    bus: RedisBus, eye: Redis, make: Callable[[str], Taker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between hint and claim: it never looks."""
    monkeypatch.setattr(redis_streams, "ABANDONED", 0.05)
    monkeypatch.setattr(redis_streams, "LOOK_FOR_ABANDONED", 0.05)
    dead, other = make("dead"), make("other")
    async with dead.running():
        await bus.publish([CREATED], WORK)
        await dead.rings.next()

    async with other.running():
        await other.rings.next()
        assert await pending(eye) == {"other": 1}
        other.looks(8)
        await gone(lambda: eye.xlen(STREAM))


async def test_hints_are_kept_while_no_worker_is_there(
    bus: RedisBus, eye: Redis, make: Callable[[str], Taker]
) -> None:
    """Up to a limit, so that the server's memory is bounded."""
    await bus.publish(many(4), WORK)

    worker = make("worker")
    async with worker.running():
        await worker.rings.next()
        assert await pending(eye) == {"worker": 4}


async def test_a_stream_that_nobody_reads_is_trimmed(
    eye: Redis, server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tasks are rows: polls find them."""
    monkeypatch.setattr(redis_streams, "MOST", 100)
    bus = RedisBus(server.url, also=hints(CHANNEL))
    await bus.open()
    for _ in range(5):
        await bus.publish(many(200), WORK)
    await bus.close()

    assert 100 <= await eye.xlen(STREAM) <= 300  # it is trimmed by whole nodes


@pytest.mark.parametrize(
    ("events", "kinds", "count"),
    [
        ([], WORK, 1),
        ([], KINDS, 1),
        ([CREATED, CREATED], WORK, 2),
        ([CREATED], frozenset({"told"}), 0),
        ([Event(EventType.DONE, CREATED.id, "t", CREATED.at)], frozenset({"ended"}), 0),
    ],
    ids=["due", "after a gap", "two tasks", "delayed", "ended"],
)
async def test_a_hint_is_added_for_what_can_be_claimed(
    bus: RedisBus, eye: Redis, events: list[Event], kinds: frozenset[str], count: int
) -> None:
    """One for each new task, one where something else rang for work."""
    await bus.publish(events, kinds)

    assert await eye.xlen(STREAM) == count


async def test_the_name_of_a_consumer_that_is_long_gone_is_removed(
    eye: Redis, make: Callable[[str], Taker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each life of a process has a name of its own: they would pile up."""
    async with make("old").running():
        pass
    monkeypatch.setattr(redis_streams, "GONE", -1.0)

    async with make("new").running():
        names = [row["name"] for row in await eye.xinfo_consumers(STREAM, "taskhub")]

    assert "old" not in names


async def test_an_emptied_server_is_joined_anew(
    server: ValkeyServer, eye: Redis, make: Callable[[str], Taker], bus: RedisBus
) -> None:
    """FLUSHALL, or an eviction: the line is given up, the next one makes the group."""
    worker = make("worker")
    task = asyncio.create_task(worker.run())
    await worker.rings.next()
    worker.looks(8)
    await until_blocked(eye)
    await eye.flushall()

    with pytest.raises(BusAway):
        await task
    async with worker.running():
        await bus.publish([CREATED], WORK)
        await worker.rings.next()


async def test_a_frozen_server_is_noticed(
    server: ValkeyServer, eye: Redis, make: Callable[[str], Taker]
) -> None:
    """It keeps the connection and says nothing."""
    worker = make("worker")
    task = asyncio.create_task(worker.run())
    await worker.rings.next()
    worker.looks(8)
    await until_blocked(eye)
    await server.freeze()

    with pytest.raises(BusAway):
        await task
    await server.thaw()


async def test_a_killed_server_is_noticed_and_its_successor_used(
    server: ValkeyServer, make: Callable[[str], Taker], bus: RedisBus
) -> None:
    """What the old one held is lost; so is nothing that counts."""
    worker = make("worker")
    task = asyncio.create_task(worker.run())
    await worker.rings.next()
    worker.looks(8)
    await server.kill()
    with pytest.raises(BusAway):
        await task

    await server.start()
    async with worker.running():
        await bus.publish([CREATED], WORK)
        await worker.rings.next()


async def test_a_black_hole_is_noticed(server: ValkeyServer) -> None:
    """No packet says that the line is gone."""
    async with Proxy(server.socket) as proxy:
        worker = Taker(f"redis+streams://127.0.0.1:{proxy.port}", "worker")
        task = asyncio.create_task(worker.run())
        await worker.rings.next()
        worker.looks(8)
        proxy.black_hole()

        with pytest.raises(BusAway):
            await task


async def test_a_full_server_is_said_so(server: ValkeyServer, eye: Redis, bus: RedisBus) -> None:
    """It takes no hints any more; the bell still rings for whoever listens to that."""
    await eye.config_set("maxmemory", 1)

    with pytest.raises(BusAway, match="its memory is full"):
        await bus.publish([CREATED], WORK)

    await eye.config_set("maxmemory", 0)
    await bus.publish([CREATED], WORK)


RIGHTS = (
    "on >pw resetchannels ~{taskhub:events}:work -@all +ping +client|setname +client|setinfo "
    "+xgroup +xinfo|consumers +xreadgroup +xautoclaim +xack +xdel"
)


async def test_just_enough_rights_are_enough(server: ValkeyServer, eye: Redis) -> None:
    """With fewer the message says which there must be."""
    may: Callable[..., Awaitable[object]] = eye.execute_command
    await may("ACL", "SETUSER", "worker", *RIGHTS.split())
    login = RedisSection(username="worker", password=Secret("pw"))
    address = Address.parse(server.url, login, "taskhub-test")
    stream, rings = WorkStream(address, CHANNEL, "worker", SHORT), Signal[None]()
    task = asyncio.create_task(stream.run(lambda: None, lambda: rings(None)))
    await rings.next()
    task.cancel()

    await may("ACL", "SETUSER", "worker", "-xautoclaim")
    stream.looked(0.0, 8)

    with pytest.raises(BusRefused, match=r"\[redis\] username too few rights.*XAUTOCLAIM"):
        await stream.run(lambda: None, lambda: None)


async def until_blocked(eye: Redis) -> None:
    """Return when a worker waits for hints."""
    async with asyncio.timeout(5):
        while not any("b" in row["flags"] for row in await eye.client_list()):
            pass
