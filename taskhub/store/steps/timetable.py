"""What readers ask about schedules: pages of them, their runs, and what is to be done now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from taskhub.model import micros_from_utc, utc_from_micros
from taskhub.schedules.schedule import (
    Agenda,
    RunPage,
    RunQuery,
    Schedule,
    SchedulePage,
    ScheduleQuery,
)
from taskhub.store.steps.clock import FOREVER, Moment
from taskhub.store.steps.rows import Row
from taskhub.store.steps.schedules import COLUMNS, run_of, schedule_of

Ask = Callable[[str, Mapping[str, Any]], Awaitable[list[Row]]]
Now = Callable[[], Awaitable[Moment]]


class Timetable:
    """Reads schedules through `ask`, by the store's clock."""

    def __init__(self, ask: Ask, now: Now) -> None:
        self._ask, self._now = ask, now

    async def one(self, name: str) -> Schedule | None:
        """The schedule of this name."""
        rows = await self._ask("schedule_named", {"name": name})
        return schedule_of(rows[0]) if rows else None

    async def page(self, query: ScheduleQuery) -> SchedulePage:
        """One page by name; a row more than asked for tells of a next one."""
        values = {"cursor": query.cursor, "limit": query.limit + 1}
        rows = await self._ask("schedules", values)
        items = [schedule_of(row) for row in rows[: query.limit]]
        return SchedulePage(items, items[-1].definition.name if len(rows) > query.limit else None)

    async def runs(self, query: RunQuery) -> RunPage:
        """One page of what became of due times, newest first."""
        before = FOREVER if query.before is None else micros_from_utc(query.before)
        values = {"name": query.schedule, "before": before, "limit": query.limit + 1}
        rows = await self._ask("schedule_runs", values)
        items = [run_of(row) for row in rows[: query.limit]]
        return RunPage(items, items[-1].due_at if len(rows) > query.limit else None)

    async def agenda(self, limit: int) -> Agenda:
        """What is due and what may start; one short question where there is nothing."""
        now = (await self._now()).micros
        ((first, some_wait),) = await self._ask("schedules_next", {})
        due: Sequence[Row] = ()
        ready: Sequence[Row] = ()
        if first is not None and first <= now:
            due = await self._ask("schedules_due", {"now": now, "limit": limit})
        if some_wait:
            ready = await self._ask("schedules_ready", {"limit": limit})
        return Agenda(
            now=utc_from_micros(now),
            due=[schedule_of(row) for row in due],
            ready=[(schedule_of(row), utc_from_micros(row[COLUMNS])) for row in ready],
            waits=bool(some_wait),
            next=None if first is None else max(0, first - now) / 1e6,
        )
