"""Finds tasks window by window, on connections that the quick questions do not wait for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from string import Template
from time import monotonic

from psycopg import errors

from taskhub.errors import StoreDown
from taskhub.failures import FailurePage, FailureQuery
from taskhub.finding import Count, IdPage, Page, TaskQuery
from taskhub.store.postgres.conditions import Conditions
from taskhub.store.postgres.reading import Line, Readers
from taskhub.store.postgres.session import Address, Connection, Session
from taskhub.store.postgres.texts import spoken
from taskhub.store.steps.failing import page
from taskhub.store.steps.plan import plan
from taskhub.store.steps.rows import Row, task_of
from taskhub.store.steps.walking import PAGE_SIZE, WINDOW_SECONDS, Look, Walk, Window

SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class Searcher:
    """Answers the questions about tasks that are not of one id."""

    def __init__(self, address: Address, statements: Mapping[str, str], readers: Readers) -> None:
        """Make ready. What an index answers never waits behind what must be looked for."""
        self._statements, self._readers = statements, readers
        self._quick, self._deep = Line(address, "taskhub-list"), Line(address, "taskhub-search")

    def open(self) -> None:
        """Allow reading."""
        self._quick.open()
        self._deep.open()

    async def close(self) -> None:
        """Give connections and threads back; may be called twice."""
        await self._quick.close()
        await self._deep.close()

    async def find(self, query: TaskQuery) -> Page:
        """One page."""
        walk = await self._walk(query, "page")
        return Page(list(map(task_of, walk.rows)), *walk.end)

    async def find_ids(self, query: TaskQuery) -> IdPage:
        """One page of ids."""
        walk = await self._walk(query, "names")
        return IdPage([row[0] for row in walk.rows], *walk.end)

    async def count(self, query: TaskQuery) -> Count:
        """How many match from the cursor on."""
        walk = await self._walk(query, "count")
        return Count(sum(row[0] for row in walk.rows), walk.end[0])

    async def failures(self, query: FailureQuery) -> FailurePage:
        """Groups of failed tasks; they wait in line with what must be looked for."""
        return await self._deep.do(partial(_page, self._statements, query))

    async def _walk(self, query: TaskQuery, shape: str) -> Walk:
        """Look from window to window until there is enough."""
        now = await self._readers.now()
        way = plan(query.where, query.cursor, Conditions(now.micros))
        line = self._deep if way.is_deep else self._quick
        walk = Walk(way, shape, query.limit, max(1, query.reads), way.before_id, PAGE_SIZE)
        while walk.goes_on:
            walk.add(await line.do(partial(_look, self._statements, walk)))
        return walk


def _page(statements: Mapping[str, str], query: FailureQuery, session: Session) -> FailurePage:
    def work(connection: Connection) -> FailurePage:
        return page(lambda name, values: _rows(connection, statements[name], values), query)

    return session.transaction(work, SNAPSHOT)


def _look(statements: Mapping[str, str], walk: Walk, session: Session) -> Look:
    """One window, all of one moment; one that takes too long is left, and a smaller one tried."""
    began = monotonic()
    limit = int(WINDOW_SECONDS * 1000) if walk.window > 1 else 0  # so that it gets on

    def work(connection: Connection) -> Look:
        connection.execute("SELECT set_config('statement_timeout', %s, true)", [str(limit)])

        def ask(name: str, texts: Mapping[str, str], values: Mapping[str, object]) -> list[Row]:
            return _rows(connection, _filled(statements[name], texts), values)

        return Window(ask, walk).look()

    try:
        look = session.transaction(work, SNAPSHOT)
    except StoreDown as error:
        if not isinstance(error.__cause__, errors.QueryCanceled) or session.stop.is_set():
            raise
        return Look((), walk.before_id, seconds=WINDOW_SECONDS)
    return look._replace(seconds=monotonic() - began)


def _filled(statement: str, texts: Mapping[str, str]) -> str:
    return Template(statement).substitute({name: spoken(text) for name, text in texts.items()})


def _rows(connection: Connection, text: str, values: Mapping[str, object]) -> list[Row]:
    return connection.execute(text, values).fetchall()
