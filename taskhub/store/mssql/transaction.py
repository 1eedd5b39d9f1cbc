"""A transaction on SQL Server as the steps speak to it: many rows are one JSON parameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from zlib import crc32

from taskhub.errors import StoreLocked
from taskhub.store.mssql.connection import Answer, Connection
from taskhub.store.mssql.texts import Compiled
from taskhub.store.mssql.troubles import BAD_DATA
from taskhub.store.steps.rows import Row, json
from taskhub.store.steps.server_transaction import ServerTransaction

NUMBERS = "numbers"
"""The lock under which events get their numbers."""

SLOTS = 1024
"""A transaction of any size takes so many locks of names at most; some names share one."""


class MssqlTransaction(ServerTransaction):
    """One of several at the same time: what must not change meanwhile is locked."""

    bad_data: tuple[type[Exception], ...] = BAD_DATA

    def __init__(
        self,
        connection: Connection,
        statements: Mapping[str, str],
        compiled: Callable[[str], Compiled],
    ) -> None:
        """Speak on a connection whose transaction was begun."""
        super().__init__()
        self._connection, self._statements, self._compiled = connection, statements, compiled

    def ask(self, name: str, values: Mapping[str, object]) -> list[Row]:
        """Run one statement and have all its rows."""
        return self._run(name, values).fetchall()

    def change(self, name: str, values: Mapping[str, object]) -> int:
        """Run one statement and have the number of rows that it has changed."""
        return self._run(name, values).rowcount

    def each(self, name: str, rows: Sequence[Row]) -> int:
        """Run one statement for all rows, each with its place at its end; it counts for all."""
        said = [(*map(_plain, row), place) for place, row in enumerate(rows)]
        return self.change(name, {"rows": json(said)}) if rows else 0

    def insert(self, name: str, rows: Sequence[Row]) -> None:
        """Insert many rows."""
        self.each(name, rows)

    def alone(self, names: Sequence[str]) -> None:
        """Lock the names, always in the same order; some of them share a lock."""
        slots = sorted({crc32(name.encode("utf-8", "replace")) % SLOTS for name in names})
        self._lock("alone", {"slots": json(slots)})

    def together(self, name: str) -> None:
        """Lock the name for all who do the same."""
        self._lock("together", {"name": name})

    def apart(self, name: str) -> None:
        """Lock the name against them."""
        self._lock("apart", {"name": name})

    def _number(self, events: Sequence[Row]) -> None:
        self.apart(NUMBERS)
        self.insert("told", events)

    def _save(self, name: str) -> None:
        self._connection.execute(f"SAVE TRANSACTION {name}")

    def _back(self, name: str) -> None:
        self._connection.execute(f"ROLLBACK TRANSACTION {name}")

    def _release(self, name: str) -> None:
        """It ends with the transaction."""

    def _lock(self, name: str, values: Mapping[str, object]) -> None:
        ((given,),) = self.ask(name, values)
        if given < 0:
            raise StoreLocked

    def _run(self, name: str, values: Mapping[str, object]) -> Answer:
        text, names = self._compiled(self._statements[name])
        return self._connection.execute(text, [values[name] for name in names])


def _plain(value: object) -> object:
    """JSON has no bytes: the statements read them as hexadecimal digits."""
    return value.hex() if isinstance(value, bytes) else value
