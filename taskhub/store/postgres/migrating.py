"""The schema of a database: which one it is, and how it is brought up, by one at a time."""

from __future__ import annotations

from taskhub.errors import SchemaNewer
from taskhub.store import migrations
from taskhub.store.postgres.session import Connection, Session
from taskhub.store.postgres.transaction import NUMBERS

FOREVER = 86_400.0
MIGRATING = NUMBERS + 1
"""The advisory lock of whoever migrates."""


def revision_in(session: Session) -> str | None:
    """The revision of the database's schema; None when there is none. Raises Trouble."""
    return session.ask(_revision)


def _revision(connection: Connection) -> str | None:
    known = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
    if known is None or known[0] is None:
        return None
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if found is None else str(found[0])


def migrate(session: Session) -> list[str]:
    """Run the missing steps in one transaction, return their names; raises SchemaNewer, Trouble."""
    return session.transaction(_upgrade)


def _upgrade(connection: Connection) -> list[str]:
    connection.patience = FOREVER
    for limit in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
        connection.execute("SELECT set_config(%s, '0', true)", [limit])  # an index takes its time
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [MIGRATING])
    found = _revision(connection)
    if found not in (None, *migrations.REVISIONS):
        raise SchemaNewer
    missing = list(migrations.state(found).missing)
    if missing:
        _run_alembic(connection)
    return missing


def _run_alembic(connection: Connection) -> None:
    """Lend our connection to SQLAlchemy; its imports cost half a second, so they stand here."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

    from taskhub.store.migrations.upgrade import upgrade

    lent = Lent(connection)
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: lent,
        poolclass=StaticPool,
        use_native_hstore=False,  # it would want to look at the connection itself
    )
    with engine.connect() as connected:
        upgrade(connected)


class Lent:
    """A connection in other hands: it may be used, but we alone end its transaction."""

    def __init__(self, connection: Connection) -> None:
        """Lend `connection`."""
        object.__setattr__(self, "_connection", connection)

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name != "autocommit":
            setattr(self._connection, name, value)

    def commit(self) -> None:
        """Not now."""

    def rollback(self) -> None:
        """Not now: the error that asks for it comes to us as well."""

    def close(self) -> None:
        """It is not theirs."""
