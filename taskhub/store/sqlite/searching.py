"""Finds tasks window by window: each a short look, so that no search holds up another for long."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial
from math import inf
from pathlib import Path
from string import Template
from time import monotonic

from taskhub.failures import FailurePage, FailureQuery
from taskhub.finding import Count, IdPage, Page, TaskQuery
from taskhub.store.sqlite.conditions import Conditions
from taskhub.store.sqlite.line import Line
from taskhub.store.steps.clock import Clock
from taskhub.store.steps.failing import page
from taskhub.store.steps.plan import plan
from taskhub.store.steps.rows import Row, task_of
from taskhub.store.steps.walking import PAGE_SIZE, WINDOW_SECONDS, Look, Walk, Window


class Searcher:
    """Answers the questions about tasks that are not of one id."""

    def __init__(self, path: Path, statements: Mapping[str, str], clock: Clock) -> None:
        """Make ready. What an index answers never waits behind what must be looked for."""
        self._statements, self._clock = statements, clock
        self._quick, self._deep = Line(path, "store-list"), Line(path, "store-search")

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
        way = plan(query.where, query.cursor, Conditions(self._clock.time_of_day()))
        line = self._deep if way.is_deep else self._quick
        walk = Walk(way, shape, query.limit, max(1, query.reads), way.before_id, PAGE_SIZE)
        while walk.goes_on:
            patience = WINDOW_SECONDS if walk.window > 1 else inf  # so that it gets on
            walk.add(await line.do(partial(_look, self._statements, walk), patience))
        return walk


def _look(statements: Mapping[str, str], walk: Walk, connection: sqlite3.Connection) -> Look:
    """One window, all of one moment: a task that changes meanwhile is seen once."""
    began = monotonic()
    try:
        look = _at_once(statements, walk, connection)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT or connection.in_transaction:
            raise
        return Look((), walk.before_id, seconds=WINDOW_SECONDS)  # or longer: try a smaller one
    return look._replace(seconds=monotonic() - began)


def _page(
    statements: Mapping[str, str], query: FailureQuery, connection: sqlite3.Connection
) -> FailurePage:
    """A page of groups, all of one moment."""

    def ask(name: str, values: Mapping[str, object]) -> Sequence[Row]:
        return connection.execute(statements[name], values).fetchall()

    connection.execute("BEGIN")
    try:
        return page(ask, query)
    finally:
        connection.execute("ROLLBACK")


def _at_once(statements: Mapping[str, str], walk: Walk, connection: sqlite3.Connection) -> Look:

    def ask(name: str, texts: Mapping[str, str], values: Mapping[str, object]) -> list[Row]:
        text = Template(statements[name]).substitute(texts)
        return connection.execute(text, values).fetchall()

    connection.execute("BEGIN")
    try:
        return Window(ask, walk).look()
    finally:
        connection.execute("ROLLBACK")
