"""What a copy needs of a back end: one database, held so that nobody else uses it meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from taskhub.store.moving.tables import Key, Row, Table


class Side(Protocol):
    """One end of a copy; used by one thread. All of it raises Trouble, and CopyFailed."""

    @property
    def name(self) -> str:
        """What a person calls it; never with a password."""

    def is_there(self) -> bool:
        """Whether there is such a database at all; makes none."""

    def open(self) -> None:
        """Connect, make what can be made; raises CopyFailed when somebody else is connected."""

    def hold(self) -> None:
        """Let nobody write until `close`: what is read from now on is one moment."""

    def close(self) -> None:
        """Let go of it; may be called twice, and `open` after it."""

    def revision(self) -> str | None:
        """Which schema is there; None: none."""

    def migrate(self) -> list[str]:
        """Bring the schema to the newest revision; the steps."""

    def leases(self) -> tuple[int, float]:
        """How many leases are not over, and in how many seconds the last of them is."""

    def names(self) -> set[str]:
        """The tables that are there."""

    def count(self, table: Table) -> int:
        """How many rows it has."""

    def last(self, table: Table) -> int:
        """The highest number of a table whose key is counted; 0 when it is empty."""

    def rows(self, table: Table, after: Key | None = None) -> Iterator[Row]:
        """Its rows in the order of the key, those behind `after`; one at a time in memory."""

    def notes(self) -> dict[str, str]:
        """What a copy has noted here."""

    def begin(self, revision: str, notes: Mapping[str, str]) -> None:
        """Make the table of notes with these in it, and have `revision` for that of the schema."""

    def put(self, table: Table, rows: Sequence[Row], note: str) -> None:
        """Insert rows and note how far that is, in one durable transaction; raises Unfit."""

    def end(self, revision: str) -> None:
        """Numbers go on after the last; the notes go, and the schema is `revision` again."""


class Unfit(Exception):
    """A row has a value that this database does not take; its words are the database's."""
