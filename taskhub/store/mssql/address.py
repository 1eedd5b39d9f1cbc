"""Where the server is, and how a connection to it is made."""

from __future__ import annotations

from dataclasses import dataclass

from taskhub.store.mssql.session import SPEECH, Connection, Speech


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server is; the password stands apart, so that the address may be shown."""

    url: str
    password: str = ""
    speech: Speech = SPEECH

    def __repr__(self) -> str:
        return "Address(...)"

    def connect(self, name: str, lock_timeout: float) -> Connection:
        """A connection with every setting that we need; raises pyodbc.Error, StoreDown."""
        raise NotImplementedError
