"""A transaction on PostgreSQL as the steps speak to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg

from taskhub.store.postgres.session import Connection
from taskhub.store.postgres.troubles import BAD_DATA
from taskhub.store.steps.rows import Row, json
from taskhub.store.steps.server_transaction import ServerTransaction

NUMBERS = 0x7461736B687562
"""The advisory lock under which events get their numbers: the letters of our name."""

NAMES = 0x7461736B
"""The first half of the advisory locks of names; the second is one of a thousand."""


class PgTransaction(ServerTransaction):
    """One of several at the same time: what must not change meanwhile is locked."""

    bad_data: tuple[type[Exception], ...] = BAD_DATA

    def __init__(self, connection: Connection, statements: Mapping[str, str]) -> None:
        """Speak on a connection whose transaction was begun."""
        super().__init__()
        self._connection, self._statements = connection, statements

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

    def alone(self, names: Sequence[str]) -> None:
        """Lock the names, always in the same order; some of them share a lock."""
        self._run("alone", {"names": json(names), "space": NAMES})

    def together(self, name: str) -> None:
        """Lock the name for all who do the same."""
        self._run("together", {"name": name})

    def apart(self, name: str) -> None:
        """Lock the name against them."""
        self._run("apart", {"name": name})

    def _number(self, events: Sequence[Row]) -> None:
        self._run("numbering", {"lock": NUMBERS})
        self._run("told", {"events": json(events)})

    def _save(self, name: str) -> None:
        self._connection.execute(f"SAVEPOINT {name}")

    def _back(self, name: str) -> None:
        self._connection.execute(f"ROLLBACK TO {name}")

    def _release(self, name: str) -> None:
        self._connection.execute(f"RELEASE {name}")

    def _run(self, name: str, values: Mapping[str, object]) -> psycopg.Cursor[Row]:
        return self._connection.execute(self._statements[name], values)
