"""The store on a SQLite file: a writer thread, some reading connections, a lock beside the file."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from taskhub.ports import Committed, SchemaState, Write
from taskhub.store import migrations
from taskhub.store.sqlite.migrating import migrate, revision_in
from taskhub.store.sqlite.reading import Readers
from taskhub.store.sqlite.searching import SqliteSearcher
from taskhub.store.sqlite.session import Session
from taskhub.store.sqlite.transaction import SqliteTransaction, Statements
from taskhub.store.steps.answers import Answers
from taskhub.store.steps.batch import Batch, commit
from taskhub.store.steps.clock import Clock
from taskhub.store.steps.hand import Hand
from taskhub.store.steps.kinds import KINDS
from taskhub.store.steps.timetable import Timetable
from taskhub.store.steps.writing import RENEWAL_TIMEOUT, Writing

T = TypeVar("T")


class SqliteStore(Writing[Session], Answers):
    """The `Store` port on one file; one host, any number of processes."""

    _readers: Readers
    _searcher: SqliteSearcher

    def __init__(self, path: Path, lock_timeout: float = 5.0, clock: Clock | None = None) -> None:
        """Make ready; a write waits `lock_timeout` seconds for others, then raises StoreLocked."""
        path = path.resolve()  # the lock is beside the file, whatever name it was opened by
        self._path, self._lock_timeout = path, lock_timeout
        self._clock = clock or Clock()
        self._statements = Statements()
        self._hand = None
        self._writing = Session(path, lock_timeout=lock_timeout)
        self._readers = Readers(path, self._statements.text, self._clock)
        self._timetable = Timetable(self._readers.ask, self._readers.now)
        self._searcher = SqliteSearcher(path, self._statements.text, self._clock)
        self._renewing = Session(  # need not be on disk, for a lease ends with the power
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

    def _commit(self, session: Session, writes: Sequence[Write]) -> Committed:
        def work(connection: sqlite3.Connection) -> Committed:
            transaction = SqliteTransaction(connection, self._statements)
            return commit(Batch(transaction, self._clock.read()), KINDS, writes)

        return session.transaction(work)

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
