"""The event bus over Redis Pub/Sub: a message per event for the outside, one bell for ourselves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import msgspec

from taskhub.bus import KINDS, BellKind, Signal, Subscribed
from taskhub.config.sections import RedisSection
from taskhub.errors import BusAway
from taskhub.events.redis_finding import dial
from taskhub.events.redis_line import Address, Line, Patience, command, key_of
from taskhub.events.redis_listeners import FEW, QUESTIONS, audience, questions
from taskhub.model import Event

BELL_LIMIT = 64  # bytes; no bell of ours is longer
AT_ONCE = 1_000  # bells that become one signal
NO_ECHO = "the event server does not answer: it is frozen or cut off"

_PING = command(b"PING")
_json = msgspec.json.Encoder().encode

Commands = Callable[[Sequence[Event], frozenset[str]], list[bytes]]
"""What goes along with a pipeline of events and its bell, each command answered once."""


class RedisBus:
    """An `EventBus` on any server that speaks the Redis protocol.

    `publish` is for one caller at a time; every `subscribe` has a line of its own. Never retries:
    who calls it decides when to try again. Nothing of the password is ever shown.
    """

    def __init__(
        self,
        url: str,
        channel: str = "taskhub:events",
        *,
        login: RedisSection = RedisSection(),  # noqa: B008 - immutable
        client_name: str = "taskhub",
        patience: Patience = Patience(),  # noqa: B008 - immutable
        also: Commands | None = None,
    ) -> None:
        """Raises ConfigProblem when the URL cannot be used."""
        self._address = Address.parse(url, login, client_name)
        self._also = also
        self._patience = patience
        self._key = key_of(channel, "")
        self._channel, self._bell = channel.encode(), f"{channel}:bell".encode()
        self._head = b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$" % (len(self._channel), self._channel)
        self._questions = questions(self._channel)
        self._may_ask: bool | None = None
        """Whether the kept line's server can say who listens; None: it is to take events first."""
        self._is_open = False
        self._out: Line | None = None
        self._lines: set[Line] = set()

    async def open(self) -> None:
        """Take calls; the server need not be there yet."""
        self._is_open = True

    async def close(self) -> None:
        """Hang up everywhere; may be called twice."""
        self._is_open = False
        for line in list(self._lines):
            await self._hang_up(line)

    async def publish(self, events: Sequence[Event], kinds: frozenset[str]) -> None:
        """The bell first, for it wakes the workers, then the events, if anybody can hear them.

        Ends within `patience`. Raises BusAway | BusRefused: then any part of it may be out.
        """
        rings = self._rings(events, kinds)
        if not (rings or events):
            return
        line = await self._line_out()
        if not self._may_ask or len(events) <= FEW:
            await self._send(line, [*rings, *map(self._message, events)])
        elif await self._is_heard(line, rings):
            await self._send(line, list(map(self._message, events)))
        if events and self._may_ask is None:
            self._may_ask = True

    async def subscribe(self) -> AsyncGenerator[Signal, None]:
        """Hear the bell; a dead or frozen server is noticed within `quiet` + `echo` seconds."""
        line = await self._dial()
        try:
            await line.ask(command(b"SUBSCRIBE", self._bell), 1)
            yield Subscribed()
            while True:
                if kinds := await self._rung(line):
                    yield BellKind(kinds)
        finally:
            await self._hang_up(line)

    async def _send(self, line: Line, commands: Sequence[bytes]) -> None:
        await line.ask(b"".join(commands), len(commands))

    async def _is_heard(self, line: Line, rings: Sequence[bytes]) -> bool:
        """Ring, and whether the events that go along may have a listener."""
        packed = b"".join((*rings, self._questions))
        answers = await line.ask(packed, len(rings) + QUESTIONS, excused=QUESTIONS)
        found = audience(answers[len(rings) :])
        self._may_ask = found != "unknown"
        return found != "nobody"

    def _rings(self, events: Sequence[Event], kinds: frozenset[str]) -> list[bytes]:
        """What goes out whoever listens."""
        bell = b" ".join(sorted(kind.encode() for kind in kinds))
        parts = [command(b"PUBLISH", self._bell, bell)] if kinds else []
        return parts if self._also is None else parts + self._also(events, kinds)

    def _message(self, event: Event) -> bytes:
        """One event's, in bytes; a command object for each would cost 15 us."""
        body = _json(event)
        return b"%b%d\r\n%b\r\n" % (self._head, len(body), body)

    async def _line_out(self) -> Line:
        """The kept line; a new one when the server has hung up meanwhile."""
        line = self._out
        if line is None or await line.has_news():
            if line is not None:
                await self._hang_up(line)
            line = self._out = await self._dial()
            self._may_ask = None
        return line

    async def _dial(self) -> Line:
        self._check()
        line = await dial(self._address, self._patience, self._key)
        self._lines.add(line)
        if not self._is_open:  # closed meanwhile
            await self._hang_up(line)
        self._check()
        return line

    async def _hang_up(self, line: Line) -> None:
        self._lines.discard(line)
        await line.hang_up()

    async def _rung(self, line: Line) -> frozenset[str]:
        """What rang: empty when the server has only shown that it lives."""
        reply = await line.hear(self._patience.quiet)
        if reply is None:
            await line.say(_PING)
            reply = await line.hear(self._patience.echo)
        if reply is None:
            raise BusAway(NO_ECHO)
        kinds = rung_by(reply)
        for _ in range(AT_ONCE):
            if not await line.has_news():
                break
            kinds |= rung_by(await line.hear(self._patience.quiet))
        return kinds

    def _check(self) -> None:
        if not self._is_open:
            raise BusAway("the event bus is closed")


def rung_by(reply: Any) -> frozenset[str]:
    """The kinds that a reply on the bell's channel stands for; whatever it says, at most all."""
    match reply:
        case [b"message", bytes(), bytes(bell)]:
            kinds = frozenset(bell[: BELL_LIMIT + 1].decode("ascii", "replace").split(" "))
            return kinds if len(bell) <= BELL_LIMIT and kinds <= KINDS else KINDS
        case _:
            return frozenset()
