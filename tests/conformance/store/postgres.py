"""PostgreSQL under test: one real server for all tests, and a database of its own for each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from taskhub.store.migrations import NEWEST
from taskhub.store.postgres import PostgresStore
from taskhub.store.postgres.session import Address
from taskhub.store.postgres.texts import spoken
from taskhub.store.schema import metadata

from tests.conformance.store.backend import Hands, Maker
from tests.postgres_server import PostgresServer

TEMPLATE = "migrated"
TABLES = sorted(metadata.tables)


@dataclass
class PostgresBackend:
    """A database on a server."""

    place: str
    spoilt: list[tuple[str, str, str]] = field(default_factory=list)
    is_of_one_host: bool = False

    def store(self, hands: Hands | None = None, lock_timeout: float = 5.0) -> PostgresStore:
        """One more store on it."""
        clock = None if hands is None else hands.clock()
        store = PostgresStore(Address(self.place), lock_timeout=lock_timeout, clock=clock)
        for statement, old, new in self.spoilt:
            text, gone = store.statements[statement], spoken(old)
            assert gone in text, f"{statement} has no {gone}"
            store.statements[statement] = text.replace(gone, spoken(new))
        return store

    @contextmanager
    def held(self) -> Iterator[None]:
        """Every table is locked for writers."""
        with closing(self._connect()) as connection, connection.transaction():
            connection.execute(spoken(f"LOCK TABLE {', '.join(TABLES)} IN EXCLUSIVE MODE").encode())
            yield

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Everything in a table."""
        with closing(self._connect()) as connection:
            text = sql.SQL("SELECT * FROM {} ORDER BY 1").format(sql.Identifier(table))
            return connection.cursor(row_factory=dict_row).execute(text).fetchall()

    def run(self, statement: str, *values: object) -> None:
        """Change something behind the store's back."""
        with closing(self._connect()) as connection:
            connection.execute(spoken(statement).encode(), values)

    def ask(self, statement: LiteralString, *values: object) -> Any:
        """The first word of a row that only a server knows."""
        with closing(self._connect()) as connection:
            row = connection.execute(statement, values).fetchone()
            assert row is not None, statement
            return row[0]

    def spoil(self, statement: str, old: str, new: str) -> None:
        """Break a statement."""
        self.spoilt.append((statement, old, new))

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self.place, autocommit=True)


@dataclass
class PostgresMaker:
    """Copies one migrated database for each name, and empties the copy for the next test."""

    server: PostgresServer
    numbers: Iterator[int] = field(default_factory=count)
    made: dict[str, PostgresBackend] = field(default_factory=dict)

    def empty(self, name: str, folder: Path) -> PostgresBackend:
        """Nothing in it."""
        return PostgresBackend(self.server.database(f"{name}-{next(self.numbers)}", "template0"))

    def migrated(self, name: str, folder: Path) -> PostgresBackend:
        """One with the newest schema and no rows."""
        name = name.rstrip("0123456789")  # one life after another
        if name not in self.made:
            place = self.server.database(f"{name}-{next(self.numbers)}", TEMPLATE)
            self.made[name] = PostgresBackend(place)
        place = self.made[name].place
        _wipe(place)
        return PostgresBackend(place)


def _wipe(place: str) -> None:
    with closing(psycopg.connect(place, autocommit=True)) as connection:
        for table in TABLES:
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
        connection.execute("""SELECT setval('"Audit_Id_seq"', 1, false)""")
        connection.execute("UPDATE alembic_version SET version_num = %s", [NEWEST])


@contextmanager
def postgres_server(folder: Path, others: Mapping[str, Maker]) -> Iterator[PostgresMaker]:
    """A server with a migrated database to copy."""
    with PostgresServer.running() as server:
        place = server.database(TEMPLATE, "template0")
        asyncio.run(PostgresBackend(place).store().migrate())
        yield PostgresMaker(server)


def postgres_at(place: str) -> PostgresBackend:
    """A database that is there, for another process."""
    return PostgresBackend(place)
