"""The store on SQL Server or Azure SQL: how this kind of server is spoken to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from taskhub.errors import Trouble
from taskhub.store.mssql import migrating
from taskhub.store.mssql.conditions import MssqlConditions
from taskhub.store.mssql.connection import PATIENCE, Connection
from taskhub.store.mssql.session import Place, Session
from taskhub.store.mssql.texts import compiled, spoken, statements
from taskhub.store.mssql.transaction import MssqlTransaction
from taskhub.store.mssql.troubles import is_late
from taskhub.store.steps import servers
from taskhub.store.steps.clock import Clock
from taskhub.store.steps.rows import Row
from taskhub.store.steps.server_store import ServerStore

COMPILED = 256
"""Texts whose places of values are remembered: the statements, and some searches."""


class MssqlServer:
    """A database on a server that speaks T-SQL."""

    snapshot = "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION"

    def __init__(self, address: Place) -> None:
        """Read the statements."""
        self._address = address
        self.statements = statements()
        self._compiled = lru_cache(COMPILED)(compiled)

    def session(self, name: str, lock_timeout: float) -> Session:
        """A session of its own; a statement waits so many seconds for a lock of others."""
        return Session(self._address, name, lock_timeout=lock_timeout)

    def begun(self, connection: Connection) -> MssqlTransaction:
        """The transaction that was begun on this connection."""
        return MssqlTransaction(connection, self.statements, self._compiled)

    def spoken(self, text: str) -> str:
        """A piece of SQL that was made here, as the server takes it."""
        return spoken(text)

    def conditions(self, now: int) -> MssqlConditions:
        """What makes conditions of searches, as of this microsecond."""
        return MssqlConditions(now)

    def limit(self, connection: Connection, seconds: float | None) -> None:
        """How long a statement of this transaction may take; None: as long as any."""
        connection.patience = PATIENCE if seconds is None else seconds

    def is_late(self, trouble: Trouble) -> bool:
        """Whether a statement was ended since it took too long."""
        return is_late(trouble)

    def rows(self, connection: Connection, text: str, values: Mapping[str, object]) -> list[Row]:
        """What a statement finds."""
        plain, names = self._compiled(text)
        return connection.execute(plain, [values[name] for name in names]).fetchall()

    def revision_in(self, session: servers.Session[Connection]) -> str | None:
        """The revision of the schema; None when there is none. Raises Trouble."""
        return migrating.revision_in(session)

    def migrate(self, session: servers.Session[Connection]) -> list[str]:
        """Run the missing steps, return their names; raises SchemaNewer, Trouble."""
        return migrating.migrate(session)


class MssqlStore(ServerStore[Connection]):
    """The `Store` port on one database; any number of hosts and processes."""

    def __init__(
        self, address: Place, lock_timeout: float = 5.0, clock: Clock | None = None
    ) -> None:
        """Make ready; a write waits `lock_timeout` seconds for a lock, then raises StoreLocked."""
        super().__init__(MssqlServer(address), lock_timeout, clock)
