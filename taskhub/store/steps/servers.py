"""What a store on a server must know of its kind of server; all other steps are the same."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from taskhub.errors import Trouble
from taskhub.store.steps.batch import Transaction
from taskhub.store.steps.plan import Conditions
from taskhub.store.steps.rows import Row

T = TypeVar("T")
C = TypeVar("C")
C_co = TypeVar("C_co", covariant=True)


class Session(Protocol[C_co]):
    """A connection that is made when it is needed, and used by one thread at a time."""

    stop: threading.Event
    retried: int

    def transaction(self, work: Callable[[C_co], T], begin: str = ...) -> T:
        """`work` in one durable transaction, which may begin in its own way; raises Trouble."""

    def ask(self, work: Callable[[C_co], T]) -> T:
        """`work` without a transaction around it; raises Trouble."""

    def cancel(self) -> None:
        """From any thread: what is being done ends with an error."""

    def close(self) -> None:
        """Give the connection back; it may be used again."""


class Numbering(Transaction, Protocol):
    """A transaction whose events get their numbers at its end."""

    def end(self) -> None:
        """The last step before the commit."""


class Server(Protocol[C]):
    """How a kind of server is spoken to."""

    statements: dict[str, str]
    snapshot: str
    """What begins a transaction that only reads, and sees one moment."""

    def session(self, name: str, lock_timeout: float) -> Session[C]:
        """A session of its own; a statement waits so many seconds for a lock of others."""

    def begun(self, connection: C) -> Numbering:
        """The transaction that was begun on this connection."""

    def spoken(self, text: str) -> str:
        """A piece of SQL that was made here, as the server takes it."""

    def conditions(self, now: int) -> Conditions:
        """What makes conditions of searches, as of this microsecond."""

    def limit(self, connection: C, seconds: float | None) -> None:
        """How long a statement of this transaction may take; None: as long as any."""

    def is_late(self, trouble: Trouble) -> bool:
        """Whether a statement was ended since it took too long."""

    def rows(self, connection: C, text: str, values: Mapping[str, object]) -> list[Row]:
        """What a statement finds."""

    def revision_in(self, session: Session[C]) -> str | None:
        """The revision of the schema; None when there is none. Raises Trouble."""

    def migrate(self, session: Session[C]) -> list[str]:
        """Run the missing steps, return their names; raises SchemaNewer, Trouble."""
