"""The `subscriber` actor: hears the bell, and takes hints of new work where each is for one worker.

It passes them on; what happened is read from the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, assert_never

from taskhub.actors.bus_health import STEADY, BusHealth, reconnect_pause
from taskhub.bus import KINDS, BellKind, Signal, Subscribed
from taskhub.errors import BusAway, BusRefused
from taskhub.obs.telemetry import Emit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskhub.bus import EventBus
    from taskhub.kernel.actor import Context


Way = Callable[[Callable[[], None]], Awaitable[None]]
"""Listens to the event server until that goes away, and calls what it is given when it answers."""


class Subscriber:
    """Calls each listener with the kinds that rang; with all of them after each (re)subscription,
    for whatever rang before may have been missed. A listener must return at once.
    """

    def __init__(
        self,
        bus: EventBus,
        listeners: Sequence[Callable[[frozenset[str]], None]],
        emit: Emit,
        health: BusHealth,
        also: Sequence[Way] = (),
    ) -> None:
        """`also`: what listens beside the bell; this side is well when all of them are."""
        self._bus, self._listeners = bus, tuple(listeners)
        self._ways = (self._hear, *also)
        self._ill: set[Way] = set()
        self._emit, self._health = emit, health

    async def run(self, ctx: Context) -> None:
        """Listen until stopped; ready also while the server is away: the system works without."""
        ctx.ready()
        async with asyncio.TaskGroup() as group:
            hearing = [group.create_task(self._keep(way)) for way in self._ways]
            await ctx.stopping.wait()
            for each in hearing:
                each.cancel()

    async def _keep(self, hear: Way) -> None:
        now = asyncio.get_running_loop().time
        tries = 0
        while True:
            began = now()
            try:
                await hear(partial(self._is_up, hear))
            except (BusAway, BusRefused) as error:
                self._ill.add(hear)
                self._health.is_ill(error, self._emit)
            tries = 1 if now() - began > STEADY else tries + 1
            await asyncio.sleep(reconnect_pause(tries))

    def _is_up(self, way: Way) -> None:
        self._ill.discard(way)
        if not self._ill:
            self._health.is_well(self._emit)

    async def _hear(self, is_up: Callable[[], None]) -> None:
        async with aclosing(self._bus.subscribe()) as signals:
            async for signal in signals:
                is_up()
                for listener in self._listeners:
                    listener(meaning(signal))


def meaning(signal: Signal) -> frozenset[str]:
    """The kinds of bell that a signal stands for."""
    match signal:
        case Subscribed():
            return KINDS
        case BellKind():
            return signal.kinds
        case _:
            assert_never(signal)
