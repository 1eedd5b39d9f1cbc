"""A transaction on SQLite as the steps speak to it: names of statements, rows, savepoints."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from taskhub.model import TaskId
from taskhub.store.sql import load
from taskhub.store.steps.batch import BAD_VALUES
from taskhub.store.steps.rows import Row, json

EXACT = 32  # up to so many rows each number has a statement of its own; a prepared one takes memory
MANY = (256, 64, EXACT)  # beyond that so many rows go at once
BAD_DATA = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    *BAD_VALUES,
)


class Statements:
    """The texts of this folder's `.sql` files, and the inserts that take many rows."""

    def __init__(self) -> None:
        """Read the files."""
        self.text = load("taskhub.store.sqlite")
        self.many = {name: Insert(self.text[name]) for name in ("create", "told")}


class SqliteTransaction:
    """Alone among all processes, so whatever it reads stays as it is until the commit."""

    bad_data: tuple[type[Exception], ...] = BAD_DATA

    def __init__(self, connection: sqlite3.Connection, statements: Statements) -> None:
        """Speak on a connection whose transaction was begun."""
        self._connection, self._statements = connection, statements
        self._marks: list[str] = []
        """The marks that still stand."""

    def ask(self, name: str, values: Mapping[str, object]) -> list[Row]:
        """Run one statement and have all its rows."""
        return self._connection.execute(self._statements.text[name], values).fetchall()

    def change(self, name: str, values: Mapping[str, object]) -> int:
        """Run one statement and have the number of rows that it has changed, without triggers."""
        count = self._connection.execute(self._statements.text[name], values).rowcount
        if count < 0:  # a cursor counts nothing that begins with WITH
            count = self._connection.execute("SELECT changes()").fetchone()[0]
        return count

    def each(self, name: str, rows: Sequence[Row]) -> int:
        """Run one short statement for each row."""
        return self._connection.executemany(self._statements.text[name], rows).rowcount

    def insert(self, name: str, rows: Sequence[Row]) -> None:
        """Insert many rows by few statements."""
        self._statements.many[name].run(self._connection, rows)

    def happened(self, now: int, kind: str, tasks: Sequence[TaskId]) -> None:
        """Append the same event for many tasks."""
        self.change("happened", {"now": now, "type": kind, "ids": json(tasks)})

    def told(self, rows: Sequence[Row]) -> None:
        """Append events that have something to say."""
        self.insert("told", rows)

    def alone(self, names: Sequence[str]) -> None:
        """The transaction is alone as it is."""

    def together(self, name: str) -> None:
        """There are no others."""

    def apart(self, name: str) -> None:
        """It is so anyway."""

    def mark(self, name: str) -> None:
        """Begin a part that can be undone; the first one is the whole transaction.

        Within a savepoint SQLite copies each page before it changes it, beyond a few into a file.
        """
        self._marks.append(name)
        if len(self._marks) > 1:
            self._connection.execute(f"SAVEPOINT {name}")

    def undo(self, name: str) -> None:
        """Undo it, and marks that an error has left behind in it."""
        while self._marks[-1] != name:
            self._marks.pop()
        if len(self._marks) > 1:
            self._connection.execute(f"ROLLBACK TO {name}")
            return
        self._connection.execute("ROLLBACK")
        self._connection.execute("BEGIN IMMEDIATE")  # nobody came between: we hold the file lock

    def forget(self, name: str) -> None:
        """Keep it; the first mark ends with the transaction."""
        self._marks.pop()
        if self._marks:
            self._connection.execute(f"RELEASE {name}")


class Insert:
    """Many rows by as few statements as can be: each costs a wait for the interpreter's lock."""

    def __init__(self, statement: str) -> None:
        """Take a statement that ends in `VALUES (?, ...)` for one row."""
        self._head, self._values = statement.split("VALUES")
        self._texts: dict[int, str] = {}

    def run(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
        """Insert the rows in their order."""
        start = 0
        while left := len(rows) - start:
            size = left if left <= EXACT else next(many for many in MANY if many <= left)
            chunk = rows[start : start + size]
            connection.execute(self._text(size), [value for row in chunk for value in row])
            start += size

    def _text(self, size: int) -> str:
        text = self._texts.get(size)
        if text is None:
            text = self._texts[size] = f"{self._head}VALUES{','.join([self._values] * size)}"
        return text
