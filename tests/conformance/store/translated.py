"""SQL Server's statements under test, on PostgreSQL: each is translated by tests/tsql.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import psycopg
from psycopg import errors
from taskhub.errors import Trouble
from taskhub.store.mssql.connection import Answer
from taskhub.store.mssql.store import MssqlServer
from taskhub.store.mssql.texts import spoken
from taskhub.store.mssql.troubles import BadData
from taskhub.store.postgres import migrating
from taskhub.store.postgres.session import Address, Session
from taskhub.store.postgres.troubles import BAD_DATA
from taskhub.store.steps.server_store import ServerStore

from tests import tsql
from tests.conformance.store.backend import Hands, Maker
from tests.conformance.store.postgres import PostgresBackend

T = TypeVar("T")
SAVEPOINTS = {
    "SAVE TRANSACTION": "SAVEPOINT",
    "ROLLBACK TRANSACTION": "ROLLBACK TO",
}


@lru_cache(512)
def _steps(text: str) -> list[tsql.Step]:
    return tsql.translated(text)


class Translating:
    """A connection that is spoken to in T-SQL."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def execute(self, text: str, values: Sequence[object] = ()) -> Answer:
        """As the connection to an SQL Server does."""
        try:
            return self._done(text, values)
        except BAD_DATA as error:
            raise BadData(str(error)) from error

    def _done(self, text: str, values: Sequence[object]) -> Answer:
        for there, here in SAVEPOINTS.items():
            if text.startswith(there):
                self.connection.execute(text.replace(there, here).encode())
                return Answer([], 0)
        named = {f"p{place}": value for place, value in enumerate(values)}
        rows: list[tuple[Any, ...]] = []
        count = 0
        for step in _steps(text):
            with psycopg.ClientCursor(self.connection) as cursor:
                cursor.execute(step.text.encode(), named)
                if step.answers:
                    rows = [tuple(map(_plain, row)) for row in cursor.fetchall()]
                if step.counts and cursor.rowcount > 0:
                    count += cursor.rowcount
        return Answer(rows, count)


def _plain(value: object) -> object:
    """A sum of whole numbers is one here."""
    return int(value) if isinstance(value, Decimal) else value


class TranslatingSession:
    """A session on PostgreSQL that lends connections which are spoken to in T-SQL."""

    def __init__(self, session: Session) -> None:
        self.session, self.stop = session, session.stop

    @property
    def retried(self) -> int:
        """How many transactions were begun anew."""
        return self.session.retried

    def transaction(self, work: Callable[[Any], T], begin: str = "BEGIN") -> T:
        """`work` in one transaction."""
        return self.session.transaction(lambda one: work(Translating(one)), begin)

    def ask(self, work: Callable[[Any], T]) -> T:
        """`work` without one."""
        return self.session.ask(lambda one: work(Translating(one)))

    def cancel(self) -> None:
        """End what is being done."""
        self.session.cancel()

    def close(self) -> None:
        """Give the connection back."""
        self.session.close()


class TranslatedServer(MssqlServer):
    """PostgreSQL, to which all that the store says is translated."""

    snapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

    def __init__(self, place: str) -> None:
        super().__init__(cast("Any", None))
        self._place = place

    def session(self, name: str, lock_timeout: float) -> Any:
        return TranslatingSession(Session(Address(self._place), name, lock_timeout=lock_timeout))

    def limit(self, connection: Any, seconds: float | None) -> None:
        limit = "15s" if seconds is None else f"{int(seconds * 1000)}ms"
        connection.connection.execute(f"SET LOCAL statement_timeout = '{limit}'".encode())

    def is_late(self, trouble: Trouble) -> bool:
        return isinstance(trouble.__cause__, errors.QueryCanceled)

    def revision_in(self, session: Any) -> str | None:
        return migrating.revision_in(session.session)

    def migrate(self, session: Any) -> list[str]:
        return migrating.migrate(session.session)


class TranslatedBackend(PostgresBackend):
    """A database on a PostgreSQL server, made by its migrations."""

    def store(self, hands: Hands | None = None, lock_timeout: float = 5.0) -> Any:
        """One more store on it, with the statements of the one for SQL Server."""
        clock = None if hands is None else hands.clock()
        store = ServerStore(TranslatedServer(self.place), lock_timeout, clock)
        for statement, old, new in self.spoilt:
            text, gone = store.statements[statement], spoken(old)
            assert gone in text, f"{statement} has no {gone}"
            store.statements[statement] = text.replace(gone, spoken(new))
        return store


@dataclass
class TranslatedMaker:
    """Databases of a PostgreSQL server, with what its language lacks."""

    maker: Maker

    def empty(self, name: str, folder: Path) -> TranslatedBackend:
        """Nothing in it."""
        return TranslatedBackend(self.maker.empty(name, folder).place)

    def migrated(self, name: str, folder: Path) -> TranslatedBackend:
        """One with the newest schema and no rows."""
        place = self.maker.migrated(name, folder).place
        connecting = closing(psycopg.connect(place, autocommit=True))
        with connecting as connection, suppress(errors.DuplicateSchema):
            connection.execute(tsql.HELPERS.encode())
        return TranslatedBackend(place)


@contextmanager
def on_postgres(folder: Path, others: Mapping[str, Maker]) -> Iterator[TranslatedMaker]:
    """The server that the tests of PostgreSQL have."""
    yield TranslatedMaker(others["postgres"])
