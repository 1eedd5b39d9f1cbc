"""Counts that processes share on a real server: exact together, and never waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from redis.asyncio import Redis
from taskhub.config.sections import RedisSection, Secret
from taskhub.errors import BusAway
from taskhub.events.redis_counts import LOOK, LOOKS, QUEUE_MOST, Asked, RedisCounts, readings
from taskhub.events.redis_line import Address
from taskhub.obs.telemetry import StateChanged, Telemetry
from taskhub.rates import Rate, Reading

from tests.conformance.events.conftest import SHORT
from tests.proxy import Proxy
from tests.valkey import ValkeyServer
from tests.waiting import until

CHANNEL = "taskhub:events"
PER_DAY, PER_SECOND = Rate(10, 86_400), Rate(5, 1)


class Process:
    """One process's counts, and what it told; `look` is long where a late answer is no matter."""

    def __init__(self, url: str, username: str = "", look: float = 0.5) -> None:
        self.told, self.learned = list[Telemetry](), list[Reading]()
        login = RedisSection(username=username, password=Secret("secret" if username else ""))
        address = Address.parse(url, login, "taskhub-api")
        self.counts = RedisCounts(address, CHANNEL, self.told.append, SHORT, look=look)

    def hit(self, rate: Rate = PER_DAY, key: bytes = b"k", times: int = 1) -> Asked | None:
        """One count."""
        return self.counts.hit("create", key, rate, self.learned.append, times=times)

    async def reading(self, rate: Rate = PER_DAY, key: bytes = b"k") -> Reading:
        """One count that the server has answered, as soon as it can be asked and is prompt."""
        asked = list[Asked]()
        while True:
            await until(lambda: self._has_asked(rate, key, asked))
            if found := await asked.pop():
                return found

    def _has_asked(self, rate: Rate, key: bytes, asked: list[Asked]) -> bool:
        hit = self.hit(rate, key)
        asked += [] if hit is None else [hit]
        return hit is not None

    async def taken(self, count: int, rate: Rate = PER_DAY, key: bytes = b"k") -> int:
        """How many of so many hits at once found room."""
        found = await asyncio.gather(*(self.reading(rate, key) for _ in range(count)))
        return sum(reading.is_taken for reading in found)

    def states(self) -> list[str]:
        """What it said of itself."""
        return [event.state for event in self.told if isinstance(event, StateChanged)]


@asynccontextmanager
async def running(process: Process) -> AsyncIterator[Process]:
    """Its counts, kept while the block runs."""
    process.counts.want()
    task = asyncio.create_task(process.counts.run())
    try:
        yield process
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def two(server: ValkeyServer) -> AsyncIterator[tuple[Process, Process]]:
    """Two processes on one server."""
    async with AsyncExitStack() as stack:
        one, other = [
            await stack.enter_async_context(running(Process(server.url))) for _ in range(2)
        ]
        yield one, other


@pytest.fixture
async def one(two: tuple[Process, Process]) -> Process:
    """One of them."""
    return two[0]


async def test_two_processes_count_together(two: tuple[Process, Process]) -> None:
    """Of eight and eight ten are taken, however they come."""
    one, other = two

    taken = await asyncio.gather(one.taken(8), other.taken(8))

    assert sum(taken) == 10
    assert await one.taken(5, key=b"another") == 5
    assert one.states() == other.states() == ["ok"]


async def test_many_are_counted_all_or_not_at_all(one: Process) -> None:
    """A batch is let in whole, or leaves its room to others."""
    rate = Rate(10, 86_400)
    await one.reading(key=b"another")
    asked = [one.hit(rate, times=times) for times in (7, 4, 3, 1)]

    readings = await asyncio.gather(*(each for each in asked if each))

    assert [each and each.is_taken for each in readings] == [True, False, True, False]
    assert [each and each.count for each in readings] == [7, 7, 10, 10]


async def test_what_was_let_through_counts_and_is_never_refused(
    two: tuple[Process, Process],
) -> None:
    """Nobody waits, the others hear of it, and who has told it hears of the others."""
    one, other = two
    assert await other.taken(4) == 4
    await one.reading()

    told = [one.counts.tell("create", b"k", PER_DAY, one.learned.append) for _ in range(7)]

    assert told == [True] * 7
    await until(lambda: len(one.learned) == 7)
    assert [reading.count for reading in one.learned] == list(range(6, 13))
    assert not (await other.reading()).is_taken


async def test_the_window_slides_by_the_servers_clock(one: Process) -> None:
    """Five a second: the next second gives them back one by one."""
    assert await one.taken(9, PER_SECOND) == 5
    full = await one.reading(PER_SECOND)
    assert (full.is_taken, full.before, full.count) == (False, 0, 5)
    assert 0 <= full.gone < 1

    async with asyncio.timeout(10):
        while not (later := await one.reading(PER_SECOND)).is_taken:
            pass

    assert (later.before, later.count) == (5, 1)


async def test_what_is_left_on_the_server_is_little_and_goes_away(
    one: Process, server: ValkeyServer
) -> None:
    """A key a client, without its name, for two windows at most; refusals renew nothing."""
    await one.taken(9, PER_SECOND, b"\x01\x02")

    async with Redis.from_url(server.url) as client:
        (key,) = await client.keys()
        assert key == b"{taskhub:events}:limits:create:1:\x01\x02"
        assert 0 < await client.pttl(key) <= 2_000
        await until_gone(client)


async def until_gone(client: Redis) -> None:
    """Return when no key is left."""
    async with asyncio.timeout(10):
        while await client.keys():
            await client.blpop(["nothing"], timeout=0.1)


async def test_a_window_that_nobody_can_read_begins_anew(
    one: Process, server: ValkeyServer
) -> None:
    """Whoever wrote nonsense there harms nobody else."""
    await one.reading()
    async with Redis.from_url(server.url) as client:
        await client.set("{taskhub:events}:limits:create:86400:k", "nonsense")

        assert (await one.reading()).count == 1


async def test_without_a_server_each_counts_alone_at_once_and_together_again(
    one: Process, server: ValkeyServer
) -> None:
    """Killed, away, back and empty."""
    await one.reading()
    await server.kill()

    await until(lambda: one.hit() is None)
    assert one.hit() is None
    await server.start()

    assert (await one.reading()).count == 1
    assert one.states() == ["ok", "degraded", "ok"]


async def test_a_frozen_server_is_waited_for_once_and_shortly(server: ValkeyServer) -> None:
    """The first few milliseconds; after that nobody waits, until it answers in time again."""
    async with running(Process(server.url, look=LOOK)) as one:
        await one.reading()
        await server.freeze()
        try:
            asked = [one.hit() for _ in range(300)]
            assert None not in asked
            assert await asyncio.gather(*filter(None, asked)) == [None] * 300
            assert [one.hit() for _ in range(3)] == [None] * 3
            await until(lambda: one.states() == ["ok", "degraded"])
        finally:
            await server.thaw()

        await one.reading()
        assert one.states() == ["ok", "degraded", "ok"]


async def test_a_slow_server_slows_nobody_and_still_counts(server: ValkeyServer) -> None:
    """Its answers come too late to wait for, but each process learns what the others let through.

    What was let through without an answer counts beyond the limit, too: it has been done.
    """
    async with Proxy(server.socket) as proxy:
        far = Process(f"redis://127.0.0.1:{proxy.port}/0", look=LOOK)
        async with running(far), running(Process(server.url)) as near:
            await far.reading()
            assert await near.taken(3) == 3
            proxy.latency = 2 * LOOK * LOOKS

            late = far.hit()
            assert late is not None
            assert await late is None
            assert [far.hit() for _ in range(9)] == [None] * 9

            await until(lambda: len(far.learned) == 10)
            assert [reading.count for reading in far.learned] == list(range(5, 15))
            full = await near.reading()
            assert (full.is_taken, full.count) == (False, 14)
            assert far.states() == ["ok"]
            proxy.latency = 0.0


async def test_a_server_that_has_forgotten_the_script_learns_it_again(
    one: Process, server: ValkeyServer
) -> None:
    """`SCRIPT FLUSH`, or another server behind the same name."""
    await one.reading()
    async with Redis.from_url(server.url) as client:
        await client.script_flush()

        assert [await asked for asked in (one.hit(),) if asked] == [None]
        assert (await one.reading()).count == 2


async def test_rights_that_are_missing_are_named(server: ValkeyServer) -> None:
    """What is given for the events alone is not enough; an operator reads what is needed."""
    async with Redis.from_url(server.url) as client:
        rights = ["+publish", "+subscribe", "+ping", "+client", "+auth", "+select"]
        await client.acl_setuser(
            "hub", enabled=True, passwords=["+secret"], channels=["taskhub:*"], commands=rights
        )
        async with running(Process(server.url, username="hub")) as process:
            await until(process.states)
            (told,) = process.told
            assert isinstance(told, StateChanged)
            assert (told.part, told.state) == ("limits", "failed")
            assert "EVALSHA, SCRIPT, GET, SET, TIME" in told.detail
            assert process.hit() is None

            rights += ["+evalsha", "+script", "+get", "+set"]
            keys = ["{taskhub:events}:limits:*"]
            await client.acl_setuser("hub", enabled=True, keys=keys, commands=rights)
            async with running(Process(server.url, username="hub")) as another:
                await until(lambda: another.hit() and another.states())
                assert another.told == [told]  # within the script: TIME is missing

            await client.acl_setuser("hub", enabled=True, commands=["+time"])
            assert (await process.reading()).count == 1


async def test_more_than_can_be_asked_for_is_counted_alone(
    one: Process, server: ValkeyServer
) -> None:
    """While the server is frozen its queue stays short."""
    await one.reading()
    await server.freeze()
    try:
        asked = [one.hit() for _ in range(QUEUE_MOST + 10)]
        assert asked[-10:] == [None] * 10
        assert await asyncio.gather(*filter(None, asked)) == [None] * QUEUE_MOST
    finally:
        await server.thaw()


@pytest.mark.parametrize("answer", [None, b"OK", [], [1, 2, 3], [1, 2, 3, b"4"], [[1], 2, 3, 4]])
def test_an_answer_that_makes_no_sense_is_no_answer(answer: object) -> None:
    """A server that lies is one that is away."""
    with pytest.raises(BusAway):
        readings(answer, 1)
