"""Finds tasks window by window: each a short look, so that no search holds up another for long."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from string import Template
from time import monotonic
from typing import NamedTuple

from taskhub.finding import Count, IdPage, Page, TaskQuery
from taskhub.model import TaskId
from taskhub.store.sqlite.clock import Clock
from taskhub.store.sqlite.line import Line
from taskhub.store.sqlite.plan import Plan, plan
from taskhub.store.sqlite.rows import Row, json, task_of

SECONDS = 1.0
"""How long one question may go on; a window that has begun is finished."""

FIRST_WINDOW, LEAST_WINDOW, MOST_WINDOW = 200, 50, 50_000
QUICK, SLOW = 0.01, 0.04
"""Seconds: windows grow that take less, and shrink that take more."""

KINDS_LOOKED, KINDS_MOST = 5_000, 500
"""With more combinations of status, type and queue than this the ids are gone through instead."""


@dataclass(slots=True)
class Walk:
    """How far one question has come, and what it may still cost."""

    plan: Plan
    shape: str
    """`page`, `names` or `count`."""
    limit: int
    """Rows wanted; -1: no limit."""
    reads: int
    before_id: str
    window: int = FIRST_WINDOW
    until: float = field(default_factory=lambda: monotonic() + SECONDS)
    rows: list[Row] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        """Whether there are as many rows as are wanted."""
        return 0 <= self.limit <= len(self.rows)

    @property
    def is_over(self) -> bool:
        """Whether it has cost enough."""
        return self.reads <= 0 or monotonic() >= self.until


class Look(NamedTuple):
    """One window: what matches, its last id (None: there is nothing behind it), what it cost."""

    rows: list[Row]
    end: str | None
    reads: int
    seconds: float


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
        items = [task_of(row) for row in walk.rows[: query.limit]]
        return Page(items, *_end(walk, query))

    async def find_ids(self, query: TaskQuery) -> IdPage:
        """One page of ids."""
        walk = await self._walk(query, "names")
        return IdPage([row[0] for row in walk.rows[: query.limit]], *_end(walk, query))

    async def count(self, query: TaskQuery) -> Count:
        """How many match from the cursor on."""
        walk = await self._walk(query, "count")
        return Count(sum(row[0] for row in walk.rows), TaskId(walk.before_id) or None)

    async def _walk(self, query: TaskQuery, shape: str) -> Walk:
        """Look from window to window until there is enough; `before_id` empty: that was all."""
        way = plan(query.where, query.cursor, self._clock.time_of_day())
        line = self._deep if way.is_deep else self._quick
        limit = -1 if shape == "count" else query.limit
        walk = Walk(way, shape, limit, max(1, query.reads), way.before_id)
        while walk.before_id:
            look = await line.do(partial(_look, self._statements, walk))
            walk.rows += look.rows
            walk.before_id = look.end or ""
            walk.reads -= look.reads
            walk.window = _next_window(walk.window, look.seconds)
            if walk.is_full or walk.is_over:
                break
        return walk


def _end(walk: Walk, query: TaskQuery) -> tuple[TaskId | None, bool]:
    """Where the next page begins, and whether this one has ended early."""
    if len(walk.rows) > query.limit:
        return TaskId(walk.rows[query.limit - 1][0]), False
    return TaskId(walk.before_id) or None, bool(walk.before_id) and not walk.is_full


def _next_window(window: int, seconds: float) -> int:
    if seconds < QUICK:
        return min(MOST_WINDOW, window * 2)
    return max(LEAST_WINDOW, window // 2) if seconds > SLOW else window


def _look(statements: Mapping[str, str], walk: Walk, connection: sqlite3.Connection) -> Look:
    """One window, all of one moment: a task that changes meanwhile is seen once."""
    began = monotonic()
    connection.execute("BEGIN")
    try:
        rows, end, reads = _Window(statements, walk, connection).look()
    finally:
        connection.execute("ROLLBACK")
    return Look(rows, end, reads, monotonic() - began)


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
            "limit": -1 if walk.limit < 0 else walk.limit - len(walk.rows) + 1,
        }

    def look(self) -> tuple[list[Row], str | None, int]:
        """The rows, where the window ends, how many rows it may have looked at."""
        way = self._walk.plan
        if way.ids is not None:
            self._values["ids"] = json(way.ids)
            return self._ask(f"{self._walk.shape}_by_name"), None, len(way.ids)
        kinds = self._kinds() if way.kind else None
        if kinds is not None:
            self._values["kinds"] = json(kinds)
        is_deep = way.is_deep or (kinds is None and bool(way.kind)) or self._walk.limit < 0
        source, width = ("by_id", 1) if kinds is None else ("by_kind", len(kinds) or 1)
        end, reads = self._end(source, width) if is_deep else (None, 0)
        return self._ask(f"{self._walk.shape}_{source}"), end, reads

    def _kinds(self) -> list[list[str]] | None:
        """The kinds that are wanted; None: there are too many."""
        self._values["most"] = KINDS_LOOKED
        rows = self._ask("kinds_of")
        kinds = [[*row[:3]] for row in rows if row[3]]
        return kinds if len(rows) < KINDS_LOOKED and len(kinds) <= KINDS_MOST else None

    def _end(self, source: str, width: int) -> tuple[str | None, int]:
        """Bound the window; each row that may be looked at counts."""
        size = min(self._walk.window, self._walk.reads)
        self._values["window"] = each = max(1, size // width)
        ((end,),) = self._ask(f"end_{source}")
        if end is not None:
            self._values["floor_id"] = end
        return end, each * width

    def _ask(self, name: str) -> list[Row]:
        text = Template(self._statements[name]).substitute(self._texts)
        return self._connection.execute(text, self._values).fetchall()
