"""An event bus that loses, doubles and delays what rings, and is away at times."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from functools import partial
from random import Random

from taskhub.bus import BellKind, Signal, Subscribed
from taskhub.errors import BusAway
from taskhub.events.local import _Line
from taskhub.model import Event

from tests.simulation.lanes import Loop, Universe, pause

LATEST = 2.0
"""Seconds that a bell may take."""


class Bells:
    """The event server of one world: it knows lines, and nothing of who is at their ends."""

    def __init__(self, universe: Universe) -> None:
        self._universe, self._lines = universe, list[tuple[Loop, _Line]]()
        self.faulty, self.is_away = True, False

    def ring(self, kinds: frozenset[str]) -> None:
        """Nought to two bells for each line, sooner or later."""
        rng: Random = self._universe.rng
        for loop, line in self._lines:
            for _ in range(rng.choice((0, 1, 1, 2)) if self.faulty else 1):
                delay = rng.choice((0.001, 0.001, LATEST * rng.random()))
                self._universe.at(
                    delay if self.faulty else 0.001, partial(_ring, loop, line, kinds)
                )

    def cut(self) -> None:
        """The server goes away: every line is cut."""
        self.is_away = True
        for loop, line in self._lines:
            if not loop.is_closed():
                loop.call_soon_threadsafe(line.cut)

    def hang_up(self, loop: Loop) -> None:
        """A process is no more, and its line with it."""
        self._lines = [line for line in self._lines if line[0] is not loop]

    def add(self, loop: Loop, line: _Line) -> None:
        """One more that listens."""
        self._lines.append((loop, line))


def _ring(loop: Loop, line: _Line, kinds: frozenset[str]) -> None:
    if not (loop.life.dead or loop.is_closed()):
        loop.call_soon_threadsafe(line.ring, kinds)


class Bus:
    """The `EventBus` of one process."""

    def __init__(self, bells: Bells, loop: Loop) -> None:
        self._bells, self._loop = bells, loop

    async def open(self) -> None:
        """There is nothing to be opened."""

    async def close(self) -> None:
        """Nor to be closed."""

    async def publish(self, events: Sequence[Event], kinds: frozenset[str]) -> None:
        await pause(0.001)
        if self._bells.is_away:
            raise BusAway
        if kinds:
            self._bells.ring(kinds)

    async def subscribe(self) -> AsyncGenerator[Signal, None]:
        if self._bells.is_away:
            raise BusAway
        line = _Line()
        self._bells.add(self._loop, line)
        try:
            yield Subscribed()
            while True:
                yield BellKind(await line.rung())
        finally:
            self._bells.hang_up(self._loop)
