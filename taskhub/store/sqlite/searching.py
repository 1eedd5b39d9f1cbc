"""Searches on a SQLite file: a window is a transaction that reads, and is interrupted when late."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial
from math import inf
from pathlib import Path
from string import Template
from time import monotonic

from taskhub.failures import FailurePage, FailureQuery
from taskhub.store.sqlite.conditions import SqliteConditions
from taskhub.store.sqlite.line import FileLine
from taskhub.store.steps.clock import Clock
from taskhub.store.steps.failing import page
from taskhub.store.steps.rows import Row
from taskhub.store.steps.searching import Searcher
from taskhub.store.steps.walking import WINDOW_SECONDS, Look, Walk, Window


class SqliteSearcher(Searcher[FileLine]):
    """Searches one file."""

    def __init__(self, path: Path, statements: Mapping[str, str], clock: Clock) -> None:
        """Make ready."""
        quick, deep = FileLine(path, "store-list"), FileLine(path, "store-search")
        super().__init__(statements, quick, deep)
        self._clock = clock

    async def failures(self, query: FailureQuery) -> FailurePage:
        """Groups of failed tasks."""
        return await self._deep.do(partial(_page, self._statements, query))

    async def _conditions(self) -> SqliteConditions:
        return SqliteConditions(self._clock.time_of_day())

    async def _look(self, line: FileLine, walk: Walk) -> Look:
        patience = WINDOW_SECONDS if walk.window > 1 else inf  # so that it gets on
        return await line.do(partial(_look, self._statements, walk), patience)


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
