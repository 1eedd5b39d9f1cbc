"""A writing connection and its lock: transactions that end, errors that have names."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from taskhub.errors import StoreDown, StoreFull, StoreLocked, Trouble
from taskhub.failures import fingerprint
from taskhub.store.sqlite.filelock import FileLock

T = TypeVar("T")

BUSY_MS = 50  # how long SQLite itself waits for a program that does not know our lock
STATEMENTS = 256  # prepared statements that a connection keeps
SEARCHES = 32  # the same for one that reads: each search is another text, and may be a long one
CHECKPOINT_PAGES = 4000  # 16 MB of log before it is moved into the database
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
TROUBLES: dict[int, type[Trouble]] = {
    sqlite3.SQLITE_BUSY: StoreLocked,
    sqlite3.SQLITE_LOCKED: StoreLocked,
    sqlite3.SQLITE_FULL: StoreFull,
    sqlite3.SQLITE_IOERR_SHMSIZE: StoreFull,
    sqlite3.SQLITE_IOERR: StoreDown,
    sqlite3.SQLITE_CANTOPEN: StoreDown,
    sqlite3.SQLITE_CORRUPT: StoreDown,
    sqlite3.SQLITE_NOTADB: StoreDown,
    sqlite3.SQLITE_READONLY: StoreDown,
    sqlite3.SQLITE_PROTOCOL: StoreDown,
    sqlite3.SQLITE_PERM: StoreDown,
    sqlite3.SQLITE_NOMEM: StoreDown,
    sqlite3.SQLITE_INTERRUPT: StoreDown,
}
"""What SQLite's codes mean; those that are not here are bugs or bad data."""


def trouble_of(error: sqlite3.Error) -> Trouble | None:
    """The trouble around us that SQLite speaks of, if it is one."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return None
    kind = TROUBLES.get(code) or TROUBLES.get(code & 0xFF)
    return None if kind is None else kind()


class Session:
    """Opens on first use and again after a failure; used by one thread at a time."""

    def __init__(self, path: Path, *, lock_timeout: float, synchronous: str = "FULL") -> None:
        """Make ready; `synchronous` is SQLite's word for when a commit is on disk."""
        self.path = path
        self.stop = threading.Event()
        self._timeout, self._synchronous = lock_timeout, synchronous
        self._lock = FileLock(path.with_name(path.name + "-lock"))
        self._connection: sqlite3.Connection | None = None
        self._file = (0, 0)

    def transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """`work` in one durable transaction, alone among all processes; raises Trouble."""
        try:
            connection = self.connect()
            self._begin(connection)
            try:
                answer = work(connection)
                connection.execute("COMMIT")
                return answer
            finally:
                self._end(connection)
        except sqlite3.Error as error:
            raise self._named(error) from error
        except OSError as error:
            self.close()
            raise StoreFull if error.errno in NO_ROOM else StoreDown from error

    def connect(self) -> sqlite3.Connection:
        """The connection, opened when there is none."""
        if self._connection is None:
            self._lock.open()
            self._file = identity(self.path)
            connection = connect(self.path)
            try:
                connection.execute(f"PRAGMA synchronous = {self._synchronous}")
                self._write_ahead(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _write_ahead(self, connection: sqlite3.Connection) -> None:
        """Have the file in WAL mode; it stays so, the lock is for the first two openers."""
        if not self._lock.acquire(self._timeout, self.stop):
            raise StoreLocked
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        finally:
            self._lock.release()

    def close(self) -> None:
        """Give everything back; may be called twice, and the session used again."""
        connection, self._connection = self._connection, None
        with suppress(sqlite3.Error):
            if connection is not None:
                connection.close()
        self._lock.close()

    def _begin(self, connection: sqlite3.Connection) -> None:
        end = time.monotonic() + self._timeout
        while self._lock.acquire(end - time.monotonic(), self.stop):
            try:
                self._refuse_a_lost_file()
                connection.execute("BEGIN IMMEDIATE")
                return
            except BaseException as error:
                self._lock.release()
                if not _is_busy(error) or time.monotonic() >= end or self.stop.is_set():
                    raise
        raise StoreLocked

    def _refuse_a_lost_file(self) -> None:
        """A file that was moved away or replaced would take commits that nobody finds again."""
        if identity(self.path) != self._file:
            raise FileNotFoundError(errno.ENOENT, "the database was replaced")

    def _end(self, connection: sqlite3.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        finally:
            self._lock.release()

    def _named(self, error: sqlite3.Error) -> Exception:
        trouble = trouble_of(error)
        if isinstance(trouble, StoreFull):
            self._make_room()
        elif not isinstance(trouble, StoreLocked):
            self.close()
        return trouble or error

    def _make_room(self) -> None:
        """Move the log into the database: on a full disk that may be the room that is missing."""
        with suppress(sqlite3.Error):
            if self._connection is not None:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def identity(path: Path) -> tuple[int, int]:
    """Which file it is that has this name now; raises OSError."""
    found = path.stat()
    return found.st_dev, found.st_ino


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, sqlite3.Error) and isinstance(trouble_of(error), StoreLocked)


def make_file(path: Path) -> None:
    """Make the folder and an empty file that only we and our group can read, if there is none."""
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))


def connect(path: Path) -> sqlite3.Connection:
    """A connection to a file that exists, with every setting that a writer needs."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=STATEMENTS,
    )
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    # What a statement may have to undo: beyond 64 kB it would be a file each time.
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.create_function("fingerprint", 3, fingerprint, deterministic=True)
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that can only read; another thread than that which uses it may close it."""
    line = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=SEARCHES,
    )
    try:
        line.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        line.execute("PRAGMA query_only = ON")
    except BaseException:
        line.close()
        raise
    return line
