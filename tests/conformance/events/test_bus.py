"""What every event bus does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing

import pytest
from taskhub.bus import BellKind, EventBus, Signal, Subscribed
from taskhub.errors import BusAway

from tests.conformance.events.conftest import CREATED

pytestmark = pytest.mark.usefixtures("namespace")

WORK, ENDED, CANCEL = frozenset({"work"}), frozenset({"ended"}), frozenset({"cancel"})


async def test_the_first_signal_says_that_the_line_is_up(listening: EventBus) -> None:
    """What rang before may have been missed: the listener looks once, then waits."""
    async with aclosing(listening.subscribe()) as signals:
        assert await anext(signals) == Subscribed()


async def test_every_process_hears_the_bell(
    publishing: EventBus, listening: EventBus, make_bus: Callable[[], EventBus]
) -> None:
    """A pool in each process wakes; the claim decides who gets the task."""
    third = make_bus()
    await third.open()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(third.close)
        lines = [
            await stack.enter_async_context(aclosing(bus.subscribe()))
            for bus in (listening, third, publishing)
        ]
        for line in lines:
            await anext(line)

        await publishing.publish([CREATED], WORK)

        assert [await anext(line) for line in lines] == [BellKind(WORK)] * 3


async def test_events_without_a_kind_wake_nobody(publishing: EventBus, listening: EventBus) -> None:
    """Progress is for listeners outside; a pool has no use for it."""
    async with aclosing(listening.subscribe()) as signals:
        await anext(signals)

        await publishing.publish([CREATED], frozenset())
        await publishing.publish([], ENDED)

        assert await anext(signals) == BellKind(ENDED)


async def test_what_rings_while_a_listener_is_busy_becomes_one_bell(
    publishing: EventBus, listening: EventBus
) -> None:
    """A slow listener is not buried, and forgets no kind."""
    async with aclosing(listening.subscribe()) as signals:
        await anext(signals)
        for _ in range(300):
            await publishing.publish([], WORK)
        await publishing.publish([], ENDED | CANCEL)

        heard = [await anext(signals)]
        while not kinds_of(heard) >= ENDED | CANCEL:
            heard.append(await anext(signals))

        assert kinds_of(heard) == WORK | ENDED | CANCEL
        assert len(heard) < 30


async def test_publishing_needs_no_listener(publishing: EventBus) -> None:
    """A worker may be away as long as it likes."""
    await publishing.publish([CREATED] * 100, WORK)


async def test_publishing_nothing_is_nothing(publishing: EventBus) -> None:
    """A batch of stale finishes has changed nothing."""
    await publishing.publish([], frozenset())


async def test_a_listener_may_leave_and_come_again(
    publishing: EventBus, listening: EventBus
) -> None:
    """A restarted subscriber finds the bus as it was."""
    for _ in range(2):
        async with aclosing(listening.subscribe()) as signals:
            await anext(signals)
            await publishing.publish([], WORK)
            assert await anext(signals) == BellKind(WORK)


async def test_a_closed_bus_cuts_its_listeners(publishing: EventBus, listening: EventBus) -> None:
    """Nobody waits at a bell that will never ring."""
    async with aclosing(listening.subscribe()) as signals:
        await anext(signals)
        waiting = asyncio.ensure_future(anext(signals))

        await listening.close()

        with pytest.raises(BusAway):
            await waiting


async def test_a_closed_bus_takes_no_calls(listening: EventBus) -> None:
    """A connection opened after the close would never be closed."""
    await listening.close()
    await listening.close()

    with pytest.raises(BusAway):
        await listening.publish([], WORK)
    with pytest.raises(BusAway):
        await anext(listening.subscribe())


def kinds_of(signals: list[Signal]) -> frozenset[str]:
    """Everything that rang."""
    return frozenset[str]().union(*(s.kinds for s in signals if isinstance(s, BellKind)))
