"""The store on a SQLite file; `SqliteStore` is all that others need to know."""

from taskhub.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
