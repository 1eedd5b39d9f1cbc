"""Readers: a few connections of their own, which never wait for a writer and never hold one up."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiosqlite
import msgspec

from taskhub.audit import AuditPage, AuditQuery
from taskhub.errors import StoreDown, StoreLocked
from taskhub.failures import PastAttempt
from taskhub.keys import Kept, Told
from taskhub.model import Owner, TaskId, TaskItem, TypeInfo
from taskhub.ports import EventPage, EventQuery, Held, QueueCount
from taskhub.queues import Circumstances, Line, LineState, QueueState
from taskhub.registration import WAITING_LIMIT, Registration
from taskhub.store.sqlite import audit, pausing
from taskhub.store.sqlite.clock import Clock
from taskhub.store.sqlite.rows import (
    STATUS,
    Row,
    attempt_of,
    event_of,
    json,
    registration_of,
    task_of,
)
from taskhub.store.sqlite.session import connect_reader, identity, trouble_of

CONNECTIONS = 2


class Readers:
    """What the store answers without changing anything."""

    def __init__(self, path: Path, statements: Mapping[str, str], clock: Clock) -> None:
        """Make ready; connections are made when they are needed."""
        self._path, self._statements, self._clock = path, statements, clock
        self._free: asyncio.LifoQueue[aiosqlite.Connection | None] = asyncio.LifoQueue()
        self._open: dict[aiosqlite.Connection, tuple[int, int]] = {}
        """Every connection, and which file it reads."""
        self._types: tuple[Row | None, list[TypeInfo]] = (None, [])
        """What was read last, and its mark: a row read later than its mark is only read twice."""
        self._may_read = False

    async def open(self) -> None:
        """Allow reading, and try it once; raises Trouble."""
        self._free, self._may_read = asyncio.LifoQueue(), True
        for _ in range(CONNECTIONS):
            self._free.put_nowait(None)
        await self.ask("revision")

    async def close(self) -> None:
        """Give connections and threads back, stopping what still runs; may be called twice."""
        self._may_read = False
        while self._open:
            connection, _ = self._open.popitem()
            with suppress(sqlite3.Error, ValueError):  # ValueError: it never came to be open
                await connection.interrupt()
                await connection.close()

    async def get(self, ids: Sequence[TaskId]) -> list[TaskItem]:
        """The tasks that exist, in the order asked."""
        rows = await self.ask("get", {"ids": json(ids)})
        found = {row[0]: row for row in rows}
        return [task_of(found[id_]) for id_ in ids if id_ in found]

    async def attempts(self, id_: TaskId) -> list[PastAttempt]:
        """What attempts of the task have failed of, oldest first."""
        return list(map(attempt_of, await self.ask("attempts", {"task": id_})))

    async def held(self, id_: TaskId) -> Held | None:
        """The task and its lease."""
        rows = await self.ask("held", {"id": id_})
        return Held(task_of(rows[0]), *rows[0][-2:]) if rows else None

    async def kept(self, principal: str, key: str) -> Kept | None:
        """What is kept under this key, unless it has expired."""
        asked = {"keys": json([(principal, key)]), "now": self._clock.time_of_day()}
        rows = await self.ask("known_keys", asked)
        return Kept(rows[0][2], Told(*rows[0][3:])) if rows else None

    async def events(self, query: EventQuery) -> EventPage:
        """The events, and how far the table reaches; of one moment, for it is one statement."""
        values = {"after": query.after, "limit": query.limit, "task": query.task}
        rows = await self.ask("events" if query.task is None else "history", values)
        items = [event_of(row) for row in rows if row[0] is not None]
        oldest, newest = rows[0][8:]
        return EventPage(items, oldest or 0, newest or 0)

    async def forwarded(self) -> dict[str, int]:
        """The cursor of every webhook."""
        return dict(await self.ask("webhooks"))

    async def audit(self, query: AuditQuery) -> AuditPage:
        """One page of the audit log, newest first."""
        rows = await self.ask(audit.statement(query), audit.values(query))
        return audit.page(rows, query.limit)

    async def counts(self) -> list[QueueCount]:
        """Depths of the live states by queue."""
        now = self._clock.time_of_day()
        return [
            QueueCount(queue, STATUS[status], count, max(0, now - due) / 1e6)
            for queue, status, count, due in await self.ask("counts")
        ]

    async def queues(self) -> list[QueueState]:
        """Every queue that is paused or has live tasks."""
        return pausing.states(await self.ask("pauses"), await self.counts())

    async def standing(self, line: Line, name: str) -> LineState | None:
        """How a queue or a type stands."""
        rows = await self.ask(f"{line}_standing", {"name": name})
        return LineState(name, bool(rows[0][0]), rows[0][1]) if rows else None

    async def circumstances(self, task: TaskId) -> Circumstances | None:
        """A task and what is around it, at one moment."""
        now = self._clock.read()
        rows = await self.ask("circumstances", pausing.asked(task, now))
        return pausing.circumstances_of(rows[0], now) if rows else None

    async def owners(self) -> list[Owner]:
        """Who holds leases now."""
        return [owner for (owner,) in await self.ask("owners")]

    async def types(self) -> list[TypeInfo]:
        """Every type that was registered; read again only when one has changed."""
        (mark,) = await self.ask("types_mark")
        if mark != self._types[0]:
            rows = await self.ask("types")
            infos = [TypeInfo(name, msgspec.json.decode(schema), by) for name, schema, by in rows]
            self._types = (mark, infos)
        return self._types[1]

    async def registrations(self) -> list[Registration]:
        """Every type that was registered, or of which tasks wait."""
        rows = await self.ask("registrations", {"limit": WAITING_LIMIT})
        return [registration_of(row) for row in rows]

    async def next_due(self) -> float | None:
        """Seconds until the first Pending task is due."""
        ((due,),) = await self.ask("next_due")
        return None if due is None else max(0, due - self._clock.time_of_day()) / 1e6

    async def ask(self, name: str, values: Mapping[str, object] | None = None) -> list[Row]:
        """The rows that a statement finds."""
        async with self._borrowed() as connection:
            rows = await connection.execute_fetchall(self._statements[name], dict(values or {}))
            return list(map(tuple, rows))

    @asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[aiosqlite.Connection]:
        """A connection for one question; it goes back whole, or a new one is made next time."""
        self._refuse_when_closed()
        connection = await self._free.get()
        try:
            self._refuse_when_closed()  # while we waited
            if connection is not None and not self._is_current(connection):
                stale, connection = connection, None
                await self._drop(stale)
            if connection is None:
                connection = await self._connect()
            yield connection
        except (sqlite3.Error, ValueError) as error:  # ValueError: it was closed meanwhile
            self._refuse_when_closed()
            trouble = trouble_of(error) if isinstance(error, sqlite3.Error) else None
            if connection is not None and not isinstance(trouble, StoreLocked):
                await self._drop(connection)
                connection = None
            raise trouble or error from error
        except asyncio.CancelledError:
            if connection is not None:
                with suppress(ValueError):
                    await connection.interrupt()
            raise
        finally:
            self._free.put_nowait(connection)

    def _refuse_when_closed(self) -> None:
        if not self._may_read:
            raise StoreDown("The store is closed.")

    def _is_current(self, connection: aiosqlite.Connection) -> bool:
        """Whether it reads the file that is written now, not one moved away or replaced since."""
        try:
            return self._open.get(connection) == identity(self._path)
        except OSError:
            return False  # then a new one says what is wrong

    async def _connect(self) -> aiosqlite.Connection:
        try:
            file = identity(self._path)
        except OSError as error:
            raise StoreDown from error
        made: list[sqlite3.Connection] = []

        def make() -> sqlite3.Connection:
            made.append(connect_reader(self._path))
            return made[0]

        connection = aiosqlite.Connection(make, 64)
        connection._thread.daemon = True  # noqa: SLF001 - else a crash before close hangs the exit
        self._open[connection] = file
        try:
            await connection
        except BaseException:  # cancelled as well: then nobody else would close what was made
            self._open.pop(connection, None)
            connection._thread.join()  # noqa: SLF001 - it has been told to end, a file opens quickly
            for line in made:
                line.close()
            raise
        if not self._may_read:
            await self._drop(connection)
        self._refuse_when_closed()
        return connection

    async def _drop(self, connection: aiosqlite.Connection) -> None:
        self._open.pop(connection, None)
        with suppress(sqlite3.Error, ValueError):
            await connection.close()
