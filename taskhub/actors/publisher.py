"""The `publisher` actor: tells the outside what was committed; nobody waits for it."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from taskhub.actors.bus_health import STEADY, BusHealth, reconnect_pause
from taskhub.bus import KINDS
from taskhub.errors import BusAway, BusRefused
from taskhub.obs.telemetry import Emit, EventsDropped, EventsPublished

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskhub.bus import EventBus
    from taskhub.kernel.actor import Context
    from taskhub.kernel.mailbox import Mailbox
    from taskhub.messages import Publish
    from taskhub.model import Event

BATCH = 512  # messages taken at once; each holds the events of one commit
PIPELINE = 1_000  # events sent at once: some 150 kB, far below what a server buffers
DRAIN = 2.0  # seconds that a stop may spend on what is still queued


class Publisher:
    """While the server is away, events are dropped (the rows are there) and the queue stays short.

    After it has come back one bell with all kinds rings, for whatever was missed.
    """

    def __init__(
        self, inbox: Mailbox[Publish], bus: EventBus, emit: Emit, health: BusHealth
    ) -> None:
        self._inbox, self._bus, self._emit, self._health = inbox, bus, emit, health
        self._away = asyncio.Event()
        self._late = math.inf

    async def run(self, ctx: Context) -> None:
        """Publish what comes until the mailbox is closed and drained; trouble never ends it."""
        ctx.ready()
        await self._knock()
        async with asyncio.TaskGroup() as group:
            mending = group.create_task(self._mend())
            await self._relay(ctx)
            mending.cancel()

    async def _relay(self, ctx: Context) -> None:
        while batch := await self._inbox.take(BATCH):
            events = [event for message in batch for event in message.events]
            kinds = frozenset[str]().union(*(message.kinds for message in batch))
            for start in range(0, max(1, len(events)), PIPELINE):
                part = events[start : start + PIPELINE]
                if self._is_late(ctx) or not await self._send(part, kinds):
                    self._drop(len(events) - start)
                    break
                kinds = frozenset()

    async def _send(self, events: Sequence[Event], kinds: frozenset[str]) -> bool:
        if self._away.is_set():
            return False
        try:
            await self._bus.publish(events, kinds)
        except (BusAway, BusRefused) as error:
            self._lose(error)
            return False
        if events:
            self._emit(EventsPublished(count=len(events)))
        return True

    def _is_late(self, ctx: Context) -> bool:
        if ctx.stopping.is_set():
            self._late = min(self._late, _now() + DRAIN)
        return _now() > self._late

    async def _mend(self) -> None:
        """Whenever the server is away, knock until it answers."""
        tries, knocked = 0, _now()
        while await self._away.wait():
            tries = 0 if _now() - knocked > STEADY else tries + 1
            if tries:
                await asyncio.sleep(reconnect_pause(tries))
            await self._knock()
            knocked = _now()

    async def _knock(self) -> None:
        """One try; the bell that it rings is for whatever was missed."""
        try:
            await self._bus.publish((), KINDS)
        except (BusAway, BusRefused) as error:
            self._lose(error)
        else:
            self._health.is_well(self._emit)
            self._away.clear()

    def _lose(self, error: BusAway | BusRefused) -> None:
        self._away.set()
        self._health.is_ill(error, self._emit)

    def _drop(self, events: int) -> None:
        if events:
            self._emit(EventsDropped(count=events, reason="away"))


def _now() -> float:
    return asyncio.get_running_loop().time()
