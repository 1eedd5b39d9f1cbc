"""A store on a server, whichever it is: one connection that writes, others that read or renew."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from taskhub.ports import Committed, SchemaState, Write
from taskhub.store import migrations
from taskhub.store.steps.answers import Answers
from taskhub.store.steps.batch import Batch, Transaction, commit
from taskhub.store.steps.clock import Clock, Moment
from taskhub.store.steps.hand import Hand
from taskhub.store.steps.kinds import KINDS
from taskhub.store.steps.server_reading import ServerReaders, ServerSearcher
from taskhub.store.steps.servers import Server, Session
from taskhub.store.steps.timetable import Timetable
from taskhub.store.steps.writing import RENEWAL_TIMEOUT, Writing

T = TypeVar("T")
C = TypeVar("C")

PATIENCE = 1.0  # seconds that the last commits may take before they are stopped


class ServerStore(Writing[Session[C]], Answers, Generic[C]):
    """The `Store` port on one database; any number of hosts and processes."""

    _readers: ServerReaders[C]
    _searcher: ServerSearcher[C]

    def __init__(self, server: Server[C], lock_timeout: float, clock: Clock | None) -> None:
        """Make ready; a write waits `lock_timeout` seconds for a lock, then raises StoreLocked.

        Without a `clock` (tests bring one) the server's own is asked in every transaction.
        """
        self._server, self._lock_timeout, self._clock = server, lock_timeout, clock
        self.statements = server.statements
        self._hand = None
        self._writing = server.session("taskhub-writer", lock_timeout)
        self._readers = ServerReaders(server, clock)
        self._timetable = Timetable(self._readers.ask, self._readers.now)
        self._searcher = ServerSearcher(server, self._readers)
        self._renewing = server.session("taskhub-keeper", min(lock_timeout, RENEWAL_TIMEOUT))
        self._one_renewal = threading.Lock()

    async def open(self) -> None:
        """Connect; raises SchemaNewer | SchemaOlder when the schema does not fit, or Trouble."""
        self._hand = Hand("store-writer")
        try:
            found = await self._hand.call(self._server.revision_in, self._writing)
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

    def _commit(self, session: Session[C], writes: Sequence[Write]) -> Committed:
        def work(connection: C) -> Committed:
            transaction = self._server.begun(connection)
            done = commit(Batch(transaction, self._now(transaction)), KINDS, writes)
            transaction.end()
            return done

        before = session.retried
        done = session.transaction(work)
        again = session.retried - before
        return msgspec.structs.replace(done, retries=again) if again else done

    def _now(self, transaction: Transaction) -> Moment:
        if self._clock is not None:
            return self._clock.read()
        return Moment.of_server(transaction.ask("clock", {})[0][0])

    async def schema(self) -> SchemaState:
        """Where the schema stands; needs no `open`."""
        return migrations.state(await self._once(self._server.revision_in))

    async def migrate(self) -> list[str]:
        """Bring the schema to the newest revision, one migrator at a time; needs no `open`."""
        return await self._once(self._server.migrate)

    async def _once(self, function: Callable[[Session[C]], T]) -> T:
        """Have one call done on a connection, by a thread, that end with it."""
        session = self._server.session("taskhub-schema", self._lock_timeout)
        hand = Hand("store-schema")
        try:
            return await hand.call(function, session)
        finally:
            hand.call(session.close)
            await hand.close()
