"""The schema of a SQLite file: which one it is, and how it is brought up, by one at a time."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from taskhub.errors import SchemaNewer, StoreDown
from taskhub.store import migrations
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
        _run_alembic(connection)
    return missing


def _missing(found: str | None) -> list[str]:
    state = migrations.state(found)
    if found not in (None, *migrations.REVISIONS):
        raise SchemaNewer
    return list(state.missing)


def _run_alembic(connection: sqlite3.Connection) -> None:
    """Lend our connection to SQLAlchemy; its imports cost half a second, so they stand here."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

    from taskhub.store.migrations.upgrade import upgrade

    lent = Lent(connection)
    engine = create_engine("sqlite://", creator=lambda: lent, poolclass=StaticPool)
    with engine.connect() as connected:
        upgrade(connected)


class Lent:
    """A connection in other hands: it may be used, but we alone end its transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Lend `connection`."""
        self._connection = connection

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    def commit(self) -> None:
        """Not now."""

    def rollback(self) -> None:
        """Not now: the error that asks for it comes to us as well."""

    def close(self) -> None:
        """It is not theirs."""
