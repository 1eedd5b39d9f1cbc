"""The schema of a database: which one it is, and how it is brought up, by one at a time."""

from __future__ import annotations

import math

from taskhub.store import migrations
from taskhub.store.migrations.dialects import MIGRATING
from taskhub.store.migrations.lending import upgrade_on
from taskhub.store.mssql.connection import Connection
from taskhub.store.steps.servers import Session


def revision_in(session: Session[Connection]) -> str | None:
    """The revision of the database's schema; None when there is none. Raises Trouble."""
    return session.ask(_revision)


def _revision(connection: Connection) -> str | None:
    ((known,),) = connection.execute("SELECT OBJECT_ID('alembic_version', 'U')").fetchall()
    if known is None:
        return None
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if found is None else str(found[0])


def migrate(session: Session[Connection]) -> list[str]:
    """Run the missing steps in one transaction, return their names; raises SchemaNewer, Trouble."""
    return session.transaction(_upgrade)


def _upgrade(connection: Connection) -> list[str]:
    connection.patience = math.inf  # an index takes its time
    connection.execute("SET LOCK_TIMEOUT -1")
    connection.execute(MIGRATING)
    missing = migrations.missing_after(_revision(connection))
    if missing:
        upgrade_on(connection.driver, "mssql+pyodbc", use_insertmanyvalues=False)
    return missing
