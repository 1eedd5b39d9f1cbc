"""A SQLite file as one end of a copy: nobody else may have it open meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from taskhub.errors import CopyFailed, StoreDown, StoreLocked
from taskhub.kernel.clock import boot_id, boottime
from taskhub.store.moving.side import Unfit
from taskhub.store.moving.tables import (
    Key,
    Row,
    Table,
    counting,
    inserting,
    numbering,
    reading,
)
from taskhub.store.sqlite.migrating import revision, upgrade
from taskhub.store.sqlite.session import connect, make_file, trouble_of


class SqliteSide:
    """One file, locked as long as it is open: SQLite itself lets nobody else in."""

    def __init__(self, path: Path, lock_timeout: float) -> None:
        """Make ready; whoever is just about to close the file has `lock_timeout` seconds."""
        self._path, self._timeout = path.resolve(), lock_timeout
        self._connection: sqlite3.Connection | None = None

    @property
    def name(self) -> str:
        """The file."""
        return str(self._path)

    def is_there(self) -> bool:
        """Whether the file is."""
        return self._path.exists()

    def open(self) -> None:
        """Take the file for us alone: each connection of others, even an idle one, forbids it."""
        try:
            make_file(self._path)
        except OSError as error:
            raise StoreDown from error
        with _named(self.name):
            self._connection = connect(self._path)
            self._connection.execute(f"PRAGMA busy_timeout = {int(self._timeout * 1000)}")
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("ROLLBACK")

    def hold(self) -> None:
        """It is ours already."""

    def close(self) -> None:
        """Let others in."""
        connection, self._connection = self._connection, None
        with suppress(sqlite3.Error):
            if connection is not None:
                connection.close()

    def revision(self) -> str | None:
        """Which schema is there."""
        with _named(self.name):
            return revision(self._open())

    def migrate(self) -> list[str]:
        """Bring the schema to the newest revision."""
        with _named(self.name):
            self._open().execute("PRAGMA journal_mode = WAL")  # for good, and quicker from now on
        with self._transaction() as connection:
            return upgrade(connection)

    def leases(self) -> tuple[int, float]:
        """Those of this boot; by then all others are free."""
        now = boottime()
        held = (
            "SELECT count(*), max(LeaseUntil) FROM Tasks WHERE Status = 'Processing' "
            "AND LeaseUntil > ? AND substr(LeaseOwner, 1, length(?)) = ?"
        )
        boot = boot_id()
        count, until = self._ask(held, (now, boot, boot))[0]
        return count, until - now if count else 0.0

    def names(self) -> set[str]:
        """The tables that are there."""
        rows = self._ask("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {row[0] for row in rows}

    def count(self, table: Table) -> int:
        """How many rows it has."""
        return int(self._ask(counting(table))[0][0])

    def last(self, table: Table) -> int:
        """The highest number."""
        return int(self._ask(numbering(table))[0][0] or 0)

    def rows(self, table: Table, after: Key | None = None) -> Iterator[Row]:
        """Its rows, read one by one."""
        text = reading(table) if after is None else reading(table, _places(table.key))
        with _named(self.name):
            yield from self._open().execute(text, after or ())

    def notes(self) -> dict[str, str]:
        """What a copy has noted here."""
        return dict(self._ask("SELECT Name, Value FROM Copying"))

    def begin(self, revision: str, notes: Mapping[str, str]) -> None:
        """Make the table of notes."""
        with self._transaction() as connection:
            connection.execute("CREATE TABLE Copying (Name TEXT PRIMARY KEY, Value TEXT NOT NULL)")
            connection.executemany("INSERT INTO Copying VALUES (?, ?)", notes.items())
            connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))

    def put(self, table: Table, rows: Sequence[Row], note: str) -> None:
        """Insert rows and note how far that is."""
        with self._transaction() as connection:
            try:
                connection.executemany(inserting(table, _places(table.columns)), rows)
            except (sqlite3.IntegrityError, sqlite3.DataError, OverflowError) as error:
                raise Unfit(str(error)) from None
            connection.execute("REPLACE INTO Copying VALUES (?, ?)", (table.name, note))

    def end(self, revision: str) -> None:
        """The notes go; numbers follow the last row by themselves."""
        with self._transaction() as connection:
            connection.execute("DROP TABLE Copying")
            connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))

    def _ask(self, text: str, values: Sequence[object] = ()) -> list[Row]:
        with _named(self.name):
            return self._open().execute(text, values).fetchall()

    def _open(self) -> sqlite3.Connection:
        assert self._connection is not None, "the side is not open"
        return self._connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._open()
        with _named(self.name):
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


def _places(names: Sequence[str]) -> str:
    return ", ".join("?" * len(names))


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Raises what SQLite's errors mean."""
    try:
        yield
    except sqlite3.Error as error:
        trouble = trouble_of(error)
        if isinstance(trouble, StoreLocked):
            who = f"something has it open: stop TaskHub first (`fuser -v {path}` shows who)"
            raise CopyFailed(f"{path}: {who}") from None
        raise trouble or CopyFailed(f"{path}: {error}") from error
