"""The `subscriber` actor: hears the bell and passes it on; what happened is read from the store."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, assert_never

from taskhub.actors.bus_health import STEADY, BusHealth, reconnect_pause
from taskhub.bus import KINDS, BellKind, Signal, Subscribed
from taskhub.errors import BusAway, BusRefused
from taskhub.obs.telemetry import Emit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskhub.bus import EventBus
    from taskhub.kernel.actor import Context


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
    ) -> None:
        self._bus, self._listeners = bus, tuple(listeners)
        self._emit, self._health = emit, health

    async def run(self, ctx: Context) -> None:
        """Listen until stopped; ready also while the server is away: the system works without."""
        ctx.ready()
        async with asyncio.TaskGroup() as group:
            hearing = group.create_task(self._keep_hearing())
            await ctx.stopping.wait()
            hearing.cancel()

    async def _keep_hearing(self) -> None:
        now = asyncio.get_running_loop().time
        tries = 0
        while True:
            began = now()
            try:
                await self._hear()
            except (BusAway, BusRefused) as error:
                self._health.is_ill(error, self._emit)
            tries = 1 if now() - began > STEADY else tries + 1
            await asyncio.sleep(reconnect_pause(tries))

    async def _hear(self) -> None:
        async with aclosing(self._bus.subscribe()) as signals:
            async for signal in signals:
                self._health.is_well(self._emit)
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
