"""Readers: a few connections of their own, which never wait for a writer and never hold one up."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiosqlite

from taskhub.errors import StoreDown, StoreLocked
from taskhub.store.sqlite.session import connect_reader, identity, trouble_of
from taskhub.store.steps.clock import Clock, Moment
from taskhub.store.steps.reading import Reading
from taskhub.store.steps.rows import Row

CONNECTIONS = 2


class Readers(Reading):
    """What the store answers without changing anything."""

    def __init__(self, path: Path, statements: Mapping[str, str], clock: Clock) -> None:
        """Make ready; connections are made when they are needed."""
        super().__init__()
        self._path, self._statements, self._clock = path, statements, clock
        self._free: asyncio.LifoQueue[aiosqlite.Connection | None] = asyncio.LifoQueue()
        self._open: dict[aiosqlite.Connection, tuple[int, int]] = {}
        """Every connection, and which file it reads."""
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

    async def now(self) -> Moment:
        """By this host's clocks."""
        return self._clock.read()

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
