"""Readers: a few connections of their own, each with a thread, which never wait for a writer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

from taskhub.errors import Busy, StoreDown, Trouble
from taskhub.store.postgres.session import Address, Connection, Session
from taskhub.store.steps.clock import Clock, Moment
from taskhub.store.steps.hand import Hand
from taskhub.store.steps.reading import Reading
from taskhub.store.steps.rows import Row

T = TypeVar("T")
CONNECTIONS = 2
WAITING = 64
"""Questions that wait for one connection, at most."""


class Line:
    """A reading connection with a thread of its own, which does one piece of work after another."""

    def __init__(self, address: Address, name: str) -> None:
        self._name = name
        self._session = Session(address, name, lock_timeout=5.0)
        self._hand: Hand | None = None
        self._may_read = False
        self.waiting = 0

    def open(self) -> None:
        """Allow reading."""
        self._session.stop.clear()
        self._may_read = True

    async def close(self) -> None:
        """Give connection and thread back, stopping what still runs; may be called twice."""
        self._may_read = False
        hand, self._hand = self._hand, None
        if hand is not None:
            if self.waiting:
                await asyncio.to_thread(self._session.cancel)
            hand.call(self._session.close)
            await hand.close()

    async def do(self, work: Callable[[Session], T]) -> T:
        """What the work answers; raises Trouble, at once when too many wait."""
        self._refuse_when_closed()
        if self.waiting >= WAITING:
            raise Busy
        if self._hand is None:
            self._hand = Hand(self._name)
        self.waiting += 1
        done: asyncio.Future[T] = self._hand.call(self._done, work)
        done.add_done_callback(self._leave)
        await asyncio.wait([done])
        return await done

    def _leave(self, done: asyncio.Future[T]) -> None:
        self.waiting -= 1
        if not done.cancelled():
            done.exception()

    def _done(self, work: Callable[[Session], T]) -> T:
        self._refuse_when_closed()
        try:
            return work(self._session)
        except Trouble:  # it may be that we have stopped it
            self._refuse_when_closed()
            raise

    def _refuse_when_closed(self) -> None:
        if not self._may_read:
            raise StoreDown("The store is closed.")


class Readers(Reading):
    """What the store answers without changing anything."""

    def __init__(
        self, address: Address, statements: Mapping[str, str], clock: Clock | None
    ) -> None:
        """Make ready; connections are made when they are needed."""
        super().__init__()
        self._statements, self._clock = statements, clock
        self._lines = [Line(address, f"taskhub-reader-{n}") for n in range(CONNECTIONS)]

    async def open(self) -> None:
        """Allow reading, and try it once; raises Trouble."""
        for line in self._lines:
            line.open()
        await self.ask("revision")

    async def close(self) -> None:
        """Give connections and threads back; may be called twice."""
        for line in self._lines:
            await line.close()

    async def now(self) -> Moment:
        """By the server's clock."""
        if self._clock is not None:
            return self._clock.read()
        ((micros,),) = await self.ask("clock")
        return Moment.of_server(micros)

    async def ask(self, name: str, values: Mapping[str, object] | None = None) -> list[Row]:
        """The rows that a statement finds."""
        text = self._statements[name]

        def run(connection: Connection) -> list[Row]:
            return connection.execute(text, values or {}).fetchall()

        line = min(self._lines, key=lambda one: one.waiting)
        return await line.do(lambda session: session.ask(run))
