"""A transaction on PostgreSQL as the steps speak to it; events wait for its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg

from taskhub.model import TaskId
from taskhub.store.postgres.session import Connection
from taskhub.store.postgres.troubles import BAD_DATA
from taskhub.store.steps.rows import Row, json

NUMBERS = 0x7461736B687562
"""The advisory lock under which events get their numbers: the letters of our name."""

NAMES = 0x7461736B
"""The first half of the advisory locks of names; the second is one of a thousand."""


class PgTransaction:
    """One of several at the same time: what must not change meanwhile is locked."""

    bad_data: tuple[type[Exception], ...] = BAD_DATA

    def __init__(self, connection: Connection, statements: Mapping[str, str]) -> None:
        """Speak on a connection whose transaction was begun."""
        self._connection, self._statements = connection, statements
        self._events: list[Row] = []
        self._marks: list[tuple[str, int]] = []
        """The marks that still stand, and how many events there were at each."""

    def ask(self, name: str, values: Mapping[str, object]) -> list[Row]:
        """Run one statement and have all its rows."""
        return self._run(name, values).fetchall()

    def change(self, name: str, values: Mapping[str, object]) -> int:
        """Run one statement and have the number of rows that it has changed."""
        return self._run(name, values).rowcount

    def each(self, name: str, rows: Sequence[Row]) -> int:
        """Run one short statement for each row."""
        if not rows:
            return 0
        cursor = self._connection.cursor()
        cursor.executemany(self._statements[name], rows)
        return cursor.rowcount

    def insert(self, name: str, rows: Sequence[Row]) -> None:
        """Insert many rows."""
        self.each(name, rows)

    def happened(self, now: int, kind: str, tasks: Sequence[TaskId]) -> None:
        """Keep the same event for many tasks until the end."""
        self._events += [(now, kind, task, None) for task in tasks]

    def told(self, rows: Sequence[Row]) -> None:
        """Keep events that have something to say until the end."""
        self._events += rows

    def end(self) -> None:
        """The last step: give the events their numbers, in the order in which they were told."""
        if self._events:
            self._run("numbering", {"lock": NUMBERS})
            self._run("told", {"events": json(self._events)})

    def alone(self, names: Sequence[str]) -> None:
        """Lock the names, always in the same order; some of them share a lock."""
        self._run("alone", {"names": json(names), "space": NAMES})

    def together(self, name: str) -> None:
        """Lock the name for all who do the same."""
        self._run("together", {"name": name})

    def apart(self, name: str) -> None:
        """Lock the name against them."""
        self._run("apart", {"name": name})

    def mark(self, name: str) -> None:
        """Begin a part that can be undone."""
        self._marks.append((name, len(self._events)))
        self._connection.execute(f"SAVEPOINT {name}")

    def undo(self, name: str) -> None:
        """Undo it, its events as well, and marks that an error has left behind in it."""
        while self._marks[-1][0] != name:
            self._marks.pop()
        del self._events[self._marks[-1][1] :]
        self._connection.execute(f"ROLLBACK TO {name}")

    def forget(self, name: str) -> None:
        """Keep it; the outermost mark ends with the transaction."""
        self._marks.pop()
        if self._marks:
            self._connection.execute(f"RELEASE {name}")

    def _run(self, name: str, values: Mapping[str, object]) -> psycopg.Cursor[Row]:
        return self._connection.execute(self._statements[name], values)
