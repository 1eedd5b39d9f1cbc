"""What the suite needs of a kind of database beside the port, and the hands of its clocks."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from taskhub.ports import Store
from taskhub.store.steps.clock import Clock

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Hands:
    """The hands of both clocks; a test moves them in place of waiting."""

    now: datetime = START
    boottime: float = 1_000.0

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
        self.boottime += seconds

    def micros(self) -> int:
        """The time of day as stores keep it."""
        return (self.now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)

    def clock(self) -> Clock:
        """A clock that shows what the hands say."""
        return Clock(self.micros, lambda: self.boottime)


class Backend(Protocol):
    """What the suite needs of a kind of database beside the port."""

    @property
    def place(self) -> str:
        """Where it is, for another process."""

    @property
    def is_of_one_host(self) -> bool:
        """Whether all its owners live on one host, so that those of another boot are dead."""

    def store(self, hands: Hands | None = None, lock_timeout: float = 5.0) -> Store:
        """One more store on the database, not yet open; `hands` None: on the real clocks."""

    def held(self) -> AbstractContextManager[None]:
        """A program that knows nothing of us is in the midst of writing."""

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Everything in a table, in the order of its key."""

    def run(self, statement: str, *values: object) -> None:
        """Do what no write of the port does."""

    def spoil(self, statement: str, old: str, new: str) -> None:
        """Break a statement of every store made from now on: a control must see that."""


class Maker(Protocol):
    """Makes databases of one kind."""

    def empty(self, name: str, folder: Path) -> Backend:
        """One without a schema."""

    def migrated(self, name: str, folder: Path) -> Backend:
        """One with the schema in place: copied, for a migration costs a second."""
