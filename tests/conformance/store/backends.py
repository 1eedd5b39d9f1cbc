"""The back ends under test: how to make an empty database, open it, and reach behind its port."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskhub.store.sqlite import SqliteStore

from tests.conformance.store.backend import Backend, Hands, Maker
from tests.conformance.store.postgres import postgres_at, postgres_server
from tests.postgres_server import IS_HERE


@dataclass
class SqliteBackend:
    """A file."""

    path: Path
    spoilt: list[tuple[str, str, str]] = field(default_factory=list)
    is_of_one_host: bool = True

    @property
    def place(self) -> str:
        """The file."""
        return str(self.path)

    @contextmanager
    def held(self) -> Iterator[None]:
        """A transaction that writes."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")

    def store(self, hands: Hands | None = None, lock_timeout: float = 5.0) -> SqliteStore:
        """One more store on the file."""
        clock = None if hands is None else hands.clock()
        store = SqliteStore(self.path, lock_timeout=lock_timeout, clock=clock)
        for statement, old, new in self.spoilt:
            text = store._statements.text
            assert old in text[statement], f"{statement} has no {old}"
            text[statement] = text[statement].replace(old, new)
        return store

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Everything in a table."""
        with closing(sqlite3.connect(self.path)) as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute(f"SELECT * FROM {table} ORDER BY 1")  # noqa: S608 - our own word
            return [dict(row) for row in rows]

    def run(self, statement: str, *values: object) -> None:
        """Change something behind the store's back."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute(statement, values)

    def spoil(self, statement: str, old: str, new: str) -> None:
        """Break a statement."""
        self.spoilt.append((statement, old, new))


@dataclass
class SqliteMaker:
    """Copies one migrated file."""

    template: Path

    def empty(self, name: str, folder: Path) -> SqliteBackend:
        """No file yet."""
        return SqliteBackend(folder / "new" / f"{name}.db")

    def migrated(self, name: str, folder: Path) -> SqliteBackend:
        """A copy."""
        return SqliteBackend(Path(shutil.copyfile(self.template, folder / f"{name}.db")))


@contextmanager
def sqlite_files(folder: Path) -> Iterator[SqliteMaker]:
    """Makes files."""
    template = folder / "template.db"
    asyncio.run(SqliteBackend(template).store().migrate())
    yield SqliteMaker(template)


def sqlite_at(place: str) -> SqliteBackend:
    """A file that is there, for another process."""
    return SqliteBackend(Path(place))


@dataclass(frozen=True)
class Kind:
    """A kind of database."""

    begin: Callable[[Path], AbstractContextManager[Maker]]
    """Makes ready what all its tests share, in a folder of its own."""
    at: Callable[[str], Backend]
    """The database in this place, as another process finds it."""
    share: float = 1.0
    """How much of what is drawn at random is lived through: a server takes longer than a file."""


BACKENDS: dict[str, Kind] = {"sqlite": Kind(sqlite_files, sqlite_at)} | (
    {"postgres": Kind(postgres_server, postgres_at, 0.2)} if IS_HERE else {}
)
"""To add a back end: a class like the ones above, and a word here."""
