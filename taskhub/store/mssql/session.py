"""A session with the server: transactions that end, errors that have names, tries anew."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Protocol, TypeVar

import pyodbc

from taskhub.errors import StoreDown, StoreLocked
from taskhub.store.mssql.connection import Connection, Speech
from taskhub.store.mssql.driving import Frozen, Helper, Watch
from taskhub.store.mssql.troubles import BadData, Meaning
from taskhub.store.steps.breaker import Breaker

T = TypeVar("T")

TRIES = 6
"""How often a transaction is begun that the server gives up in favour of others."""

MOVES = 4
"""How often one is begun while the database is moved or woken up."""

CONNECTING = 90.0
"""Seconds after which no driver can still be about to connect."""

STOPPING = 3.0
"""Seconds that a call of the driver may still take once we want to end."""

LOOK = 0.1
"""Seconds between two looks at a call that lasts."""

SILENT = "The server did not answer in time."


class Place(Protocol):
    """Where a server is."""

    @property
    def speech(self) -> Speech:
        """How it is spoken to."""

    def connect(self, name: str, lock_timeout: float) -> Connection:
        """A connection with every setting that we need; raises pyodbc.Error, StoreDown."""


class Session:
    """Connects on first use and again after a failure; used by one thread at a time.

    All that it does is done by a helper, so that whoever asks never waits for ever.
    """

    def __init__(self, address: Place, name: str, *, lock_timeout: float) -> None:
        """Make ready; a statement waits `lock_timeout` seconds for a lock of others."""
        self._address, self._name, self._timeout = address, name, lock_timeout
        self._speech = address.speech
        self._connection: Connection | None = None
        self._helper: Helper | None = None
        self._connecting = Watch()
        self._breaker = Breaker()
        self._is_committing = False
        self._stopped_at = inf
        self.stop = threading.Event()
        self.retried = 0
        """How many transactions were begun anew."""

    def transaction(self, work: Callable[[Connection], T], begin: str = "") -> T:
        """`work` in one durable transaction; raises Trouble."""
        return self._tried(lambda: self._once(work, begin or self._speech.begin))

    def ask(self, work: Callable[[Connection], T]) -> T:
        """`work` without a transaction around it: one statement that reads; raises Trouble."""
        return self._tried(lambda: self._anew(lambda line: self._asked(line, work)))

    def _tried(self, work: Callable[[], T]) -> T:
        for attempt in range(TRIES):
            self._is_committing = False
            try:
                return self._helped(work)
            except (pyodbc.Error, StoreDown) as error:
                pause = self._pause(error, attempt)
                if pause is None:
                    raise self._named(error) from _cause(error)
            self.retried += 1
            self.stop.wait(pause)
        raise StoreLocked

    def connect(self) -> Connection:
        """The connection, made when there is none; raises StoreDown. Only within work."""
        if self._connection is None or self._connection.closed:
            self._breaker.refuse()
            self._connection = self._connected()
        return self._connection

    def cancel(self) -> None:
        """From any thread: what is being done ends with an error."""
        if not self.stop.is_set():
            self._stopped_at = monotonic()
            self.stop.set()
        if (connection := self._connection) is not None:
            connection.cancel()

    def close(self) -> None:
        """Give the connection back; may be called twice, and the session used again."""
        helper, connection = self._helper, self._connection
        if helper is not None:
            try:
                if connection is not None:
                    helper.do(connection.close, self._look)
            except Frozen:
                self._leave(helper)
            else:
                helper.end()
        self._helper = self._connection = None

    # ---- what the helper does

    def _once(self, work: Callable[[Connection], T], begin: str) -> T:
        connection = self._anew(lambda line: self._begun(line, begin))
        try:
            answer = work(connection)
            connection.rest(at_least=True)
            self._is_committing = True
            connection.execute(self._speech.commit)
            return answer
        except BaseException:
            self._undo(connection)
            raise
        finally:
            connection.rest()

    def _begun(self, connection: Connection, begin: str) -> Connection:
        try:
            connection.execute(begin)
        except BaseException:  # a second transaction within one that stayed would never be durable
            self._undo(connection)
            raise
        return connection

    def _asked(self, connection: Connection, work: Callable[[Connection], T]) -> T:
        try:
            return work(connection)
        except pyodbc.Error as error:
            if self._meaning(error) is Meaning.LATE:
                self._undo(connection)
            raise
        finally:
            connection.rest()

    def _anew(self, work: Callable[[Connection], T]) -> T:
        """`work`, once more where the connection was lost since it was used last.

        Only for what changes nothing: nobody knows whether it was done before.
        """
        is_new = self._connection is None
        connection = self.connect()
        try:
            return work(connection)
        except pyodbc.Error as error:
            is_lost = self._meaning(error) is Meaning.DOWN and connection is self._connection
            if is_new or not is_lost:
                raise
        return work(self.connect())

    def _undo(self, connection: Connection) -> None:
        """End the transaction; a connection that cannot even do that is of no more use."""
        if not connection.closed:
            try:
                connection.rest(at_least=True)
                connection.execute(self._speech.rollback)
            except (pyodbc.Error, BadData):
                connection.close()

    def _connected(self) -> Connection:
        watch = self._connecting
        try:
            with watch.over(CONNECTING):
                connection = self._address.connect(self._name, self._timeout)
        except pyodbc.Error as error:
            named = self._speech.codes.trouble(error)
            trouble = named if isinstance(named, StoreDown) else StoreDown()
            self._breaker.failed(trouble)
            raise trouble from error
        except StoreDown as trouble:
            self._breaker.failed(trouble)
            raise
        if watch is not self._connecting:  # nobody waits for it any more
            connection.close()
            raise StoreDown(SILENT)
        self._breaker.succeeded()
        return connection

    # ---- what happens where it is asked

    def _helped(self, work: Callable[[], T]) -> T:
        """Have a helper do it, and leave it behind when it does not return; raises StoreDown."""
        if self._helper is None:
            self._helper = Helper(f"{self._name}-driver")
        helper = self._helper
        try:
            return helper.do(work, self._look)
        except Frozen:
            self._leave(helper)
            trouble = StoreDown(SILENT)
            self._breaker.failed(trouble)
            raise trouble from None

    def _look(self) -> float:
        """How long nothing has to be looked at; raises Frozen."""
        connection = self._connection
        watches = [self._connecting, *([connection.watch] if connection is not None else [])]
        now, until = monotonic(), min(watch.until for watch in watches)
        if until < inf and self.stop.is_set():
            began = min(watch.began for watch in watches)
            until = min(until, max(began, self._stopped_at) + STOPPING)
        if now >= until:
            raise Frozen
        cut = connection.watch.cut if connection is not None else inf
        if connection is not None and now >= cut:
            connection.watch.cut = cut = inf
            connection.cancel()
        return max(0.001, min(until, cut, now + LOOK) - now)

    def _leave(self, helper: Helper) -> None:
        connection, self._connection, self._helper = self._connection, None, None
        self._connecting = Watch()
        if connection is not None:
            connection.closed = True
            helper.leave(connection.drop)
        else:
            helper.leave(bool)

    def _meaning(self, error: BaseException | None) -> Meaning | None:
        return None if error is None else self._speech.codes.meaning(error)

    def _pause(self, error: Exception, attempt: int) -> float | None:
        """How long to wait before the transaction is begun anew; None: it is not."""
        meaning = self._meaning(_cause(error))
        if meaning is Meaning.AGAIN:
            return random.uniform(0, 0.005 * (1 << attempt))  # noqa: S311 - a pause
        is_known_undone = not self._is_committing and not self.stop.is_set()
        if meaning is Meaning.MOVING and is_known_undone and attempt < MOVES:
            return random.uniform(0.1, 0.2) * (1 << attempt)  # noqa: S311 - a pause
        return None

    def _named(self, error: Exception) -> Exception:
        if isinstance(error, StoreDown):
            return error
        if self.stop.is_set() and self._meaning(error) is Meaning.LATE:
            return StoreLocked()
        return self._speech.codes.trouble(error) or error


def _cause(error: Exception) -> BaseException | None:
    return error.__cause__ if isinstance(error, StoreDown) else error
