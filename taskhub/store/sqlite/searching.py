"""Finds tasks window by window: each a short look, so that no search holds up another for long."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from string import Template
from time import monotonic
from typing import NamedTuple

from taskhub.failures import FailurePage, FailureQuery
from taskhub.finding import Count, IdPage, Page, TaskQuery
from taskhub.model import TaskId
from taskhub.store.sqlite.conditions import Conditions
from taskhub.store.sqlite.line import Line
from taskhub.store.steps.clock import Clock
from taskhub.store.steps.failing import page
from taskhub.store.steps.plan import Plan, plan
from taskhub.store.steps.rows import Row, json, task_of

SECONDS = 1.0
"""How long one question may go on."""

WINDOW_SECONDS = 0.25
"""How long one window may take; one that takes longer is left, and a smaller one tried."""

FIRST_WINDOW, MOST_WINDOW = 200, 50_000
QUICK, SLOW = 0.01, 0.04
"""Seconds: windows grow that take less, and shrink that take more."""

KINDS_LOOKED, KINDS_MOST = 5_000, 500
"""With more combinations of status, type and queue than this the ids are gone through instead."""

PAGE_SIZE = 4 * 1024 * 1024
"""Characters: a page ends early when its tasks are this large together, so memory is bounded."""


@dataclass(slots=True)
class Walk:
    """How far one question has come, and what it may still cost."""

    plan: Plan
    shape: str
    """`page`, `names` or `count`."""
    left: int
    """Tasks still wanted."""
    reads: int
    before_id: str
    """Where it goes on; empty: there is nothing behind it."""
    room: int
    """Characters that its tasks may still have."""
    window: int = FIRST_WINDOW
    until: float = field(default_factory=lambda: monotonic() + SECONDS)
    rows: list[Row] = field(default_factory=list)
    is_full: bool = False
    """Whether the page has all that it can hold."""

    @property
    def goes_on(self) -> bool:
        """Whether more is wanted, and there may be more, and it has not cost enough.

        It gets on by at least one window, or whoever asks again would never see an end.
        """
        is_over = self.reads <= 0 or monotonic() >= self.until
        may_end = is_over and self.before_id != self.plan.before_id
        return bool(self.before_id) and not self.is_full and not may_end

    @property
    def end(self) -> tuple[TaskId | None, bool]:
        """Where the next page begins, and whether this one has ended early."""
        return TaskId(self.before_id) or None, bool(self.before_id) and not self.is_full

    def add(self, look: Look) -> None:
        """One window more."""
        self.rows += look.rows
        self.before_id = look.end
        self.is_full = look.is_full
        self.left -= len(look.rows)
        self.room -= look.size
        self.reads -= look.reads
        self.window = _next_window(self.window, look.seconds)


class Look(NamedTuple):
    """One window: what matches, where it ended (empty: nothing is behind it), what it cost."""

    rows: Sequence[Row]
    end: str
    is_full: bool = False
    size: int = 0
    reads: int = 0
    seconds: float = 0.0


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


def _next_window(window: int, seconds: float) -> int:
    if seconds < QUICK:
        return min(MOST_WINDOW, window * 2)
    return max(1, int(window * SLOW / seconds)) if seconds > SLOW else window


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
    connection.execute("BEGIN")
    try:
        return _Window(statements, walk, connection).look()
    finally:
        connection.execute("ROLLBACK")


class _Window:
    """Inside the transaction of one window."""

    def __init__(
        self, statements: Mapping[str, str], walk: Walk, connection: sqlite3.Connection
    ) -> None:
        self._statements, self._walk, self._connection = statements, walk, connection
        way = walk.plan
        self._texts = {"kind": way.kind or "1", "where": way.where}
        self._values: dict[str, object] = way.values | {
            "before_id": walk.before_id,
            "since_id": way.since_id,
            "floor_id": way.since_id,
            "limit": -1 if walk.shape == "count" else walk.left + 1,
        }

    def look(self) -> Look:
        """What is in it."""
        way = self._walk.plan
        if way.ids is not None:
            self._values["ids"] = json(way.ids)
            return self._found("by_name", "", len(way.ids))
        if way.marks is not None:
            self._values["marks"] = json(way.marks)
            return self._found("by_mark", *self._end("by_mark", len(way.marks)))
        kinds = self._kinds() if way.kind else None
        is_deep = self._is_deep or (kinds is None and bool(way.kind))
        if kinds is None or (is_deep and len(kinds) > self._walk.window):
            source, width = "by_id", 1
        else:
            source, width = "by_kind", len(kinds) or 1
            self._values["kinds"] = json(kinds)
        end, reads = self._end(source, width) if is_deep else ("", 0)
        return self._found(source, end, reads)

    @property
    def _is_deep(self) -> bool:
        """Whether it is looked for in windows: also what an index has answered too slowly."""
        walk = self._walk
        return walk.plan.is_deep or walk.shape == "count" or walk.window < FIRST_WINDOW

    def _found(self, source: str, end: str, reads: int) -> Look:
        """One task more than is wanted tells that there are others."""
        walk = self._walk
        if walk.shape == "count":
            return Look(self._ask(f"count_{source}"), end, reads=reads)
        names = self._ask(f"names_{source}")
        rows, size = (names[: walk.left], 0) if walk.shape == "names" else self._tasks(names)
        if len(rows) < len(names):
            end = rows[-1][0] if rows else walk.before_id
        is_full = len(rows) < len(names) or len(rows) == walk.left
        return Look(rows, end, is_full, size, reads)

    def _tasks(self, names: Sequence[Row]) -> tuple[list[Row], int]:
        """The tasks while there is room, and their size; the first of a page always comes."""
        rows: list[Row] = []
        size = 0
        for name in names[: self._walk.left]:
            (row,) = self._connection.execute(self._statements["one"], name)
            more = _size(row)
            if size + more > self._walk.room and (rows or self._walk.rows):
                break
            rows.append(row)
            size += more
        return rows, size

    def _kinds(self) -> list[list[str]] | None:
        """The kinds that are wanted; None: there are too many."""
        self._values["most"] = KINDS_LOOKED
        rows = self._ask("kinds_of")
        kinds = [[*row[:3]] for row in rows if row[3]]
        return kinds if len(rows) < KINDS_LOOKED and len(kinds) <= KINDS_MOST else None

    def _end(self, source: str, width: int) -> tuple[str, int]:
        """Bound the window; each row that may be looked at counts."""
        size = min(self._walk.window, self._walk.reads)
        self._values["window"] = each = max(1, size // width)
        ((end,),) = self._ask(f"end_{source}")
        if end is not None:
            self._values["floor_id"] = end
        return end or "", each * width

    def _ask(self, name: str) -> list[Row]:
        text = Template(self._statements[name]).substitute(self._texts)
        return self._connection.execute(text, self._values).fetchall()


def _size(row: Row) -> int:
    return sum(len(value) for value in row if isinstance(value, str))
