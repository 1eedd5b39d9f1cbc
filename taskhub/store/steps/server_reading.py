"""Reading on a server: lines of work, each with a session; what is asked, and what is searched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from string import Template
from time import monotonic
from typing import Generic, TypeVar

from taskhub.errors import StoreDown, Trouble
from taskhub.failures import FailurePage, FailureQuery
from taskhub.store.steps.clock import Clock, Moment
from taskhub.store.steps.failing import page
from taskhub.store.steps.line import Line
from taskhub.store.steps.plan import Conditions
from taskhub.store.steps.reading import Reading
from taskhub.store.steps.rows import Row
from taskhub.store.steps.searching import Searcher
from taskhub.store.steps.servers import Server, Session
from taskhub.store.steps.walking import WINDOW_SECONDS, Look, Walk, Window

T = TypeVar("T")
C = TypeVar("C")

READERS = 2


class ServerLine(Line, Generic[C]):
    """A session of its own, for work that reads."""

    def __init__(self, server: Server[C], name: str) -> None:
        super().__init__(name)
        self._session = server.session(name, 5.0)

    def open(self) -> None:
        """Allow reading."""
        self._session.stop.clear()
        super().open()

    async def do(self, work: Callable[[Session[C]], T]) -> T:
        """What the work answers; raises Trouble, at once when too many wait."""
        done: asyncio.Future[T] = self._begin(self._done, work)
        await asyncio.wait([done])
        return await done

    def _done(self, work: Callable[[Session[C]], T]) -> T:
        self._refuse_when_closed()
        try:
            return work(self._session)
        except Trouble:  # it may be that we have stopped it
            self._refuse_when_closed()
            raise

    async def _stop(self) -> None:
        if self.waiting:
            await asyncio.to_thread(self._session.cancel)

    def _drop(self) -> None:
        self._session.close()


class ServerReaders(Reading, Generic[C]):
    """A few connections, each with a thread, which never wait for a writer."""

    def __init__(self, server: Server[C], clock: Clock | None) -> None:
        """Make ready; connections are made when they are needed."""
        super().__init__()
        self._server, self._clock = server, clock
        self._lines = [ServerLine(server, f"taskhub-reader-{n}") for n in range(READERS)]

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
        server = self._server
        text = server.statements[name]

        def run(connection: C) -> list[Row]:
            return server.rows(connection, text, values or {})

        line = min(self._lines, key=lambda one: one.waiting)
        return await line.do(lambda session: session.ask(run))


class ServerSearcher(Searcher[ServerLine[C]], Generic[C]):
    """A window is a transaction of one moment, which the server ends when it is late."""

    def __init__(self, server: Server[C], readers: ServerReaders[C]) -> None:
        """Make ready; it is as late as the readers say."""
        quick, deep = ServerLine(server, "taskhub-list"), ServerLine(server, "taskhub-search")
        super().__init__(server.statements, quick, deep)
        self._server, self._readers = server, readers

    async def failures(self, query: FailureQuery) -> FailurePage:
        """Groups of failed tasks."""
        return await self._deep.do(partial(self._page, query))

    async def _conditions(self) -> Conditions:
        return self._server.conditions((await self._readers.now()).micros)

    async def _look(self, line: ServerLine[C], walk: Walk) -> Look:
        return await line.do(partial(self._window, walk))

    def _page(self, query: FailureQuery, session: Session[C]) -> FailurePage:
        server = self._server

        def work(connection: C) -> FailurePage:
            server.limit(connection, None)
            return page(lambda name, to: server.rows(connection, self._statements[name], to), query)

        return session.transaction(work, server.snapshot)

    def _window(self, walk: Walk, session: Session[C]) -> Look:
        """One that takes too long is left, and a smaller one tried."""
        began = monotonic()
        try:
            look = session.transaction(partial(self._at_once, walk), self._server.snapshot)
        except StoreDown as error:
            if not self._server.is_late(error) or session.stop.is_set():
                raise
            return Look((), walk.before_id, seconds=WINDOW_SECONDS)
        return look._replace(seconds=monotonic() - began)

    def _at_once(self, walk: Walk, connection: C) -> Look:
        server = self._server
        server.limit(connection, WINDOW_SECONDS if walk.window > 1 else None)  # so that it gets on

        def ask(name: str, texts: Mapping[str, str], values: Mapping[str, object]) -> list[Row]:
            said = {word: server.spoken(text) for word, text in texts.items()}
            text = Template(self._statements[name]).substitute(said)
            return server.rows(connection, text, values)

        return Window(ask, walk).look()
