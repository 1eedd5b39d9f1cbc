"""The store on a PostgreSQL server: one connection that writes, others that read or renew."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from taskhub.ports import (
    Committed,
    Renew,
    Renewed,
    SchemaState,
    Write,
)
from taskhub.store import migrations
from taskhub.store.postgres import migrating
from taskhub.store.postgres.reading import Readers
from taskhub.store.postgres.searching import Searcher
from taskhub.store.postgres.session import Address, Connection, Session
from taskhub.store.postgres.texts import statements
from taskhub.store.postgres.transaction import PgTransaction
from taskhub.store.steps.answers import Answers
from taskhub.store.steps.batch import Batch, commit
from taskhub.store.steps.clock import Clock, Moment
from taskhub.store.steps.hand import Hand
from taskhub.store.steps.kinds import KINDS
from taskhub.store.steps.timetable import Timetable

T = TypeVar("T")

PATIENCE = 1.0  # seconds that the last commits may take before they are stopped

RENEWAL_TIMEOUT = 2.0  # seconds a renewal waits at most: the keeper has other leases to think of


class PostgresStore(Answers):
    """The `Store` port on one database; any number of hosts and processes."""

    _readers: Readers
    _searcher: Searcher

    def __init__(
        self, address: Address, lock_timeout: float = 5.0, clock: Clock | None = None
    ) -> None:
        """Make ready; a write waits `lock_timeout` seconds for a lock, then raises StoreLocked.

        Without a `clock` (tests bring one) the server's own is asked in every transaction.
        """
        self._address, self._lock_timeout, self._clock = address, lock_timeout, clock
        self.statements = statements()
        self._hand: Hand | None = None
        self._writing = Session(address, "taskhub-writer", lock_timeout=lock_timeout)
        self._readers = Readers(address, self.statements, clock)
        self._timetable = Timetable(self._readers.ask, self._readers.now)
        self._searcher = Searcher(address, self.statements, self._readers)
        patience = min(lock_timeout, RENEWAL_TIMEOUT)
        self._renewing = Session(address, "taskhub-keeper", lock_timeout=patience)
        self._one_renewal = threading.Lock()

    async def open(self) -> None:
        """Connect; raises SchemaNewer | SchemaOlder when the schema does not fit, or Trouble."""
        self._hand = Hand("store-writer")
        try:
            found = await self._hand.call(migrating.revision_in, self._writing)
            migrations.refuse_unless_newest(found)
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
            last = hand.call(self._writing.close)
            while not (await asyncio.wait([last], timeout=PATIENCE))[0]:
                await asyncio.to_thread(self._writing.cancel)  # it waits for a lock of others
            await hand.close()
            self._writing.stop.clear()
        with self._one_renewal:
            self._renewing.close()

    async def commit(self, writes: Sequence[Write]) -> Committed:
        """All in one durable transaction; a write that cannot be stored is `Refused` alone."""
        assert self._hand is not None, "the store is not open"
        return await self._hand.call(self._commit, self._writing, writes)

    def renew(self, write: Renew) -> Renewed:
        """Extend leases from any thread."""
        with self._one_renewal:
            answer = self._commit(self._renewing, [write]).results[0]
        assert isinstance(answer, Renewed)
        return answer

    def _commit(self, session: Session, writes: Sequence[Write]) -> Committed:
        def work(connection: Connection) -> Committed:
            transaction = PgTransaction(connection, self.statements)
            done = commit(Batch(transaction, self._now(transaction)), KINDS, writes)
            transaction.end()
            return done

        before = session.retried
        done = session.transaction(work)
        again = session.retried - before
        return msgspec.structs.replace(done, retries=again) if again else done

    def _now(self, transaction: PgTransaction) -> Moment:
        if self._clock is not None:
            return self._clock.read()
        return Moment.of_server(transaction.ask("clock", {})[0][0])

    async def schema(self) -> SchemaState:
        """Where the schema stands; needs no `open`."""
        return migrations.state(await self._once(migrating.revision_in))

    async def migrate(self) -> list[str]:
        """Bring the schema to the newest revision, one migrator at a time; needs no `open`."""
        return await self._once(migrating.migrate)

    async def _once(self, function: Callable[[Session], T]) -> T:
        """Have one call done on a connection, by a thread, that end with it."""
        session = Session(self._address, "taskhub-schema", lock_timeout=self._lock_timeout)
        hand = Hand("store-schema")
        try:
            return await hand.call(function, session)
        finally:
            hand.call(session.close)
            await hand.close()
