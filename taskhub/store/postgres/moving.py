"""A PostgreSQL database as one end of a copy: no program of ours may be connected meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import capabilities, errors

from taskhub.errors import CopyFailed
from taskhub.store.moving.side import Unfit
from taskhub.store.moving.tables import (
    Key,
    Row,
    Table,
    counting,
    numbering,
    quoted,
    reading,
    tables,
)
from taskhub.store.postgres.migrating import FOREVER, revision, upgrade
from taskhub.store.postgres.session import Address, Connection
from taskhub.store.postgres.transaction import NUMBERS
from taskhub.store.postgres.troubles import BAD_DATA, trouble_of

COPIER = "taskhub-copy"
COPYING = NUMBERS + 2
"""The advisory lock of whoever copies."""
AT_ONCE = 20
"""Rows that the driver reads ahead: each may be as large as a payload and a result are."""
LOOK = 0.1
"""Seconds between two looks at who is connected."""
OTHERS = (
    "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = current_database() "
    "AND pid <> pg_backend_pid() AND application_name LIKE 'taskhub-%%' "
    "AND application_name <> %s ORDER BY 1"
)
HELD = (
    'SELECT count(*), max("LeaseUntil") - extract(epoch FROM clock_timestamp()) FROM "Tasks" '
    'WHERE "Status" = \'Processing\' AND "LeaseUntil" > extract(epoch FROM clock_timestamp())'
)
NOTE = (
    'INSERT INTO "Copying" VALUES (%s, %s) '
    'ON CONFLICT ("Name") DO UPDATE SET "Value" = excluded."Value"'
)


class PostgresSide:
    """One database; its server knows who is connected, and locks tables for us."""

    def __init__(self, address: Address, lock_timeout: float) -> None:
        """Make ready; whoever is just about to leave has `lock_timeout` seconds."""
        self._address, self._timeout = address, lock_timeout
        self._connection: Connection | None = None

    @property
    def name(self) -> str:
        """The address without what stands behind the question mark."""
        return self._address.url.partition("?")[0]

    def is_there(self) -> bool:
        """`open` says what is wrong where it is not: we make no databases."""
        return True

    def open(self) -> None:
        """Connect, and wait a while for those who are leaving."""
        with self._named():
            self._connection = connection = self._address.connect(COPIER, self._timeout)
            connection.patience = FOREVER
            for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
                connection.execute("SELECT set_config(%s, '0', false)", [limit])
            try:
                connection.execute("SELECT pg_advisory_lock(%s)", [COPYING])
            except errors.LockNotAvailable:
                raise CopyFailed(f"{self.name}: another copy is at work") from None
            self._wait_for_others(connection)

    def hold(self) -> None:
        """Lock all tables against writers, and read all as of that moment."""
        names = ", ".join(f'"{table.name}"' for table in tables())
        with self._named():
            self._open().execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            try:
                self._open().execute(f"LOCK TABLE {names} IN SHARE MODE".encode())
            except errors.LockNotAvailable:
                raise CopyFailed(f"{self.name}: another program writes to it") from None

    def close(self) -> None:
        """Disconnect."""
        connection, self._connection = self._connection, None
        with suppress(psycopg.Error):
            if connection is not None:
                connection.close()

    def revision(self) -> str | None:
        """Which schema is there."""
        with self._named():
            return revision(self._open())

    def migrate(self) -> list[str]:
        """Bring the schema to the newest revision."""
        with self._named(), self._open().transaction():
            return upgrade(self._open())

    def leases(self) -> tuple[int, float]:
        """Those that are not over by the server's clock."""
        count, seconds = self._ask(HELD)[0]
        return count, float(seconds or 0.0)

    def names(self) -> set[str]:
        """The tables that are there."""
        text = "SELECT relname FROM pg_class WHERE relkind = 'r' AND pg_table_is_visible(oid)"
        return {row[0] for row in self._ask(text)}

    def count(self, table: Table) -> int:
        """How many rows it has."""
        return int(self._ask(counting(table))[0][0])

    def last(self, table: Table) -> int:
        """The highest number."""
        return int(self._ask(numbering(table))[0][0] or 0)

    def rows(self, table: Table, after: Key | None = None) -> Iterator[Row]:
        """Its rows, a few at a time."""
        text = reading(table) if after is None else reading(table, _places(table.key))
        at_once = AT_ONCE if capabilities.has_stream_chunked() else 1
        with self._named(), self._open().cursor() as cursor:
            yield from cursor.stream(text.encode(), after or None, size=at_once)

    def notes(self) -> dict[str, str]:
        """What a copy has noted here."""
        return dict(self._ask('SELECT "Name", "Value" FROM "Copying"'))

    def begin(self, revision: str, notes: Mapping[str, str]) -> None:
        """Make the table of notes."""
        with self._named(), self._open().transaction():
            columns = '"Name" VARCHAR(100) PRIMARY KEY, "Value" TEXT NOT NULL'
            self._ask_nothing(f'CREATE TABLE "Copying" ({columns})')
            for item in notes.items():
                self._note(*item)
            self._ask_nothing("UPDATE alembic_version SET version_num = %s", revision)

    def put(self, table: Table, rows: Sequence[Row], note: str) -> None:
        """Insert rows and note how far that is."""
        with self._named():
            try:
                with self._open().transaction():
                    self._insert(table, rows)
                    self._note(table.name, note)
            except BAD_DATA as error:
                raise Unfit(_said(error)) from None

    def end(self, revision: str) -> None:
        """The sequences go on after the last row, the notes go; then the planner is told."""
        with self._named():
            with self._open().transaction():
                for table in tables():
                    if table.is_counted and (last := self.last(table)):
                        sequence = "SELECT setval(pg_get_serial_sequence(%s, %s), %s)"
                        name = quoted([table.name])
                        self._ask_nothing(sequence, name, table.key[0], last)
                self._ask_nothing('DROP TABLE "Copying"')
                self._ask_nothing("UPDATE alembic_version SET version_num = %s", revision)
            for table in tables():
                self._ask_nothing(f"ANALYZE {quoted([table.name])}")

    def _insert(self, table: Table, rows: Sequence[Row]) -> None:
        into = f"COPY {quoted([table.name])} ({quoted(table.columns)}) FROM STDIN"
        with self._open().cursor() as cursor, cursor.copy(into.encode()) as stream:
            for row in rows:
                stream.write_row(row)

    def _wait_for_others(self, connection: Connection) -> None:
        end = time.monotonic() + self._timeout
        while found := connection.execute(OTHERS, [COPIER]).fetchall():
            if time.monotonic() > end:
                who = ", ".join(row[0] for row in found)
                raise CopyFailed(f"{self.name}: {who} are connected: stop TaskHub first")
            time.sleep(LOOK)

    def _note(self, name: str, value: str) -> None:
        self._ask_nothing(NOTE, name, value)

    def _ask(self, text: str) -> list[Row]:
        with self._named():
            return self._open().execute(text.encode()).fetchall()

    def _ask_nothing(self, text: str, *values: object) -> None:
        self._open().execute(text.encode(), values)

    def _open(self) -> Connection:
        assert self._connection is not None, "the side is not open"
        return self._connection

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Raises what the server's errors mean."""
        try:
            yield
        except psycopg.Error as error:
            raise trouble_of(error) or CopyFailed(f"{self.name}: {_said(error)}") from error


def _places(names: Sequence[str]) -> str:
    return ", ".join(["%s"] * len(names))


def _said(error: Any) -> str:
    """The server's sentence without the row that it is about."""
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return str(primary or error)
