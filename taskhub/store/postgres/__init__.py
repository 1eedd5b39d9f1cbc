"""The store on a PostgreSQL server: several hosts, several writers."""

from taskhub.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
