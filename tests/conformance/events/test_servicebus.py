"""A topic of Service Bus: the SDK itself, against the tests' own AMQP peer."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress

import pytest
from taskhub.bus import KINDS, BellKind, Subscribed
from taskhub.config.sections import Secret
from taskhub.errors import BusAway, BusRefused
from taskhub.model import Event, EventType, TaskId

from tests.conformance.events.conftest import CREATED
from tests.waiting import Signal, until

pytest.importorskip(
    "proton", reason="python-qpid-proton is not here: scripts/setup builds it with gcc"
)
pytest.importorskip("azure.servicebus", reason="the extra azure is not installed")

from azure.servicebus import ServiceBusMessage
from taskhub.events import servicebus_work
from taskhub.events.servicebus import ServiceBus
from taskhub.events.servicebus_line import Address, Namespace, Patience, hang_up
from taskhub.events.servicebus_work import WorkSubscription

from tests.servicebus.server import ServiceBusPeer, connection_string

pytestmark = pytest.mark.usefixtures("namespace")

WORK = frozenset({"work"})
CHANNEL = "taskhub:events"
QUICK = Patience(connect=2.0, command=1.0, quiet=0.3, echo=0.5, pace=0.0)
CANARY = "Y2FuYXJ5LWIzZjE="


def address(peer: ServiceBusPeer, key: str = "") -> Address:
    """As configured, with the right key or another one."""
    return Address.parse(peer.url, Secret(key or peer.connection_string), "taskhub-test")


@asynccontextmanager
async def opened(peer: ServiceBusPeer, subscription: str = "one") -> AsyncIterator[ServiceBus]:
    """A process's bus."""
    bus = ServiceBus(address(peer), CHANNEL, subscription, QUICK)
    await bus.open()
    try:
        yield bus
    finally:
        await bus.close()


@pytest.fixture
async def bus(peer: ServiceBusPeer) -> AsyncIterator[ServiceBus]:
    """One that publishes and listens."""
    async with opened(peer) as bus:
        yield bus


async def sent(peer: ServiceBusPeer, message: ServiceBusMessage) -> None:
    """Somebody else puts something into the topic."""
    namespace = Namespace(address(peer))
    sender = namespace.sender()
    await sender.send_messages(message)
    await hang_up(sender)


class Taker:
    """A worker: it hears that there are hints, and says when it has looked."""

    def __init__(self, peer: ServiceBusPeer) -> None:
        self.hints = WorkSubscription(address(peer), CHANNEL, "work", QUICK)
        self.rings: Signal[None] = Signal()

    def looks(self, room: int) -> None:
        """It claims, and has room for so many more."""
        self.hints.looked(asyncio.get_running_loop().time(), room)

    async def hears(self, count: int) -> None:
        """So many hints are in its hands: one that is still on its way is not settled by a look."""
        for _ in range(count):
            await self.rings.next()

    @asynccontextmanager
    async def running(self, room: int = 8) -> AsyncIterator[None]:
        """It has joined, and has room."""
        task = asyncio.create_task(self.hints.run(lambda: None, lambda: self.rings(None)))
        try:
            await self.rings.next()  # once, for whatever was missed
            self.looks(room)
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, BusAway):
                await task


async def test_what_was_heard_is_completed_and_what_nobody_wrote_is_put_aside(
    peer: ServiceBusPeer, bus: ServiceBus
) -> None:
    """A forged message may stand for any bell; it is for somebody to look at."""
    async with aclosing(bus.subscribe()) as signals:
        await anext(signals)
        await bus.publish([CREATED], WORK)
        assert await anext(signals) == BellKind(WORK)
        hearing = asyncio.ensure_future(anext(signals))
        await peer.until("one", waiting=0, locked=0, completed=3)  # a bell, a hint, an event

        await sent(peer, ServiceBusMessage(b"\xff" * 99, subject="bell"))

        assert await hearing == BellKind(KINDS)
        hearing = asyncio.ensure_future(anext(signals))
        await peer.until("one", dead=1, locked=0, reasons=["Unreadable"])
        hearing.cancel()
        with suppress(asyncio.CancelledError):
            await hearing


async def test_bells_of_another_installation_are_not_ours(
    peer: ServiceBusPeer, bus: ServiceBus
) -> None:
    """Several may share a topic: each has a channel of its own."""
    other = ServiceBus(address(peer), "another", "two", QUICK)
    await other.open()
    async with aclosing(bus.subscribe()) as signals:
        await anext(signals)
        await other.publish([], frozenset({"cancel"}))
        await bus.publish([], frozenset({"ended"}))

        assert await anext(signals) == BellKind(frozenset({"ended"}))
    await other.close()


async def test_an_event_that_is_sent_twice_comes_once(
    peer: ServiceBusPeer, bus: ServiceBus
) -> None:
    """Its message id is the task's: where an answer was lost, it is sent again."""
    started = Event(EventType.STARTED, CREATED.id, "t", CREATED.at)
    for _ in range(2):
        await bus.publish([CREATED, started], frozenset())

    assert peer.tell()[""] == {"messages": 4, "doubles": 2}
    assert peer.tell()["one"]["waiting"] == 2


async def test_more_than_a_batch_can_hold_goes_out_in_several(
    peer: ServiceBusPeer, bus: ServiceBus
) -> None:
    """A batch has 256 kB; what is too large for any is left out: it is a hint, too."""
    large = [Event(CREATED.type, TaskId(f"t{n}"), "t" * 90_000, CREATED.at) for n in range(4)]
    whale = Event(CREATED.type, TaskId("whale"), "t" * 400_000, CREATED.at)

    await bus.publish([*large, whale, CREATED], frozenset())

    assert peer.tell()["one"]["waiting"] == 5


async def heard(signals: AsyncGenerator[object, None]) -> None:
    """Listen until the line is cut."""
    async for _ in signals:
        pass


async def test_a_killed_service_is_noticed_and_its_successor_used(mortal: ServiceBusPeer) -> None:
    """Both ways, by the same bus; a publisher that was idle meanwhile loses nothing."""
    async with opened(mortal) as bus:
        await bus.publish([CREATED], WORK)
        async with aclosing(bus.subscribe()) as signals:
            await anext(signals)
            mortal.kill()
            with pytest.raises(BusAway):
                await heard(signals)
        with pytest.raises(BusAway):
            await anext(bus.subscribe())
        mortal.start()
        async with aclosing(bus.subscribe()) as signals:
            assert await anext(signals) == Subscribed()
            await bus.publish([], WORK)
            assert await anext(signals) == BellKind(WORK)


async def test_a_frozen_service_is_noticed(peer: ServiceBusPeer, bus: ServiceBus) -> None:
    """It keeps the connections and says nothing."""
    await bus.publish([], WORK)
    async with aclosing(bus.subscribe()) as signals:
        await anext(signals)
        peer.freeze()
        try:
            with pytest.raises(BusAway, match="no answer in time"):
                await heard(signals)
            with pytest.raises(BusAway, match="no answer in time"):
                await bus.publish([], WORK)
        finally:
            peer.thaw()


@pytest.mark.parametrize(
    ("subscription", "key", "said"),
    [
        ("one", CANARY, "refuses our key"),
        ("nobody", "", "no topic or no subscription"),
    ],
    ids=["a wrong key", "no subscription"],
)
async def test_what_somebody_must_mend_is_refused(
    peer: ServiceBusPeer, subscription: str, key: str, said: str
) -> None:
    """Said by name, and nothing of the key with it."""
    signed = address(peer, connection_string(peer.port, key) if key else "")
    bus = ServiceBus(signed, CHANNEL, subscription, QUICK)
    await bus.open()
    with pytest.raises(BusRefused, match=said) as caught:
        await anext(bus.subscribe())
    if key:
        with pytest.raises(BusRefused, match=said):
            await bus.publish([], WORK)
    await bus.close()

    told = "".join(traceback.format_exception(caught.value)) + repr(signed) + repr(bus)
    assert CANARY not in told


async def test_a_service_that_takes_no_more_is_said_so(
    peer: ServiceBusPeer, bus: ServiceBus
) -> None:
    """A quota is a passing state: tasks run on."""
    peer.tell(refuses="amqp:resource-limit-exceeded")

    with pytest.raises(BusAway, match="a quota is used up"):
        await bus.publish([], WORK)

    peer.tell(refuses="")
    await bus.publish([], WORK)


async def test_each_hint_goes_to_one_worker_that_has_room(
    peer: ServiceBusPeer, bus: ServiceBus
) -> None:
    """The rest waits for others; one is settled by a claim that was sent after it came."""
    busy, idle = Taker(peer), Taker(peer)
    async with busy.running(room=3):
        before = asyncio.get_running_loop().time()
        await bus.publish(many(10), WORK)
        await peer.until("work", waiting=7, locked=3)
        busy.hints.looked(before, 3)  # cannot have seen it
        async with idle.running():
            await idle.hears(7)
            idle.looks(8)
            await peer.until("work", waiting=0, locked=3, completed=7)
        await busy.hears(3)
        busy.looks(8)
        await peer.until("work", locked=0, completed=10)


async def test_what_a_worker_has_not_looked_for_is_anothers(
    peer: ServiceBusPeer, bus: ServiceBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that stops gives it back; while it lives, its lock is renewed."""
    monkeypatch.setattr(servicebus_work, "RENEW", 0.05)
    worker, other = Taker(peer), Taker(peer)
    async with worker.running():
        await bus.publish([CREATED], WORK)
        await worker.rings.next()
        await until(lambda: peer.tell()["work"].get("renewed", 0) >= 1)
    await peer.until("work", abandoned=1, waiting=1)

    async with other.running():
        await other.rings.next()
        other.looks(8)
        await peer.until("work", waiting=0, locked=0, completed=1)


async def test_a_hint_whose_lock_has_run_out_comes_again(
    peer: ServiceBusPeer, bus: ServiceBus
) -> None:
    """Its worker was killed, or was away for too long; that it is completed twice harms nobody."""
    worker = Taker(peer)
    async with worker.running():
        await bus.publish([CREATED], WORK)
        await worker.rings.next()
        peer.tell(late=True)
        await worker.rings.next()
        assert peer.tell()["work"]["lock ran out"] == 1
        worker.looks(8)
        await peer.until("work", waiting=0, locked=0, completed=1)


async def test_what_is_no_hint_is_put_aside(peer: ServiceBusPeer) -> None:
    """With its reason; the worker works on."""
    worker = Taker(peer)
    async with worker.running():
        await sent(peer, ServiceBusMessage(b"x", subject="work"))
        await peer.until("work", dead=1, locked=0, reasons=["Unreadable"])


async def test_workers_notice_a_service_that_dies(mortal: ServiceBusPeer) -> None:
    """And join the next one."""
    worker = Taker(mortal)
    task = asyncio.create_task(worker.hints.run(lambda: None, lambda: worker.rings(None)))
    await worker.rings.next()
    mortal.kill()
    with pytest.raises(BusAway):
        await task
    mortal.start()
    async with worker.running(), opened(mortal) as bus:
        await bus.publish([CREATED], WORK)
        await worker.rings.next()


def many(count: int) -> list[Event]:
    """New tasks."""
    return [Event(CREATED.type, TaskId(f"t{n}"), "t", CREATED.at) for n in range(count)]
