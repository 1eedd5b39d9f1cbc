"""A connection to the server: transactions that end, errors that have names, tries anew."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import pyodbc

from taskhub.errors import StoreDown, StoreLocked
from taskhub.store.mssql.troubles import SQL_SERVER, BadData, Codes, Meaning
from taskhub.store.steps.breaker import Breaker

pyodbc.pooling = False  # else unixODBC gives out connections that are dead, or in others' state

T = TypeVar("T")
Row = tuple[Any, ...]

TRIES = 6
"""How often a transaction is begun that the server gives up in favour of others."""

PATIENCE = 15.0
"""Seconds that a statement may take."""

BEGIN = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; BEGIN TRANSACTION"
COMMIT = "COMMIT TRANSACTION"
ROLLBACK = "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION"
SETTINGS = (
    "SET NOCOUNT OFF",
    "SET XACT_ABORT ON",
    "SET ANSI_NULLS, ANSI_PADDING, ANSI_WARNINGS, ARITHABORT ON",
    "SET CONCAT_NULL_YIELDS_NULL, QUOTED_IDENTIFIER ON",
    "SET NUMERIC_ROUNDABORT OFF",
    "SET LOCK_TIMEOUT {lock_timeout_ms}",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement has answered, all of it."""

    rows: list[Row]
    """Of its first part that has columns."""
    rowcount: int
    """How many rows its parts have changed (with OUTPUT: answered) together."""

    def fetchall(self) -> list[Row]:
        """All rows."""
        return self.rows

    def fetchone(self) -> Row | None:
        """The first row."""
        return self.rows[0] if self.rows else None


@dataclass(frozen=True, slots=True)
class Speech:
    """How a kind of server is spoken to."""

    codes: Codes
    settings: Sequence[str]
    begin: str
    commit: str
    rollback: str


SPEECH = Speech(SQL_SERVER, SETTINGS, BEGIN, COMMIT, ROLLBACK)
"""Of SQL Server and Azure SQL."""


class Connection:
    """One statement after the other, by one thread; a failure of the line closes it."""

    def __init__(self, driver: pyodbc.Connection, speech: Speech) -> None:
        """Speak over the driver's connection, which commits by itself."""
        self.driver = driver
        """To lend to SQLAlchemy; whoever has it never ends the transaction."""
        self._speech = speech
        self._running: pyodbc.Cursor | None = None
        self.closed = False
        self.patience = PATIENCE

    @property
    def patience(self) -> float:
        """Seconds that each statement may take from now on; `math.inf`: as long as it likes."""
        return self._patience

    @patience.setter
    def patience(self, seconds: float) -> None:
        self._patience = seconds
        self.driver.timeout = 0 if math.isinf(seconds) else max(1, math.ceil(seconds))

    def execute(self, text: str, values: Sequence[object] = ()) -> Answer:
        """Have a statement done and its answer read to the end; raises pyodbc.Error, BadData.

        Values stand for the `?` of the text. A text of several statements fails where any fails.
        """
        return self._done(lambda cursor: cursor.execute(text, *values))

    def many(self, text: str, rows: Sequence[Sequence[object]]) -> int:
        """Have a statement done for each row; how many rows it has changed."""
        return self._done(lambda cursor: cursor.executemany(text, rows)).rowcount if rows else 0

    def _done(self, ask: Callable[[pyodbc.Cursor], object]) -> Answer:
        try:
            self._running = cursor = self.driver.cursor()
            try:
                ask(cursor)
                return _read(cursor)
            finally:
                self._running = None
                cursor.close()
        except pyodbc.Error as error:
            raise self._known(error) from None

    def _known(self, error: Exception) -> Exception:
        meaning = self._speech.codes.meaning(error)
        if meaning is Meaning.BAD_DATA:
            return BadData("a value does not fit")
        if meaning in (Meaning.DOWN, Meaning.MOVING):
            self.close()
        return error

    def cancel(self) -> None:
        """From any thread: the statement that runs ends with an error."""
        if (cursor := self._running) is not None:
            with suppress(pyodbc.Error):
                cursor.cancel()

    def close(self) -> None:
        """Give it up; may be called twice."""
        if not self.closed:
            self.closed = True
            with suppress(pyodbc.Error):
                self.driver.close()


def _read(cursor: pyodbc.Cursor) -> Answer:
    """All parts of an answer: an error of a later one is told only to whoever asks for it."""
    rows: list[Row] | None = None
    changed = 0
    while True:
        if cursor.description is not None:
            found = [tuple(row) for row in cursor.fetchall()]
            changed += len(found)
            rows = found if rows is None else rows
        elif cursor.rowcount > 0:
            changed += cursor.rowcount
        if not cursor.nextset():
            return Answer(rows or [], changed)


class Place(Protocol):
    """Where a server is."""

    speech: Speech

    def connect(self, name: str, lock_timeout: float) -> Connection:
        """A connection with every setting that we need; raises pyodbc.Error, StoreDown."""


class Session:
    """Connects on first use and again after a failure; used by one thread at a time."""

    def __init__(self, address: Place, name: str, *, lock_timeout: float) -> None:
        """Make ready; a statement waits `lock_timeout` seconds for a lock of others."""
        self._address, self._name, self._timeout = address, name, lock_timeout
        self._speech = address.speech
        self._connection: Connection | None = None
        self._breaker = Breaker()
        self.stop = threading.Event()
        self.retried = 0
        """How many transactions were begun anew."""

    def transaction(self, work: Callable[[Connection], T], begin: str = "") -> T:
        """`work` in one durable transaction; raises Trouble."""
        for attempt in range(TRIES):
            try:
                return self._once(work, begin or self._speech.begin)
            except pyodbc.Error as error:
                if self._speech.codes.meaning(error) is not Meaning.DEADLOCK:
                    raise self._named(error) from error
            self.retried += 1
            self.stop.wait(random.uniform(0, 0.005 * 2**attempt))  # noqa: S311 - a pause
        raise StoreLocked

    def ask(self, work: Callable[[Connection], T]) -> T:
        """`work` without a transaction around it: one statement that reads; raises Trouble."""
        try:
            return self._anew(work)
        except pyodbc.Error as error:
            raise self._named(error) from error

    def _anew(self, work: Callable[[Connection], T]) -> T:
        """`work`, once more where the connection was lost since it was used last.

        Only for what changes nothing: nobody knows whether it was done before.
        """
        is_new = self._connection is None
        connection = self.connect()
        try:
            return work(connection)
        except pyodbc.Error:
            if is_new or not connection.closed:
                raise
        return work(self.connect())

    def connect(self) -> Connection:
        """The connection, made when there is none; raises StoreDown."""
        if self._connection is None or self._connection.closed:
            self._breaker.refuse()
            self._connection = self._connected()
        return self._connection

    def _connected(self) -> Connection:
        try:
            connection = self._address.connect(self._name, self._timeout)
        except pyodbc.Error as error:
            named = self._speech.codes.trouble(error)
            trouble = named if isinstance(named, StoreDown) else StoreDown()
            self._breaker.failed(trouble)
            raise trouble from error
        self._breaker.succeeded()
        return connection

    def cancel(self) -> None:
        """From any thread: what is being done ends with an error."""
        self.stop.set()
        if (connection := self._connection) is not None:
            connection.cancel()

    def close(self) -> None:
        """Give the connection back; may be called twice, and the session used again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _once(self, work: Callable[[Connection], T], begin: str) -> T:
        self._anew(lambda connection: connection.execute(begin))
        connection = self.connect()
        try:
            answer = work(connection)
            connection.execute(self._speech.commit)
            return answer
        except BaseException:
            self._undo(connection)
            raise

    def _undo(self, connection: Connection) -> None:
        if not connection.closed:
            try:
                connection.execute(self._speech.rollback)
            except (pyodbc.Error, BadData):
                connection.close()

    def _named(self, error: Exception) -> Exception:
        return self._speech.codes.trouble(error) or error
