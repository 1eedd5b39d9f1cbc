"""What the server's errors mean, in words that never hold an address or a password."""

from __future__ import annotations

import re

import psycopg
from psycopg import errors

from taskhub.errors import StoreDown, StoreFull, StoreLocked, Trouble
from taskhub.store.steps.batch import BAD_VALUES

BAD_DATA: tuple[type[Exception], ...] = (
    psycopg.DataError,
    psycopg.IntegrityError,
    errors.ProgramLimitExceeded,
    *BAD_VALUES,
)
"""Errors that one row's values can cause; then each write is tried alone."""

AGAIN = (errors.DeadlockDetected, errors.SerializationFailure)
"""Errors after which the whole transaction is simply done once more."""

LOCKED = (errors.LockNotAvailable,)
FULL = (errors.DiskFull,)
REFUSED = "The database refuses our user or password: look at [store]."
SENTENCES: dict[type[psycopg.Error], str] = {
    errors.InvalidPassword: REFUSED,
    errors.InvalidAuthorizationSpecification: REFUSED,
    errors.InvalidCatalogName: "The server has no such database: make it, or look at [store] url.",
    errors.InsufficientPrivilege: "The database does not allow our user to do this.",
    errors.ReadOnlySqlTransaction: "The server takes no writes now; it may be a standby.",
    errors.TooManyConnections: "The server has no free connections.",
}
WORDS = {
    r"password authentication|no password supplied|pg_hba\.conf|role \".*\" (does|is) not": REFUSED,
    r"database \".*\" does not exist": SENTENCES[errors.InvalidCatalogName],
    r"too many (clients|connections)|remaining connection slots": SENTENCES[
        errors.TooManyConnections
    ],
}
"""A connection that was not made has no code, only the server's words."""


def trouble_of(error: psycopg.Error) -> Trouble | None:
    """The trouble around us that the server speaks of, if it is one."""
    if isinstance(error, FULL):
        return StoreFull()
    if isinstance(error, LOCKED):
        return StoreLocked()
    if sentence := SENTENCES.get(type(error)) or _of_connecting(error):
        return StoreDown(sentence)
    is_around = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return StoreDown() if is_around else None


def _of_connecting(error: psycopg.Error) -> str:
    text = "" if error.sqlstate else str(error)
    return next((said for words, said in WORDS.items() if re.search(words, text)), "")
