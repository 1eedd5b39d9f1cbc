"""The publisher: nobody waits for it, trouble is a state, coming back rings for what was missed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from taskhub.actors.bus_health import BusHealth
from taskhub.actors.publisher import DRAIN, PIPELINE, Publisher
from taskhub.bus import KINDS, EventBus
from taskhub.bus import Signal as BusSignal
from taskhub.config.sections import RedisSection, Secret
from taskhub.errors import BusAway, BusRefused
from taskhub.events.redis_pubsub import RedisBus
from taskhub.kernel.actor import Context
from taskhub.kernel.mailbox import Mailbox
from taskhub.messages import Publish
from taskhub.model import Event, EventType, TaskId
from taskhub.obs.telemetry import EventsDropped, EventsPublished, StateChanged, Telemetry

from tests.valkey import ValkeyServer
from tests.virtual_clock import pass_time
from tests.waiting import turns, until

WORK, ENDED = frozenset({"work"}), frozenset({"ended"})


def events(count: int) -> list[Event]:
    """So many different events."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return [Event(EventType.CREATED, TaskId(str(n)), "t", now) for n in range(count)]


class ScriptedBus:
    """Keeps what was published; raises the errors of its script, one a call, then `trouble`."""

    def __init__(self, *script: Exception | None, trouble: Exception | None = None) -> None:
        self.calls: list[tuple[list[Event], frozenset[str]]] = []
        self.script, self.trouble, self.delay = deque(script), trouble, 0.0
        self.busy = False

    async def open(self) -> None: ...
    async def close(self) -> None: ...

    async def publish(self, events: Sequence[Event], kinds: frozenset[str]) -> None:
        assert not self.busy, "two at once"
        self.busy = True
        await asyncio.sleep(self.delay)  # noqa: TID251 - the network's time, on the virtual clock
        self.busy = False
        trouble = self.script.popleft() if self.script else self.trouble
        if trouble is not None:
            raise trouble
        self.calls.append((list(events), kinds))

    def subscribe(self) -> AsyncGenerator[BusSignal, None]:
        raise NotImplementedError


class Stage:
    """A running publisher with its mailbox, and what it told."""

    def __init__(self, bus: EventBus, limit: int = 1024) -> None:
        self.inbox = Mailbox[Publish]("publisher", limit)
        self.said: list[Telemetry] = []
        self.health = BusHealth()
        self.ctx = Context("publisher")
        self.run = asyncio.create_task(
            Publisher(self.inbox, bus, self.said.append, self.health).run(self.ctx)
        )

    def states(self) -> list[str]:
        """The states it has told, in order."""
        return [event.state for event in self.said if isinstance(event, StateChanged)]

    def dropped(self) -> int:
        """How many events it says it has dropped."""
        return sum(
            e.count for e in self.said if isinstance(e, EventsDropped) and e.reason == "away"
        )

    async def stop(self) -> None:
        """As its supervisor stops it."""
        self.ctx.stopping.set()
        self.inbox.close()
        await self.run


@asynccontextmanager
async def playing(bus: EventBus, limit: int = 1024) -> AsyncIterator[Stage]:
    """A publisher that has made its first try."""
    stage = Stage(bus, limit)
    await turns()
    yield stage
    await stage.stop()


async def test_it_rings_once_when_it_starts() -> None:
    """Also a test of the line: a wrong password is known before the first task."""
    bus = ScriptedBus()
    async with playing(bus) as stage:
        assert stage.ctx.is_ready.is_set()
        assert bus.calls == [([], KINDS)]
        assert (stage.health.state, stage.states()) == ("ok", ["ok"])


async def test_what_waits_goes_out_together() -> None:
    """One pipeline and one bell for many commits."""
    bus = ScriptedBus()
    a, b, c = events(3)
    async with playing(bus) as stage:
        for message in (Publish([a], WORK), Publish([b, c], ENDED), Publish([], WORK)):
            stage.inbox.post(message)
        await turns()

        assert bus.calls[1:] == [([a, b, c], WORK | ENDED)]
        assert stage.said[-1] == EventsPublished(count=3)


async def test_many_events_go_in_parts_with_one_bell() -> None:
    """A pipeline of a whole night's events would be cut off by the server."""
    bus = ScriptedBus()
    many = events(2 * PIPELINE + 1)
    async with playing(bus) as stage:
        stage.inbox.post(Publish(many, WORK))
        await turns()

        assert [event for part, _ in bus.calls for event in part] == many
        assert [(len(part), kinds) for part, kinds in bus.calls[1:]] == [
            (PIPELINE, WORK),
            (PIPELINE, frozenset()),
            (1, frozenset()),
        ]


@pytest.mark.virtual_clock
async def test_while_the_server_is_away_events_are_dropped_and_counted() -> None:
    """The rows are there; a queue of hints would only grow old."""
    bus = ScriptedBus(trouble=BusAway("gone"))
    async with playing(bus, limit=10) as stage:
        for _ in range(50):
            stage.inbox.post(Publish(events(2), WORK))
            await turns(3)

        assert stage.dropped() == 100
        assert (stage.health.state, stage.health.detail) == ("degraded", "gone")
        assert stage.states() == ["degraded"]


@pytest.mark.virtual_clock
async def test_coming_back_rings_for_what_was_missed() -> None:
    """Within a few seconds of its return, and it is said once."""
    bus = ScriptedBus(trouble=BusAway("gone"))
    async with playing(bus) as stage:
        await pass_time(3600)
        bus.trouble = None

        await pass_time(2.1)

        assert bus.calls == [([], KINDS)]
        assert stage.states() == ["degraded", "ok"]
        stage.inbox.post(Publish(events(1), WORK))
        await turns()
        assert bus.calls[1:] == [(events(1), WORK)]


@pytest.mark.virtual_clock
async def test_what_was_lost_in_one_publish_is_counted_and_rung_for() -> None:
    """The parts that had gone out are not counted as dropped."""
    bus = ScriptedBus(None, None, BusAway("cut"))
    async with playing(bus) as stage:
        stage.inbox.post(Publish(events(PIPELINE + 5), WORK))
        await pass_time(1)

        assert stage.dropped() == 5
        assert bus.calls[-1] == ([], KINDS)
        assert stage.states() == ["ok", "degraded", "ok"]


@pytest.mark.virtual_clock
async def test_a_refusal_is_said_at_once_and_then_each_minute() -> None:
    """A mistake to mend must be seen, but not fill the disk."""
    bus = ScriptedBus(trouble=BusRefused("password"))
    async with playing(bus) as stage:
        assert (stage.health.state, stage.health.detail) == ("failed", "password")
        assert stage.states() == ["failed"]

        await pass_time(600)

        assert set(stage.states()) == {"failed"}
        assert 10 <= len(stage.states()) <= 11


@pytest.mark.virtual_clock
async def test_a_server_that_is_away_is_not_said_again() -> None:
    """Degraded is no emergency: one line when it begins, one when it ends."""
    bus = ScriptedBus(trouble=BusAway("gone"))
    async with playing(bus) as stage:
        since = stage.health.since
        await pass_time(3600)

        assert stage.states() == ["degraded"]
        assert stage.health.since == since


@pytest.mark.virtual_clock
async def test_a_line_that_breaks_again_and_again_is_not_knocked_at_without_a_pause() -> None:
    """Rights to the bell but not to the events: each knock succeeds, each publish fails."""
    bus = ScriptedBus()
    async with playing(bus) as stage:
        for _ in range(600):
            bus.script.extend([BusRefused("rights")])
            stage.inbox.post(Publish(events(1), WORK))
            await pass_time(0.1)

        assert len(bus.calls) < 70  # in a minute


async def test_a_bug_is_a_crash() -> None:
    """Only trouble around us is a state."""
    bus = ScriptedBus(None, ZeroDivisionError())
    stage = Stage(bus)
    stage.inbox.post(Publish(events(1), WORK))

    with pytest.raises(ExceptionGroup) as crash:
        await stage.run

    assert crash.group_contains(ZeroDivisionError)


async def test_a_stop_sends_what_waits() -> None:
    """The last finished task of a drain is heard of."""
    bus = ScriptedBus()
    async with playing(bus) as stage:
        stage.inbox.post(Publish(events(2), ENDED))

    assert bus.calls[1:] == [(events(2), ENDED)]


@pytest.mark.virtual_clock
async def test_a_slow_server_does_not_hold_up_a_stop() -> None:
    """What does not fit into the short limit is dropped: the rows are there."""
    bus = ScriptedBus()
    async with playing(bus) as stage:
        bus.delay = 1.0
        for _ in range(9):
            stage.inbox.post(Publish(events(PIPELINE), WORK))
        await turns()
        began = asyncio.get_running_loop().time()

        await stage.stop()

        assert asyncio.get_running_loop().time() - began <= 1.0 + DRAIN + 1.0
        assert stage.dropped() == 5 * PIPELINE


async def test_a_wrong_password_fails_by_name_and_heals_when_mended(tmp_path: Path) -> None:
    """The operator sees which setting it is, never its value."""
    bus = RedisBus(ValkeyServer(tmp_path).url, login=RedisSection(password=Secret("canary")))
    await bus.open()
    async with ValkeyServer(tmp_path, "--requirepass", "right") as server, playing(bus) as stage:
        await until(lambda: stage.health.state == "failed")
        assert "password in [redis]" in stage.health.detail
        assert "canary" not in repr(stage.said) + repr(stage.health)

        await server.kill()
        async with ValkeyServer(tmp_path, "--requirepass", "canary"):
            await until(lambda: stage.health.state == "ok")
    await bus.close()


async def test_a_server_that_comes_later_is_found(tmp_path: Path) -> None:
    """Start order does not matter."""
    server = ValkeyServer(tmp_path)
    bus = RedisBus(server.url)
    await bus.open()
    async with playing(bus) as stage:
        await until(lambda: stage.states() == ["degraded"])
        await server.start()
        await until(lambda: stage.states() == ["degraded", "ok"])
    await bus.close()
    await server.kill()
