"""The subscriber: passes the bell on, and after each (re)subscription has everybody look once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from taskhub.actors.bus_health import BusHealth
from taskhub.actors.subscriber import Subscriber, Way
from taskhub.bus import KINDS, EventBus, Subscribed
from taskhub.bus import Signal as BusSignal
from taskhub.errors import BusAway, BusRefused
from taskhub.events.local import LocalBus
from taskhub.events.redis_line import Patience
from taskhub.events.redis_pubsub import RedisBus
from taskhub.kernel.actor import Context
from taskhub.model import Event
from taskhub.obs.telemetry import StateChanged, Telemetry

from tests.valkey import ValkeyServer
from tests.virtual_clock import pass_time
from tests.waiting import Signal, turns, until

WORK = frozenset({"work"})


class BrokenBus:
    """Every subscription ends in `trouble`: at once, or (`after`) so long after it was up."""

    def __init__(self, trouble: Exception, after: float | None = None) -> None:
        self.trouble, self.after = trouble, after
        self.calls: list[float] = []

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def publish(self, events: Sequence[Event], kinds: frozenset[str]) -> None: ...

    async def subscribe(self) -> AsyncGenerator[BusSignal, None]:
        self.calls.append(asyncio.get_running_loop().time())
        if self.after is not None:
            yield Subscribed()
            await asyncio.sleep(self.after)  # noqa: TID251 - the line's life, on the virtual clock
        raise self.trouble


class Stage:
    """A running subscriber, what its listener heard, and what it told."""

    def __init__(self, bus: EventBus, *also: Way) -> None:
        self.heard = Signal[frozenset[str]]()
        self.said: list[Telemetry] = []
        self.health = BusHealth("bell")
        self.ctx = Context("subscriber")
        actor = Subscriber(bus, [self.heard], self.said.append, self.health, also)
        self.run = asyncio.create_task(actor.run(self.ctx))

    def states(self) -> list[tuple[str, str]]:
        """The states it has told, in order."""
        return [(e.part, e.state) for e in self.said if isinstance(e, StateChanged)]


@asynccontextmanager
async def playing(bus: EventBus, *also: Way) -> AsyncIterator[Stage]:
    """A subscriber that has made its first try."""
    stage = Stage(bus, *also)
    await turns()
    yield stage
    stage.ctx.stopping.set()
    await stage.run


async def test_the_first_thing_is_one_look() -> None:
    """What rang before we listened may have been missed."""
    bus = LocalBus()
    await bus.open()
    async with playing(bus) as stage:
        assert await stage.heard.next() == KINDS
        assert stage.health.state == "ok"

        await bus.publish([], WORK)

        assert await stage.heard.next() == WORK


@pytest.mark.virtual_clock
async def test_it_is_ready_without_a_server() -> None:
    """The system starts with the event server down: tasks go on by polling."""
    async with playing(BrokenBus(BusAway("gone"))) as stage:
        assert stage.ctx.is_ready.is_set()
        await pass_time(3600)

        assert (stage.health.state, stage.health.detail) == ("degraded", "gone")
        assert stage.states() == [("bell", "degraded")]


@pytest.mark.virtual_clock
async def test_it_tries_at_least_every_two_seconds() -> None:
    """So it hears again well within five seconds of the server's return."""
    bus = BrokenBus(BusAway("gone"))
    async with playing(bus):
        await pass_time(600)

    gaps = [later - call for call, later in zip(bus.calls, bus.calls[1:], strict=False)]
    assert max(gaps) <= 2.0
    assert min(gaps) >= 0.05


@pytest.mark.virtual_clock
async def test_a_line_that_is_cut_at_once_is_no_busy_loop() -> None:
    """Each subscription is a sweep for everybody."""
    bus = BrokenBus(BusAway("cut"), after=0.0)
    async with playing(bus):
        await pass_time(60)

    assert len(bus.calls) < 70


@pytest.mark.virtual_clock
async def test_a_line_that_held_is_tried_again_soon() -> None:
    """One cut a day is no reason to wait."""
    bus = BrokenBus(BusAway("cut"), after=60.0)
    async with playing(bus):
        await pass_time(600)

    gaps = [later - call for call, later in zip(bus.calls, bus.calls[1:], strict=False)]
    assert max(gaps) <= 60.1


@pytest.mark.virtual_clock
async def test_a_refusal_fails_and_is_said_each_minute() -> None:
    """A mistake to mend, not a server that is away."""
    async with playing(BrokenBus(BusRefused("password"))) as stage:
        await pass_time(600)

        assert stage.health.state == "failed"
        assert 10 <= len(stage.states()) <= 11


async def test_a_bug_is_a_crash() -> None:
    """A listener that fails is ours to mend; a supervisor restarts us with a fresh look."""
    stage = Stage(BrokenBus(ZeroDivisionError()))

    with pytest.raises(ExceptionGroup) as crash:
        await stage.run

    assert crash.group_contains(ZeroDivisionError)


@pytest.mark.parametrize("trouble", ["killed", "frozen"])
async def test_it_listens_again_after_the_server_was_away(trouble: str, tmp_path: Path) -> None:
    """Nobody restarts anything: it notices, says so once, comes back and has everybody look."""
    begin = {"killed": ValkeyServer.kill, "frozen": ValkeyServer.freeze}
    end = {"killed": ValkeyServer.start, "frozen": ValkeyServer.thaw}
    async with ValkeyServer(tmp_path) as server:
        bus = RedisBus(server.url, patience=Patience(connect=0.5, command=0.3, quiet=0.1, echo=0.2))
        await bus.open()
        async with playing(bus) as stage:
            assert await stage.heard.next() == KINDS

            await begin[trouble](server)
            await until(lambda: stage.health.state == "degraded")
            await end[trouble](server)

            assert await stage.heard.next() == KINDS
            assert [state for _, state in stage.states()] == ["ok", "degraded", "ok"]
            await bus.publish([], WORK)
            assert await stage.heard.next() == WORK
        await bus.close()


@pytest.mark.virtual_clock
async def test_it_is_well_when_all_that_listens_is() -> None:
    """The bell may ring while the stream of new work refuses us."""
    bus = LocalBus()
    await bus.open()
    calls: list[float] = []

    async def refused_twice(is_up: Callable[[], None]) -> None:
        calls.append(asyncio.get_running_loop().time())
        if len(calls) <= 2:
            raise BusRefused("too few rights")
        is_up()
        await asyncio.Event().wait()

    async with playing(bus, refused_twice) as stage:
        await bus.publish([], WORK)
        await turns()
        assert stage.health.state == "failed"
        await pass_time(10)

        assert stage.states() == [("bell", "ok"), ("bell", "failed"), ("bell", "ok")]
        assert len(calls) == 3
