"""The schema of a SQLite file: which one it is, and how it is brought up, by one at a time."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from taskhub.errors import SchemaNewer, StoreDown
from taskhub.store import migrations
from taskhub.store.migrations.lending import upgrade_on
from taskhub.store.sqlite.session import Session, connect, make_file, trouble_of


def revision_in(path: Path) -> str | None:
    """The revision of a file's schema; None when there is none, or no file. Raises Trouble."""
    if not path.exists():
        return None
    try:
        with closing(connect(path)) as connection:
            return _revision(connection)
    except sqlite3.Error as error:
        raise trouble_of(error) or StoreDown from error


def _revision(connection: sqlite3.Connection) -> str | None:
    known = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
    if connection.execute(known).fetchone() is None:
        return None
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if found is None else str(found[0])


def migrate(path: Path, lock_timeout: float) -> list[str]:
    """Run the missing steps in one transaction, return their names; raises SchemaNewer, Trouble."""
    try:
        make_file(path)
    except OSError as error:
        raise StoreDown from error
    session = Session(path, lock_timeout=lock_timeout)
    try:
        return session.transaction(_upgrade)
    finally:
        session.close()


def _upgrade(connection: sqlite3.Connection) -> list[str]:
    missing = _missing(_revision(connection))
    if missing:
        upgrade_on(connection, "sqlite")
    return missing


def _missing(found: str | None) -> list[str]:
    state = migrations.state(found)
    if found not in (None, *migrations.REVISIONS):
        raise SchemaNewer
    return list(state.missing)
