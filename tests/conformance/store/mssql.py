"""An SQL Server under test, where there is one: its address is in TASKHUB_TEST_MSSQL."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pyodbc
from taskhub.store.migrations import NEWEST
from taskhub.store.mssql import MssqlStore
from taskhub.store.mssql.connection import SPEECH, Connection, Speech
from taskhub.store.mssql.texts import spoken
from taskhub.store.schema import metadata

from tests.conformance.store.backend import Hands, Maker

SERVER = os.environ.get("TASKHUB_TEST_MSSQL", "")
"""An ODBC connection string without a database: whoever it names may make some, and drop them."""

WANTED = ("READ_COMMITTED_SNAPSHOT ON", "ALLOW_SNAPSHOT_ISOLATION ON")
TABLES = sorted(metadata.tables)
PREFIX = f"taskhub-test-{os.getpid()}"


@dataclass(frozen=True)
class Database:
    """A database on the server, as a session connects to it."""

    name: str
    speech: Speech = SPEECH

    def connect(self, name: str, lock_timeout: float) -> Connection:
        """A connection with every setting."""
        return Connection(self.raw(f"APP={name};"), self.speech, None).ready(lock_timeout)

    def raw(self, more: str = "") -> pyodbc.Connection:
        """The driver's own."""
        text = f"{SERVER.rstrip(';')};DATABASE={{{self.name}}};{more}"
        return pyodbc.connect(text, autocommit=True, timeout=10)


@dataclass
class MssqlBackend:
    """A database on it."""

    place: str
    spoilt: list[tuple[str, str, str]] = field(default_factory=list)
    is_of_one_host: bool = False

    def store(self, hands: Hands | None = None, lock_timeout: float = 5.0) -> MssqlStore:
        """One more store on it."""
        clock = None if hands is None else hands.clock()
        store = MssqlStore(Database(self.place), lock_timeout=lock_timeout, clock=clock)
        for statement, old, new in self.spoilt:
            text, gone = store.statements[statement], spoken(old)
            assert gone in text, f"{statement} has no {gone}"
            store.statements[statement] = text.replace(gone, spoken(new))
        return store

    @contextmanager
    def held(self) -> Iterator[None]:
        """Every table is locked for writers."""
        with closing(Database(self.place).raw()) as connection:
            connection.execute("BEGIN TRANSACTION")
            for table in TABLES:
                text = f"SELECT COUNT(*) FROM [{table}] WITH (TABLOCKX, HOLDLOCK)"  # noqa: S608 - our own word
                connection.execute(text).fetchall()
            yield
            connection.execute("ROLLBACK TRANSACTION")

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Everything in a table."""
        with closing(Database(self.place).raw()) as connection:
            cursor = connection.execute(f"SELECT * FROM [{table}] ORDER BY 1")  # noqa: S608 - our own word
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def run(self, statement: str, *values: object) -> None:
        """Change something behind the store's back."""
        with closing(Database(self.place).raw()) as connection:
            connection.execute(spoken(statement), *values)

    def spoil(self, statement: str, old: str, new: str) -> None:
        """Break a statement."""
        self.spoilt.append((statement, old, new))


@dataclass
class MssqlMaker:
    """Makes a database for each name, and empties it for the next test."""

    numbers: Iterator[int] = field(default_factory=count)
    made: dict[str, str] = field(default_factory=dict)
    places: list[str] = field(default_factory=list)

    def empty(self, name: str, folder: Path) -> MssqlBackend:
        """Nothing in it."""
        place = f"{PREFIX}-{name}-{next(self.numbers)}"
        self.places.append(place)
        settings = [f"ALTER DATABASE [{place}] SET {one} WITH ROLLBACK IMMEDIATE" for one in WANTED]
        _on_server([f"CREATE DATABASE [{place}]", *settings])
        return MssqlBackend(place)

    def migrated(self, name: str, folder: Path) -> MssqlBackend:
        """One with the newest schema and no rows."""
        name = name.rstrip("0123456789")  # one life after another
        if name not in self.made:
            backend = self.empty(name, folder)
            asyncio.run(backend.store().migrate())
            self.made[name] = backend.place
        backend = MssqlBackend(self.made[name])
        for table in TABLES:
            backend.run(f"DELETE FROM {table}")  # noqa: S608 - our own word
        backend.run("DBCC CHECKIDENT ('Audit', RESEED, 0)")
        backend.run("UPDATE alembic_version SET version_num = ?", NEWEST)
        return backend


def _on_server(statements: Sequence[str]) -> None:
    with closing(Database("master").raw()) as connection:
        for statement in statements:
            connection.execute(statement)


@contextmanager
def mssql_server(folder: Path, others: Mapping[str, Maker]) -> Iterator[MssqlMaker]:
    """What makes databases there; they are dropped in the end."""
    maker = MssqlMaker()
    try:
        yield maker
    finally:
        for place in maker.places:
            alone = f"ALTER DATABASE [{place}] SET SINGLE_USER WITH ROLLBACK IMMEDIATE"
            _on_server([alone, f"DROP DATABASE [{place}]"])
