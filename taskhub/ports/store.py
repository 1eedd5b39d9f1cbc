"""The store itself, in words of the domain; no SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from taskhub.audit import AuditPage, AuditQuery
from taskhub.failures import FailurePage, FailureQuery, PastAttempt
from taskhub.finding import Count, IdPage, Page, TaskQuery
from taskhub.keys import Kept
from taskhub.model import Child, Owner, Parent, TaskId, TaskItem
from taskhub.ports.reading import EventPage, EventQuery, Held, QueueCount, SchemaState
from taskhub.ports.results import (
    Committed,
    Renewed,
)
from taskhub.ports.writes import (
    Renew,
    Write,
)
from taskhub.queues import Standings
from taskhub.registration import TypeReads
from taskhub.schedules.reading import ReadsSchedules


class Store(Standings, TypeReads, ReadsSchedules, Protocol):
    """Where tasks live. Raises `Trouble` while the database is not well; never loses a commit."""

    async def open(self) -> None:
        """Connect; raises SchemaNewer | SchemaOlder when the schema does not fit."""

    async def close(self) -> None:
        """Give every connection and thread back; may be called twice."""

    async def commit(self, writes: Sequence[Write]) -> Committed:
        """All in one durable transaction; a write that cannot be stored is `Refused` alone."""

    def renew(self, write: Renew) -> Renewed:
        """As `commit` of one Renew, blocking and thread-safe: for the thread that renews."""

    async def get(self, ids: Sequence[TaskId]) -> list[TaskItem]:
        """The tasks that exist, in the order asked."""

    async def attempts(self, id_: TaskId) -> list[PastAttempt]:
        """What attempts of the task have failed of, oldest first; of its last 50 starts."""

    async def parents(self, id_: TaskId) -> list[Parent]:
        """The tasks that this one is after, in its order."""

    async def children(self, id_: TaskId, cursor: TaskId | None, limit: int) -> list[Child]:
        """The tasks that are after this one, newest first, those older than the cursor."""

    async def failures(self, query: FailureQuery) -> FailurePage:
        """Failed tasks in groups of those that are alike."""

    async def held(self, id_: TaskId) -> Held | None:
        """The task and its lease; None: there is no such task."""

    async def cancels(self) -> list[TaskId]:
        """The tasks that run and whose cancel somebody wishes, whoever holds them."""

    async def kept(self, principal: str, key: str) -> Kept | None:
        """What is kept under this key of this principal; None where nothing is, or no longer."""

    async def find(self, query: TaskQuery) -> Page:
        """One page, by keyset: as fast on the last page as on the first."""

    async def find_ids(self, query: TaskQuery) -> IdPage:
        """The same without reading the tasks themselves."""

    async def count(self, query: TaskQuery) -> Count:
        """How many match; the query's limit says nothing here."""

    async def events(self, query: EventQuery) -> EventPage:
        """What has happened after a Seq, oldest first; all of the answer is of one moment."""

    async def forwarded(self) -> dict[str, int]:
        """The cursor of every webhook that ever had one, by its name."""

    async def audit(self, query: AuditQuery) -> AuditPage:
        """One page of the audit log, by keyset."""

    async def counts(self) -> list[QueueCount]:
        """Depths of the live states (Pending, Processing) by queue."""

    async def owners(self) -> list[Owner]:
        """Who holds leases now."""

    async def next_due(self) -> float | None:
        """Seconds until the next Pending task is due (0: one is due now; None: none waits)."""

    async def schema(self) -> SchemaState:
        """Where the schema stands; works on an empty database too."""

    async def migrate(self) -> list[str]:
        """Bring the schema to the newest revision, one migrator at a time; the steps taken."""
