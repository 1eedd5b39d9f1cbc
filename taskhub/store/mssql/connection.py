"""A connection: each statement's answer is read to its end, and no statement lasts for ever."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import pyodbc

from taskhub.store.mssql.driving import Watch
from taskhub.store.mssql.troubles import SQL_SERVER, BadData, Codes, Meaning, stopped

pyodbc.pooling = False  # else unixODBC gives out connections that are dead, or in others' state

Row = tuple[Any, ...]
Sizes = Callable[[Sequence[object]], Sequence[tuple[int, int, int] | None]]
"""The types that values are sent as."""

PATIENCE = 10.0
"""Seconds that a statement may take, by the driver's clock."""

DRIVERS_PATIENCE, GRACE = 3, 5.0
"""Where a server is frozen Microsoft's driver gives up after three times that (FreeTDS: twice);
the seconds after which we do."""

PLACE = re.compile(r"'[^']*'|\[[^\]]*\]|\?")
NULL = "CAST(NULL AS NVARCHAR(MAX))"

ROLLBACK = "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION"
BEGIN = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; BEGIN TRANSACTION"
COMMIT = "COMMIT TRANSACTION"
SETTINGS = (
    "SET NOCOUNT OFF",
    "SET XACT_ABORT OFF",  # a statement that fails is undone alone, or to a mark; we end the rest
    "SET ANSI_NULLS, ANSI_PADDING, ANSI_WARNINGS, ARITHABORT ON",
    "SET CONCAT_NULL_YIELDS_NULL, QUOTED_IDENTIFIER ON",
    "SET NUMERIC_ROUNDABORT OFF",
    "SET LOCK_TIMEOUT {lock_timeout_ms}",
)
"""What a connection begins with; the options are those that filtered indexes want."""


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


class Connection:
    """One statement after the other, by one thread; a failure of the line closes it."""

    def __init__(self, driver: pyodbc.Connection, speech: Speech, sizes: Sizes | None) -> None:
        """Speak over the driver's connection, which commits by itself."""
        self.driver = driver
        """To lend to SQLAlchemy; whoever has it never ends the transaction."""
        self.watch = Watch()
        self._speech, self._sizes = speech, sizes
        self._lock = threading.Lock()
        self._running: Any = None
        """The cursor of the statement that is being done."""
        self._is_stopped = False
        self._canceller: threading.Thread | None = None
        self.closed = False
        self.patience = PATIENCE

    def ready(self, lock_timeout: float) -> Self:
        """Make every setting that we need; raises pyodbc.Error."""
        wanted = "; ".join(self._speech.settings)
        try:
            self.execute(wanted.format(lock_timeout_ms=max(1, int(lock_timeout * 1000))))
        except BaseException:
            self.close()
            raise
        return self

    @property
    def patience(self) -> float:
        """Seconds that each statement may take from now on; `math.inf`: as long as it likes."""
        return self._patience

    @patience.setter
    def patience(self, seconds: float) -> None:
        self._patience = seconds
        self._cut = seconds if seconds < 1 else math.inf  # the driver counts whole seconds
        try:
            self.driver.timeout = 0 if math.isinf(seconds) else max(1, math.ceil(seconds))
        except pyodbc.Error:  # this driver counts none at all
            self._cut = seconds

    def rest(self, *, at_least: bool = False) -> None:
        """Have the usual patience again, or at least that."""
        wanted = max(self._patience, PATIENCE) if at_least else PATIENCE
        if wanted != self._patience and not self.closed:
            self.patience = wanted

    def execute(self, text: str, values: Sequence[object] = ()) -> Answer:
        """Have a statement done and its answer read to the end; raises pyodbc.Error, BadData.

        Values stand for the `?` of the text. A text of several statements fails where any fails.
        """
        if self.closed:
            raise pyodbc.OperationalError("08S01", "[08S01] the connection is closed")
        limit = max(1.0, self._patience + 1) * DRIVERS_PATIENCE + GRACE
        with self.watch.over(limit, self._cut):
            try:
                return self._done(text, values)
            except pyodbc.Error as error:
                raise self._known(error) from None

    def _done(self, text: str, values: Sequence[object]) -> Answer:
        cursor = self.driver.cursor()
        with self._lock:
            self._running, self._is_stopped = cursor, False
        try:
            if values and self._sizes is not None:
                text, values = without_none(text, values)
                cursor.setinputsizes(self._sizes(values))
            cursor.execute(text, *values)
            answer = _read(cursor)
        except pyodbc.Error:
            if self._is_stopped:
                raise stopped() from None
            raise
        finally:
            with self._lock:
                self._running = None
            cursor.close()
        if self._is_stopped:  # Microsoft's driver calls it a success
            raise stopped()
        return answer

    def _known(self, error: Exception) -> Exception:
        meaning = self._speech.codes.meaning(error)
        if meaning is Meaning.BAD_DATA:
            return BadData("a value does not fit")
        if meaning in (Meaning.DOWN, Meaning.MOVING, Meaning.DENIED):
            self.close()
        return error

    def cancel(self) -> None:
        """From any thread: the statement that runs ends with an error.

        Microsoft's driver waits here for a server that is frozen, so that nobody else may.
        """
        running = self._running
        if running is not None and (self._canceller is None or not self._canceller.is_alive()):
            canceller = threading.Thread(target=self._cancel, args=(running,), daemon=True)
            self._canceller = canceller
            canceller.start()

    def _cancel(self, cursor: pyodbc.Cursor) -> None:
        with self._lock:  # while the cursor is asked to stop nobody closes it
            if self._running is not cursor:
                return
            self._is_stopped = True
            with suppress(pyodbc.Error):
                cursor.cancel()

    def close(self) -> None:
        """Give it up; may be called twice."""
        if not self.closed:
            self.closed = True
            self.drop()

    def drop(self) -> None:
        """Give the driver's connection back."""
        with suppress(pyodbc.Error), self.watch.over(GRACE):
            self.driver.close()


def without_none(text: str, values: Sequence[object]) -> tuple[str, Sequence[object]]:
    """The same with NULL in the text: as a value the driver would ask the server for its type.

    That is one round trip more for each statement, and one that some statements cannot pass.
    """
    if all(value is not None for value in values):
        return text, values
    rest = iter(values)

    def placed(part: re.Match[str]) -> str:
        return part[0] if part[0] != "?" or next(rest) is not None else NULL

    return PLACE.sub(placed, text), [value for value in values if value is not None]


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
