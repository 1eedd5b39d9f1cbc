"""The real SQLite store of one process, without its threads: each statement runs where it stands.

What a store does to its callers is there all the same: time passes before and after a transaction,
the database may be locked, and an answer may be lost though the commit was made.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from taskhub.errors import StoreDown, StoreLocked
from taskhub.ports import Committed, Renew, Renewed, Write
from taskhub.store.sqlite import SqliteStore
from taskhub.store.sqlite.reading import Readers
from taskhub.store.sqlite.session import Session
from taskhub.store.sqlite.transaction import Statements
from taskhub.store.steps.clock import Clock
from taskhub.store.steps.rows import Row
from taskhub.store.steps.timetable import Timetable

from tests.simulation.lanes import pause, sleep

T = TypeVar("T")
NOWHERE = Path("/simulated/taskhub.db")


class Weather(Protocol):
    """What stands between a process and its database."""

    def delay(self) -> float:
        """Seconds that the next step takes."""

    def is_in_trouble(self) -> bool:
        """Whether the database can be reached now."""

    def loses(self) -> bool:
        """Whether this answer is lost."""

    def committed(self, writes: Sequence[Write], done: Committed) -> None:
        """Called after each transaction, before anything else can happen."""


class _InlineSession(Session):
    """Transactions on the one connection that all processes of a world share."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(NOWHERE, lock_timeout=0.0)
        self._all = connection

    def transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._all.execute("BEGIN IMMEDIATE")
        try:
            answer = work(self._all)
        except BaseException:
            self._all.execute("ROLLBACK")
            raise
        self._all.execute("COMMIT")
        return answer


class _InlineReaders(Readers):
    def __init__(self, store: InlineStore, statements: Mapping[str, str], clock: Clock) -> None:
        super().__init__(NOWHERE, statements, clock)
        self._store = store

    async def open(self) -> None:
        """Nothing to be made."""

    async def close(self) -> None:
        """Nothing to be given back."""

    async def ask(self, name: str, values: Mapping[str, object] | None = None) -> list[Row]:
        store = self._store
        await pause(store.weather.delay())
        if store.weather.is_in_trouble():
            raise StoreLocked
        return store.database.execute(self._statements[name], dict(values or {})).fetchall()


class InlineStore(SqliteStore):
    """`SqliteStore` with its statements, batches and clocks, but without hands and files."""

    def __init__(
        self,
        database: sqlite3.Connection,
        statements: Statements,
        clock: Clock,
        weather: Weather,
    ) -> None:
        self.database, self.weather, self._clock = database, weather, clock
        self._statements, self._hand, self._one_renewal = statements, None, threading.Lock()
        self._writing = self._renewing = _InlineSession(database)
        self._readers = _InlineReaders(self, statements.text, clock)
        self._timetable = Timetable(self._readers.ask, self._readers.now)

    async def open(self) -> None:
        await pause(self.weather.delay())
        if self.weather.is_in_trouble():
            raise StoreDown

    async def close(self) -> None:
        """Nothing to be given back."""

    async def commit(self, writes: Sequence[Write]) -> Committed:
        await pause(self.weather.delay())
        self._refuse_in_trouble()
        done = self._commit(self._writing, writes)
        self.weather.committed(writes, done)
        await pause(self.weather.delay())
        if self.weather.loses():
            raise StoreDown
        return done

    def renew(self, write: Renew) -> Renewed:
        """From the thread that renews."""
        sleep(self.weather.delay())
        self._refuse_in_trouble()
        done = super().renew(write)
        self.weather.committed([write], Committed([done], []))
        sleep(self.weather.delay())
        return done

    def _refuse_in_trouble(self) -> None:
        if self.weather.is_in_trouble():
            raise StoreLocked
