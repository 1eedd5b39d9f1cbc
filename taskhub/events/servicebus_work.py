"""Hints of new work from a subscription that all workers share: each goes to one of them.

It stays locked until that worker has looked for tasks; a worker's death gives it to another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from azure.servicebus.aio import ServiceBusReceiver
from azure.servicebus.exceptions import MessageLockLostError

from taskhub.errors import BusAway, BusRefused
from taskhub.events.servicebus_line import (
    Address,
    Namespace,
    Patience,
    Received,
    bury,
    complete,
    echo,
    give_back,
    hang_up,
    join,
    within,
)
from taskhub.events.servicebus_messages import Unreadable, is_hint
from taskhub.events.together import first_end

AT_ONCE = 64
"""Hints held at most, however much room there is."""
RENEW = 2.0
"""Seconds that a hint is held until its lock is renewed; no lock of a subscription is below 5."""


class WorkSubscription:
    """One worker's side: it takes no more hints than it has room for tasks."""

    def __init__(
        self,
        address: Address,
        channel: str,
        subscription: str,
        patience: Patience = Patience(),  # noqa: B008 - immutable
    ) -> None:
        """`subscription` is one for all workers."""
        self._address = address
        self._channel, self._subscription, self._patience = channel, subscription, patience
        self._room = 0
        self._held: dict[Received, float] = {}
        self._settled: list[Received] = []
        self._wanted, self._done = asyncio.Event(), asyncio.Event()

    def looked(self, began: float, room: int) -> None:
        """As of `WorkHints`."""
        self._room = room
        for hint in [hint for hint, at in self._held.items() if at <= began]:
            del self._held[hint]
            self._settled.append(hint)
        if self._settled:
            self._done.set()
        if room > len(self._held):
            self._wanted.set()

    async def run(self, is_up: Callable[[], None], ring: Callable[[], None]) -> None:
        """As of `WorkHints`; a frozen service is noticed within `quiet` + `echo` seconds."""
        namespace = Namespace(self._address)
        line = namespace.receiver(self._subscription)
        try:
            await join(line, self._patience.connect)
            is_up()
            ring()
            await first_end(self._take(line, ring), self._settle(line), self._renew(line))
        finally:
            await self._leave(line)
            await namespace.close()

    async def _leave(self, line: ServiceBusReceiver) -> None:
        """What nobody has looked for is another's."""
        held = [*self._held, *self._settled]
        self._held.clear()
        self._settled.clear()
        if held:
            with suppress(BusAway, BusRefused):
                await give_back(line, held, self._patience.command)
        await hang_up(line)

    async def _take(self, line: ServiceBusReceiver, ring: Callable[[], None]) -> None:
        quiet, now = self._patience.quiet, asyncio.get_running_loop().time
        while True:
            if not await self._has_room():
                await echo(line, self._patience.echo)
                continue
            work = line.receive_messages(1, max_wait_time=quiet)
            taken = await within(quiet + self._patience.echo, work, line)
            if not taken:
                await echo(line, self._patience.echo)
            elif await self._is_for_us(line, taken[0]):
                self._held[taken[0]] = now()
                ring()

    async def _has_room(self) -> bool:
        """Whether a hint may be taken; False: nothing has changed for a while."""
        if min(self._room, AT_ONCE) > len(self._held):
            return True
        self._wanted.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience.quiet):
                await self._wanted.wait()
        return min(self._room, AT_ONCE) > len(self._held)

    async def _is_for_us(self, line: ServiceBusReceiver, message: Received) -> bool:
        try:
            is_ours = is_hint(message, self._channel)
        except Unreadable as error:
            await bury(line, message, str(error), self._patience.command)
            return False
        if not is_ours:
            await complete(line, [message], self._patience.command)
        return is_ours

    async def _settle(self, line: ServiceBusReceiver) -> None:
        """Complete what was looked for: what is left of the subscription is in flight."""
        while True:
            await self._done.wait()
            self._done.clear()
            hints, self._settled = self._settled, []
            await complete(line, hints, self._patience.command)

    async def _renew(self, line: ServiceBusReceiver) -> None:
        """Hold on to hints that nobody could look for yet (a store that is away)."""
        now = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(RENEW)
            for hint in [hint for hint, at in self._held.items() if at <= now() - RENEW]:
                if not await within(self._patience.command, _renewed(line, hint), line):
                    self._held.pop(hint, None)


async def _renewed(line: ServiceBusReceiver, hint: Received) -> bool:
    try:
        await line.renew_message_lock(hint)
    except MessageLockLostError:
        return False
    return True
