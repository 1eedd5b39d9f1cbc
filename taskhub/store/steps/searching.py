"""Finds tasks window by window: each a short look, so that no search holds up another for long."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Generic, TypeVar

from taskhub.failures import FailurePage, FailureQuery
from taskhub.finding import Count, IdPage, Page, TaskQuery
from taskhub.store.steps.line import Line
from taskhub.store.steps.plan import Conditions, plan
from taskhub.store.steps.rows import task_of
from taskhub.store.steps.walking import PAGE_SIZE, Look, Walk

L = TypeVar("L", bound=Line)


class Searcher(ABC, Generic[L]):
    """Answers the questions about tasks that are not of one id."""

    def __init__(self, statements: Mapping[str, str], quick: L, deep: L) -> None:
        """Make ready. What an index answers never waits behind what must be looked for."""
        self._statements, self._quick, self._deep = statements, quick, deep

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

    @abstractmethod
    async def failures(self, query: FailureQuery) -> FailurePage:
        """Groups of failed tasks; they wait in line with what must be looked for."""

    @abstractmethod
    async def _conditions(self) -> Conditions:
        """What makes conditions, as of now."""

    @abstractmethod
    async def _look(self, line: L, walk: Walk) -> Look:
        """One window, all of one moment; one that takes too long is left: it has found nothing."""

    async def _walk(self, query: TaskQuery, shape: str) -> Walk:
        """Look from window to window until there is enough."""
        way = plan(query.where, query.cursor, await self._conditions())
        line = self._deep if way.is_deep else self._quick
        walk = Walk(way, shape, query.limit, max(1, query.reads), way.before_id, PAGE_SIZE)
        while walk.goes_on:
            walk.add(await self._look(line, walk))
        return walk
