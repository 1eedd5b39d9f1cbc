"""A connection in Alembic's hands: it may be used, but whoever lends it ends its transaction."""

from __future__ import annotations

from typing import Any


def upgrade_on(connection: object, dialect: str, **options: Any) -> None:
    """Run the missing steps on it; the imports cost half a second, so they stand here."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

    from taskhub.store.migrations.upgrade import upgrade

    lent = Lent(connection)
    engine = create_engine(f"{dialect}://", creator=lambda: lent, poolclass=StaticPool, **options)
    with engine.connect() as connected:
        upgrade(connected)


class Lent:
    """Does all that the connection does, and ends nothing."""

    def __init__(self, connection: object) -> None:
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
