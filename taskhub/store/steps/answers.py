"""What a store answers of those that read for it: whatever the database, they are asked alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taskhub.audit import AuditPage, AuditQuery
from taskhub.failures import FailurePage, FailureQuery, PastAttempt
from taskhub.finding import Count, IdPage, Page, TaskQuery
from taskhub.keys import Kept
from taskhub.model import Child, Owner, Parent, TaskId, TaskItem, TypeInfo
from taskhub.ports import EventPage, EventQuery, Held, QueueCount
from taskhub.queues import Circumstances, Line, LineState, QueueLimit, QueueState
from taskhub.registration import Registration
from taskhub.schedules.schedule import (
    Agenda,
    RunPage,
    RunQuery,
    Schedule,
    SchedulePage,
    ScheduleQuery,
)
from taskhub.store.steps.reading import Reading
from taskhub.store.steps.searching import Searcher
from taskhub.store.steps.timetable import Timetable


class Answers:
    """The half of the `Store` port that changes nothing."""

    _readers: Reading
    _timetable: Timetable
    _searcher: Searcher[Any]

    async def get(self, ids: Sequence[TaskId]) -> list[TaskItem]:
        """The tasks that exist, in the order asked."""
        return await self._readers.get(ids)

    async def attempts(self, id_: TaskId) -> list[PastAttempt]:
        """What attempts of the task have failed of, oldest first."""
        return await self._readers.attempts(id_)

    async def failures(self, query: FailureQuery) -> FailurePage:
        """Failed tasks in groups of those that are alike."""
        return await self._searcher.failures(query)

    async def held(self, id_: TaskId) -> Held | None:
        """The task and its lease."""
        return await self._readers.held(id_)

    async def parents(self, id_: TaskId) -> list[Parent]:
        """The tasks that this one is after."""
        return await self._readers.parents(id_)

    async def children(self, id_: TaskId, cursor: TaskId | None, limit: int) -> list[Child]:
        """The tasks that are after this one, newest first."""
        return await self._readers.children(id_, cursor, limit)

    async def kept(self, principal: str, key: str) -> Kept | None:
        """What is kept under this key of this principal."""
        return await self._readers.kept(principal, key)

    async def find(self, query: TaskQuery) -> Page:
        """One page, newest first."""
        return await self._searcher.find(query)

    async def find_ids(self, query: TaskQuery) -> IdPage:
        """One page of ids, newest first."""
        return await self._searcher.find_ids(query)

    async def count(self, query: TaskQuery) -> Count:
        """How many match, as far as could be looked."""
        return await self._searcher.count(query)

    async def events(self, query: EventQuery) -> EventPage:
        """What has happened after a Seq, oldest first."""
        return await self._readers.events(query)

    async def forwarded(self) -> dict[str, int]:
        """The cursor of every webhook."""
        return await self._readers.forwarded()

    async def audit(self, query: AuditQuery) -> AuditPage:
        """One page of the audit log, newest first."""
        return await self._readers.audit(query)

    async def counts(self) -> list[QueueCount]:
        """Depths of the live states by queue."""
        return await self._readers.counts()

    async def queues(self) -> list[QueueState]:
        """Every queue that is paused or has live tasks."""
        return await self._readers.queues()

    async def standing(self, line: Line, name: str) -> LineState | None:
        """How a queue or a type stands."""
        return await self._readers.standing(line, name)

    async def circumstances(
        self, task: TaskId, limit: QueueLimit | None = None
    ) -> Circumstances | None:
        """A task and what is around it."""
        return await self._readers.circumstances(task, limit)

    async def cancels(self) -> list[TaskId]:
        """The tasks that run and whose cancel is wished."""
        return await self._readers.cancels()

    async def owners(self) -> list[Owner]:
        """Who holds leases now."""
        return await self._readers.owners()

    async def types(self) -> list[TypeInfo]:
        """Every type that a worker has registered."""
        return await self._readers.types()

    async def registrations(self) -> list[Registration]:
        """Every type that was registered, or of which tasks wait."""
        return await self._readers.registrations()

    async def next_due(self) -> float | None:
        """Seconds until the next Pending task is due; those in paused queues are not looked at."""
        return await self._readers.next_due()

    async def schedule(self, name: str) -> Schedule | None:
        """The schedule of this name."""
        return await self._timetable.one(name)

    async def schedules(self, query: ScheduleQuery) -> SchedulePage:
        """One page of schedules, by name."""
        return await self._timetable.page(query)

    async def runs(self, query: RunQuery) -> RunPage:
        """One page of what became of a schedule's due times, newest first."""
        return await self._timetable.runs(query)

    async def agenda(self, limit: int) -> Agenda:
        """What schedules are due now."""
        return await self._timetable.agenda(limit)
