"""A connection to the server: transactions that end, errors that have names, tries anew."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg import errors

from taskhub.errors import StoreDown, StoreLocked
from taskhub.store.postgres.troubles import AGAIN, trouble_of
from taskhub.store.steps.breaker import Breaker

T = TypeVar("T")
Row = tuple[Any, ...]

TRIES = 6
"""How often a transaction is begun that the server gives up in favour of others."""

WATCHED: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""How soon a connection is found dead behind which nobody answers any more."""

SILENT = "no answer in time"
UNREADABLE = "The address in [store] url is not understood."

TRANSACTION_MS = 15_000
"""How long a statement may go on, and a transaction may stand still, before the server ends it."""

PATIENCE = 20.0
"""Seconds after which a server that should have ended a statement is held for frozen."""

SETTINGS = {
    "client_encoding": "UTF8",
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    "statement_timeout": str(TRANSACTION_MS),
    "idle_in_transaction_session_timeout": str(TRANSACTION_MS),
}


class Connection(psycopg.Connection[Row]):
    """Waits for no answer without end: a frozen server takes what it is sent, and is silent."""

    patience: float = PATIENCE

    def wait(
        self, gen: Generator[Any, Any, T], interval: float = 0.1, timeout: float | None = None
    ) -> T:
        """Have one answer; the connection is of no more use when it does not come in time."""
        try:
            return super().wait(gen, interval, timeout or self.patience)
        except errors._WaitTimeout:  # noqa: SLF001 - it has no other name
            self.pgconn.finish()
            raise psycopg.OperationalError(SILENT) from None


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server is; the password stands apart, so that the address may be shown."""

    url: str
    password: str = ""

    def __repr__(self) -> str:
        return "Address(...)"

    def connect(self, name: str, lock_timeout: float) -> Connection:
        """A connection with every setting that we need; raises psycopg.Error."""
        try:
            connection = Connection.connect(
                self.url,
                autocommit=True,
                application_name=name,
                password=self.password or None,
                **WATCHED,
            )
        except psycopg.ProgrammingError:
            raise StoreDown(UNREADABLE) from None  # the driver would repeat it
        try:
            wanted = SETTINGS | {"lock_timeout": str(max(1, int(lock_timeout * 1000)))}
            parts = ", ".join(["set_config(%s, %s, false)"] * len(wanted))
            values = [word for pair in wanted.items() for word in pair]
            connection.execute(f"SELECT {parts}", values)
        except BaseException:
            connection.close()
            raise
        return connection


class Session:
    """Connects on first use and again after a failure; used by one thread at a time."""

    def __init__(self, address: Address, name: str, *, lock_timeout: float) -> None:
        """Make ready; a statement waits `lock_timeout` seconds for a lock of others."""
        self._address, self._name, self._timeout = address, name, lock_timeout
        self._connection: Connection | None = None
        self._breaker = Breaker()
        self.stop = threading.Event()
        self.retried = 0
        """How many transactions were begun anew."""

    def transaction(self, work: Callable[[Connection], T], begin: str = "BEGIN") -> T:
        """`work` in one durable transaction; raises Trouble."""
        for attempt in range(TRIES):
            try:
                return self._once(work, begin)
            except AGAIN:
                self.retried += 1
                self.stop.wait(random.uniform(0, 0.005 * 2**attempt))  # noqa: S311 - a pause
            except psycopg.Error as error:
                if self.stop.is_set() and isinstance(error, errors.QueryCanceled):
                    raise StoreLocked from error
                raise self._named(error) from error
        raise StoreLocked

    def ask(self, work: Callable[[Connection], T]) -> T:
        """`work` without a transaction around it: one statement that reads; raises Trouble."""
        try:
            return self._anew(work)
        except psycopg.Error as error:
            raise self._named(error) from error

    def _anew(self, work: Callable[[Connection], T]) -> T:
        """`work`, once more where the connection was lost since it was used last.

        Only for what changes nothing: nobody knows whether it was done before.
        """
        is_new = self._connection is None
        connection = self.connect()
        try:
            return work(connection)
        except psycopg.OperationalError:
            if is_new or not connection.closed:
                raise
        return work(self.connect())

    def connect(self) -> Connection:
        """The connection, made when there is none; raises StoreDown."""
        if self._connection is None or self._connection.closed:
            self._breaker.refuse()
            self._connection = self._connected()
        return self._connection

    def _connected(self) -> Connection:
        try:
            connection = self._address.connect(self._name, self._timeout)
        except psycopg.Error as error:
            named = trouble_of(error)
            trouble = named if isinstance(named, StoreDown) else StoreDown()
            self._breaker.failed(trouble)
            raise trouble from error
        self._breaker.succeeded()
        return connection

    def cancel(self) -> None:
        """From any thread: what is being done ends with an error."""
        self.stop.set()
        if (connection := self._connection) is not None:
            with suppress(psycopg.Error):
                connection.cancel_safe(timeout=1.0)

    def close(self) -> None:
        """Give the connection back; may be called twice, and the session used again."""
        connection, self._connection = self._connection, None
        with suppress(psycopg.Error):
            if connection is not None:
                connection.close()

    def _once(self, work: Callable[[Connection], T], begin: str) -> T:
        self._anew(lambda connection: connection.execute(begin))
        connection = self.connect()
        try:
            answer = work(connection)
            connection.execute("COMMIT")
            return answer
        except BaseException:
            with suppress(psycopg.Error):
                connection.execute("ROLLBACK")
            raise

    def _named(self, error: psycopg.Error) -> Exception:
        trouble = trouble_of(error)
        if isinstance(trouble, StoreDown) and not isinstance(error, errors.QueryCanceled):
            self.close()  # perhaps another server takes its place
        return trouble or error
