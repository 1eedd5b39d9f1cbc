"""The schema of a database: which one it is, and how it is brought up, by one at a time."""

from __future__ import annotations

from taskhub.store import migrations
from taskhub.store.migrations.lending import upgrade_on
from taskhub.store.postgres.session import Connection
from taskhub.store.postgres.transaction import NUMBERS
from taskhub.store.steps.servers import Session

FOREVER = 86_400.0
MIGRATING = NUMBERS + 1
"""The advisory lock of whoever migrates."""


def revision_in(session: Session[Connection]) -> str | None:
    """The revision of the database's schema; None when there is none. Raises Trouble."""
    return session.ask(revision)


def revision(connection: Connection) -> str | None:
    """The revision of the schema behind a connection; None when there is none."""
    known = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
    if known is None or known[0] is None:
        return None
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if found is None else str(found[0])


def migrate(session: Session[Connection]) -> list[str]:
    """Run the missing steps in one transaction, return their names; raises SchemaNewer, Trouble."""
    return session.transaction(upgrade)


def upgrade(connection: Connection) -> list[str]:
    """Run the missing steps in the caller's transaction; their names."""
    connection.patience = FOREVER
    for limit in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
        connection.execute("SELECT set_config(%s, '0', true)", [limit])  # an index takes its time
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [MIGRATING])
    missing = migrations.missing_after(revision(connection))
    if missing:
        # It would want to look at the connection itself to learn of a type that we do not use.
        upgrade_on(connection, "postgresql+psycopg", use_native_hstore=False)
    return missing
