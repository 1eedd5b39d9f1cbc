"""The back ends under test: how to make an empty database, open it, and reach behind its port."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from taskhub.ports import Store
from taskhub.store.sqlite import SqliteStore
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


class Backend(Protocol):
    """What the suite needs of a kind of database beside the port."""

    def store(self, hands: Hands | None = None, lock_timeout: float = 5.0) -> Store:
        """One more store on the database, not yet open; `hands` None: on the real clocks."""

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Everything in a table, in the order of its key."""

    def run(self, statement: str, *values: object) -> None:
        """Do what no write of the port does."""

    def spoil(self, statement: str, old: str, new: str) -> None:
        """Break a statement of every store made from now on: a control must see that."""


@dataclass
class SqliteBackend:
    """A file; `template` is one that was migrated before, so that a test need not."""

    path: Path
    template: Path | None = None
    spoilt: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with the schema in place, where there is a template."""
        if self.template is not None:
            shutil.copyfile(self.template, self.path)

    def store(self, hands: Hands | None = None, lock_timeout: float = 5.0) -> SqliteStore:
        """One more store on the file."""
        clock = Clock() if hands is None else Clock(hands.micros, _boottime_of(hands))
        store = SqliteStore(self.path, lock_timeout=lock_timeout, clock=clock)
        for statement, old, new in self.spoilt:
            text = store._statements.text
            assert old in text[statement], f"{statement} has no {old}"
            text[statement] = text[statement].replace(old, new)
        return store

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Everything in a table."""
        with closing(sqlite3.connect(self.path)) as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute(f"SELECT * FROM {table} ORDER BY 1")  # noqa: S608 - our own word
            return [dict(row) for row in rows]

    def run(self, statement: str, *values: object) -> None:
        """Change something behind the store's back."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute(statement, values)

    def spoil(self, statement: str, old: str, new: str) -> None:
        """Break a statement."""
        self.spoilt.append((statement, old, new))


def _boottime_of(hands: Hands) -> Callable[[], float]:
    return lambda: hands.boottime


BACKENDS: dict[str, Callable[[Path, Path | None], Backend]] = {"sqlite": SqliteBackend}
"""To add a back end: a class like the one above, and a word here."""
