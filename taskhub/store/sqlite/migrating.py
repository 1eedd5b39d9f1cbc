"""The schema of a SQLite file: which one it is, and how it is brought up, by one at a time."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from taskhub.errors import StoreDown
from taskhub.store import migrations
from taskhub.store.migrations.lending import upgrade_on
from taskhub.store.sqlite.session import Session, connect, make_file, trouble_of


def revision_in(path: Path) -> str | None:
    """The revision of a file's schema; None when there is none, or no file. Raises Trouble."""
    if not path.exists():
        return None
    try:
        with closing(connect(path)) as connection:
            return revision(connection)
    except sqlite3.Error as error:
        raise trouble_of(error) or StoreDown from error


def revision(connection: sqlite3.Connection) -> str | None:
    """The revision of the schema behind a connection; None when there is none."""
    known = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
    if connection.execute(known).fetchone() is None:
        return None
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if found is None else str(found[0])


def migrate(path: Path, lock_timeout: float) -> list[str]:
    """Run the missing steps in one transaction, return their names; raises Trouble, SchemaNewer."""
    try:
        make_file(path)
    except OSError as error:
        raise StoreDown from error
    session = Session(path, lock_timeout=lock_timeout)
    try:
        return session.transaction(upgrade)
    finally:
        session.close()


def upgrade(connection: sqlite3.Connection) -> list[str]:
    """Run the missing steps in the caller's transaction; their names."""
    missing = migrations.missing_after(revision(connection))
    if missing:
        upgrade_on(connection, "sqlite")
    return missing
