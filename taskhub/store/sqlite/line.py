"""A line of work on a SQLite file: it follows the file's name, and interrupts what is late."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path
from time import monotonic
from typing import TypeVar

from taskhub.errors import StoreDown, StoreLocked
from taskhub.store.sqlite.session import connect_reader, identity, trouble_of
from taskhub.store.steps.line import Line

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

BEAT = 0.05
"""Seconds between two looks at how long a piece of work takes."""


class FileLine(Line):
    """Connects on first use, and again when the file was replaced."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(name)
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._file = (0, 0)
        self._until = inf
        """When the work that is being done has taken too long; set in the thread."""

    async def do(self, work: Work[T], seconds: float = inf) -> T:
        """What the work answers; raises Trouble, at once when too many wait.

        SQLite is interrupted when the work takes longer; that time begins when the work does.
        """
        done: asyncio.Future[T] = self._begin(self._timed, work, seconds)
        while not done.done():
            await asyncio.wait([done], timeout=BEAT)
            if monotonic() > self._until:  # that work may be another's: it is late all the same
                self._interrupt()
        return await done

    async def _stop(self) -> None:
        self._interrupt()

    def _interrupt(self) -> None:
        if (connection := self._connection) is not None:
            with suppress(sqlite3.ProgrammingError):  # it was closed meanwhile
                connection.interrupt()

    def _timed(self, work: Work[T], seconds: float) -> T:
        """In the thread."""
        self._until = monotonic() + seconds
        try:
            return self._done(work)
        finally:
            self._until = inf

    def _done(self, work: Work[T]) -> T:
        self._refuse_when_closed()
        try:
            return work(self._current())
        except sqlite3.Error as error:
            trouble = trouble_of(error)
            if not isinstance(trouble, StoreLocked):
                self._drop()
            raise trouble or error from error
        except OSError as error:
            raise StoreDown from error

    def _current(self) -> sqlite3.Connection:
        """A connection to the file that has this name now; raises OSError."""
        file = identity(self._path)
        if self._connection is not None and file != self._file:
            self._drop()
        if self._connection is None:
            self._connection, self._file = connect_reader(self._path), file
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        with suppress(sqlite3.Error):
            if connection is not None:
                connection.close()
