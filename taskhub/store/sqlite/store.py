"""The store on a SQLite file: a writer thread, some reading connections, a lock beside the file."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from taskhub.audit import AuditPage, AuditQuery
from taskhub.failures import FailurePage, FailureQuery, PastAttempt
from taskhub.finding import Count, IdPage, Page, TaskQuery
from taskhub.keys import Kept
from taskhub.model import Child, Owner, Parent, TaskId, TaskItem, TypeInfo
from taskhub.ports import (
    Committed,
    EventPage,
    EventQuery,
    Held,
    QueueCount,
    Renew,
    Renewed,
    SchemaState,
    Write,
)
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
from taskhub.store import migrations
from taskhub.store.sqlite.migrating import migrate, revision_in
from taskhub.store.sqlite.reading import Readers
from taskhub.store.sqlite.searching import Searcher
from taskhub.store.sqlite.session import Session
from taskhub.store.sqlite.transaction import SqliteTransaction, Statements
from taskhub.store.steps.batch import Batch, commit
from taskhub.store.steps.clock import Clock
from taskhub.store.steps.hand import Hand
from taskhub.store.steps.kinds import KINDS
from taskhub.store.steps.timetable import Timetable

T = TypeVar("T")

RENEWAL_TIMEOUT = 2.0  # seconds a renewal waits at most: the keeper has other leases to think of


class SqliteStore:
    """The `Store` port on one file; one host, any number of processes."""

    def __init__(self, path: Path, lock_timeout: float = 5.0, clock: Clock | None = None) -> None:
        """Make ready; a write waits `lock_timeout` seconds for others, then raises StoreLocked."""
        path = path.resolve()  # the lock is beside the file, whatever name it was opened by
        self._path, self._lock_timeout = path, lock_timeout
        self._clock = clock or Clock()
        self._statements = Statements()
        self._hand: Hand | None = None
        self._writing = Session(path, lock_timeout=lock_timeout)
        self._readers = Readers(path, self._statements.text, self._clock)
        self._timetable = Timetable(self._readers.ask, self._readers.now)
        self._searcher = Searcher(path, self._statements.text, self._clock)
        self._renewing = Session(
            path, lock_timeout=min(lock_timeout, RENEWAL_TIMEOUT), synchronous="NORMAL"
        )
        self._one_renewal = threading.Lock()

    async def open(self) -> None:
        """Connect; raises SchemaNewer | SchemaOlder when the schema does not fit, or Trouble."""
        self._hand = Hand("store-writer")
        try:
            migrations.refuse_unless_newest(await self._hand.call(revision_in, self._path))
            await self._readers.open()
            self._searcher.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Give every connection and thread back; commits that wait are done first."""
        await self._searcher.close()
        await self._readers.close()
        hand, self._hand = self._hand, None
        if hand is not None:
            self._writing.stop.set()
            hand.call(self._writing.close)
            await hand.close()
            self._writing.stop.clear()
        with self._one_renewal:
            self._renewing.close()

    async def commit(self, writes: Sequence[Write]) -> Committed:
        """All in one durable transaction; a write that cannot be stored is `Refused` alone."""
        assert self._hand is not None, "the store is not open"
        return await self._hand.call(self._commit, self._writing, writes)

    def renew(self, write: Renew) -> Renewed:
        """Extend leases from any thread; needs not be on disk, for a lease ends with the power."""
        with self._one_renewal:
            answer = self._commit(self._renewing, [write]).results[0]
        assert isinstance(answer, Renewed)
        return answer

    def _commit(self, session: Session, writes: Sequence[Write]) -> Committed:
        def work(connection: sqlite3.Connection) -> Committed:
            transaction = SqliteTransaction(connection, self._statements)
            return commit(Batch(transaction, self._clock.read()), KINDS, writes)

        return session.transaction(work)

    async def get(self, ids: Sequence[TaskId]) -> list[TaskItem]:
        """The tasks that exist, in the order asked."""
        return await self._readers.get(ids)

    async def attempts(self, id_: TaskId) -> list[PastAttempt]:
        """What attempts of the task have failed of, oldest first."""
        return await self._readers.attempts(id_)

    async def parents(self, id_: TaskId) -> list[Parent]:
        """The tasks that this one is after."""
        return await self._readers.parents(id_)

    async def children(self, id_: TaskId, cursor: TaskId | None, limit: int) -> list[Child]:
        """The tasks that are after this one, newest first."""
        return await self._readers.children(id_, cursor, limit)

    async def failures(self, query: FailureQuery) -> FailurePage:
        """Failed tasks in groups of those that are alike."""
        return await self._searcher.failures(query)

    async def held(self, id_: TaskId) -> Held | None:
        """The task and its lease."""
        return await self._readers.held(id_)

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

    async def schema(self) -> SchemaState:
        """Where the schema stands; needs no `open`, not even a file."""
        return migrations.state(await self._once(revision_in, self._path))

    async def migrate(self) -> list[str]:
        """Bring the schema to the newest revision, one migrator at a time; needs no `open`."""
        return await self._once(migrate, self._path, self._lock_timeout)

    async def _once(self, function: Callable[..., T], *args: object) -> T:
        """Have one call done by a thread that ends with it."""
        hand = Hand("store-schema")
        try:
            return await hand.call(function, *args)
        finally:
            await hand.close()
