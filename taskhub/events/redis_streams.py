"""Hints of new work in a Redis stream: each goes to one worker, and is kept until that has looked.

The rows are the truth here too: a hint that is lost costs the second until a worker polls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

from taskhub.errors import BusAway
from taskhub.events.redis_finding import dial
from taskhub.events.redis_line import Address, Line, Patience, command, key_of
from taskhub.events.redis_pubsub import NO_ECHO, Commands
from taskhub.events.together import first_end
from taskhub.model import Event, EventType

GROUP = b"taskhub"
"""The one group of consumers: all workers of an installation."""
MOST = 100_000
"""Hints that are kept where nobody takes them; past it the oldest go, and polls find the tasks."""
AT_ONCE = 64
"""Hints taken at once."""
ABANDONED = 4.0
"""Seconds after which a hint that somebody took and never settled is taken from him."""
LOOK_FOR_ABANDONED = 2.0
"""Seconds between two looks for such hints."""
GONE = 3_600.0
"""Seconds after which the name of a consumer that holds nothing and asks for nothing is removed."""

_PONG = b"PONG"


def stream_of(channel: str) -> bytes:
    """The stream's key."""
    return key_of(channel, "work")


def hints(channel: str) -> Commands:
    """Adds a hint for each new task, or one where something else may be claimed."""
    start = (b"XADD", stream_of(channel), b"MAXLEN", b"~", b"%d" % MOST, b"*", b"task")

    def commands(events: Sequence[Event], kinds: frozenset[str]) -> list[bytes]:
        if "work" not in kinds:
            return []
        new = [event.id for event in events if event.type is EventType.CREATED]
        return [command(*start, task.encode()) for task in new or ("",)]

    return commands


class WorkStream:
    """One worker's side of the stream: it takes no more hints than it has room for tasks."""

    def __init__(
        self,
        address: Address,
        channel: str,
        consumer: str,
        patience: Patience = Patience(),  # noqa: B008 - immutable
    ) -> None:
        """`consumer` is a name that no other life of a process has."""
        self._address, self._patience = address, patience
        self._key, self._me = stream_of(channel), consumer.encode()
        self._room = 0
        self._held: dict[bytes, float] = {}
        self._settled: list[bytes] = []
        self._wanted, self._done = asyncio.Event(), asyncio.Event()

    def looked(self, began: float, room: int) -> None:
        """The store has answered a claim that began then (the loop's time); `room` more tasks fit.

        Which settles every hint that was taken before it.
        """
        self._room = room
        for hint in [hint for hint, at in self._held.items() if at <= began]:
            del self._held[hint]
            self._settled.append(hint)
        if self._settled:
            self._done.set()
        if room > len(self._held):
            self._wanted.set()

    async def run(self, is_up: Callable[[], None], ring: Callable[[], None]) -> None:
        """Take hints and ring for them, at first once for whatever was missed, until cancelled.

        `is_up` is called when it has joined the others.
        Raises BusAway | BusRefused; a frozen server is noticed within 5 seconds.
        """
        async with AsyncExitStack() as stack:
            taking, settling = [await self._dial(stack) for _ in range(2)]
            await self._join(settling)
            is_up()
            ring()
            await first_end(self._take(taking, ring), self._settle(settling))

    async def _dial(self, stack: AsyncExitStack) -> Line:
        line = await dial(self._address, self._patience, self._key)
        stack.push_async_callback(line.hang_up)
        return line

    async def _join(self, line: Line) -> None:
        """Make the group where there is none, and forget those who will not come again."""
        made = command(b"XGROUP", b"CREATE", self._key, GROUP, b"0", b"MKSTREAM")
        await line.ask(made, 1, allowing="BUSYGROUP")
        (rows,) = await line.ask(command(b"XINFO", b"CONSUMERS", self._key, GROUP), 1)
        gone = [name for name, pending, idle in map(_consumer, rows) if not pending and idle > GONE]
        for name in gone:
            await line.ask(command(b"XGROUP", b"DELCONSUMER", self._key, GROUP, name), 1)

    async def _take(self, line: Line, ring: Callable[[], None]) -> None:
        now = asyncio.get_running_loop().time
        looked_at = float("-inf")
        while True:
            room = await self._room_left()
            if now() - looked_at > LOOK_FOR_ABANDONED:
                looked_at = now()
                taken = await self._abandoned(line, room)
            else:
                taken = await self._new(line, room)
            if taken:
                self._held |= dict.fromkeys(taken, now())
                ring()

    async def _room_left(self) -> int:
        while (room := self._room - len(self._held)) <= 0:
            self._wanted.clear()
            await self._wanted.wait()
        return min(room, AT_ONCE)

    async def _new(self, line: Line, room: int) -> list[bytes]:
        wait = b"%d" % (1_000 * self._patience.quiet)
        who = (b"XREADGROUP", b"GROUP", GROUP, self._me, b"COUNT", b"%d" % room)
        await line.say(command(*who, b"BLOCK", wait, b"STREAMS", self._key, b">"))
        reply = await line.hear(self._patience.quiet + self._patience.echo)
        if reply is None:  # it has nothing for us, or nothing to say at all
            if await line.ask(command(b"PING"), 1) != [_PONG]:
                raise BusAway(NO_ECHO)
            return []
        ((_, entries),) = reply
        return _ids(entries)

    async def _abandoned(self, line: Line, room: int) -> list[bytes]:
        """Hints whose taker has died, or has not looked for too long."""
        idle = b"%d" % (1_000 * ABANDONED)
        asked = (b"XAUTOCLAIM", self._key, GROUP, self._me, idle, b"0-0", b"COUNT", b"%d" % room)
        (reply,) = await line.ask(command(*asked), 1)
        return [hint for hint in _ids(reply[1]) if hint not in self._held]

    async def _settle(self, line: Line) -> None:
        """Take settled hints off the stream: its length is that of what is in flight."""
        while True:
            await self._done.wait()
            self._done.clear()
            hints, self._settled = self._settled, []
            acknowledge = command(b"XACK", self._key, GROUP, *hints)
            await line.ask(acknowledge + command(b"XDEL", self._key, *hints), 2)


def _ids(entries: Any) -> list[bytes]:
    """Of entries as the server tells them; one that was deleted meanwhile is None."""
    return [entry[0] for entry in entries if entry is not None]


def _consumer(row: Any) -> tuple[bytes, int, float]:
    """Name, hints held, seconds since it asked for anything."""
    told = dict(zip(row[::2], row[1::2], strict=True))
    return told[b"name"], told[b"pending"], told[b"idle"] / 1_000
