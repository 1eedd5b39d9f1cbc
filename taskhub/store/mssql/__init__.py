"""The store on SQL Server or Azure SQL: several hosts, several writers."""

from taskhub.store.mssql.store import MssqlStore

__all__ = ["MssqlStore"]
