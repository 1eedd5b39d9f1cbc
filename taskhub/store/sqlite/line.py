"""A reading connection with a thread of its own, which does one piece of work after the other."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from taskhub.errors import Busy, StoreDown, StoreLocked
from taskhub.store.sqlite.session import connect_reader, identity, trouble_of
from taskhub.store.steps.hand import Hand

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

WAITING = 64
"""Pieces of work in the line, at most."""

BEAT = 0.05
"""Seconds between two looks at how long a piece of work takes."""


class Line:
    """Connects on first use, and again when the file was replaced."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        self._hand: Hand | None = None
        self._connection: sqlite3.Connection | None = None
        self._file = (0, 0)
        self._waiting = 0
        self._may_read = False
        self._until = inf
        """When the work that is being done has taken too long; set in the thread."""

    def open(self) -> None:
        """Allow reading."""
        self._may_read = True

    async def close(self) -> None:
        """Give connection and thread back, stopping what still runs; may be called twice."""
        self._may_read = False
        hand, self._hand = self._hand, None
        if hand is not None:
            self._interrupt()
            hand.call(self._drop)
            await hand.close()

    async def do(self, work: Work[T], seconds: float = inf) -> T:
        """What the work answers; raises Trouble, at once when too many wait.

        SQLite is interrupted when the work takes longer; that time begins when the work does.
        """
        if not self._may_read:
            raise StoreDown("The store is closed.")
        if self._waiting >= WAITING:
            raise Busy
        if self._hand is None:
            self._hand = Hand(self._name)
        self._waiting += 1
        done: asyncio.Future[T] = self._hand.call(self._timed, work, seconds)
        done.add_done_callback(self._leave)
        while not done.done():
            await asyncio.wait([done], timeout=BEAT)
            if monotonic() > self._until:  # that work may be another's: it is late all the same
                self._interrupt()
        return await done

    def _leave(self, done: asyncio.Future[Any]) -> None:
        """Work counts until it is done, also when whoever asked for it has gone."""
        self._waiting -= 1
        done.exception()

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
        if not self._may_read:
            raise StoreDown("The store is closed.")
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
