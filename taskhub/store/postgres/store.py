"""The store on a PostgreSQL server: how this kind of server is spoken to."""

from __future__ import annotations

from collections.abc import Mapping

from psycopg import errors

from taskhub.errors import Trouble
from taskhub.store.postgres import migrating
from taskhub.store.postgres.conditions import PgConditions
from taskhub.store.postgres.session import Address, Connection, Session
from taskhub.store.postgres.texts import spoken, statements
from taskhub.store.postgres.transaction import PgTransaction
from taskhub.store.steps import servers
from taskhub.store.steps.clock import Clock
from taskhub.store.steps.rows import Row
from taskhub.store.steps.server_store import ServerStore


class PgServer:
    """A database on a PostgreSQL server."""

    snapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

    def __init__(self, address: Address) -> None:
        """Read the statements."""
        self._address = address
        self.statements = statements()

    def session(self, name: str, lock_timeout: float) -> Session:
        """A session of its own; a statement waits so many seconds for a lock of others."""
        return Session(self._address, name, lock_timeout=lock_timeout)

    def begun(self, connection: Connection) -> PgTransaction:
        """The transaction that was begun on this connection."""
        return PgTransaction(connection, self.statements)

    def spoken(self, text: str) -> str:
        """A piece of SQL that was made here, as the server takes it."""
        return spoken(text)

    def conditions(self, now: int) -> PgConditions:
        """What makes conditions of searches, as of this microsecond."""
        return PgConditions(now)

    def limit(self, connection: Connection, seconds: float | None) -> None:
        """How long a statement of this transaction may take; None: as long as any."""
        if seconds is not None:
            limit = str(int(seconds * 1000))
            connection.execute("SELECT set_config('statement_timeout', %s, true)", [limit])

    def is_late(self, trouble: Trouble) -> bool:
        """Whether a statement was ended since it took too long."""
        return isinstance(trouble.__cause__, errors.QueryCanceled)

    def rows(self, connection: Connection, text: str, values: Mapping[str, object]) -> list[Row]:
        """What a statement finds."""
        return connection.execute(text, values).fetchall()

    def revision_in(self, session: servers.Session[Connection]) -> str | None:
        """The revision of the schema; None when there is none. Raises Trouble."""
        return migrating.revision_in(session)

    def migrate(self, session: servers.Session[Connection]) -> list[str]:
        """Run the missing steps, return their names; raises SchemaNewer, Trouble."""
        return migrating.migrate(session)


class PostgresStore(ServerStore[Connection]):
    """The `Store` port on one database; any number of hosts and processes."""

    def __init__(
        self, address: Address, lock_timeout: float = 5.0, clock: Clock | None = None
    ) -> None:
        """Make ready; a write waits `lock_timeout` seconds for a lock, then raises StoreLocked."""
        super().__init__(PgServer(address), lock_timeout, clock)
