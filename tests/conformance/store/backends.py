"""The back ends under test: how to make an empty database, open it, and reach behind its port."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskhub.store.sqlite import SqliteStore

from tests.conformance.store.backend import Backend, Hands, Maker
from tests.conformance.store.postgres import postgres_at, postgres_server
from tests.postgres_server import IS_HERE


@dataclass
class SqliteBackend:
    """A file."""

    path: Path
    spoilt: list[tuple[str, str, str]] = field(default_factory=list)
    is_of_one_host: bool = True

    @property
    def place(self) -> str:
        """The file."""
        return str(self.path)

    @contextmanager
    def held(self) -> Iterator[None]:
        """A transaction that writes."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")

    def store(self, hands: Hands | None = None, lock_timeout: float = 5.0) -> SqliteStore:
        """One more store on the file."""
        clock = None if hands is None else hands.clock()
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


@dataclass
class SqliteMaker:
    """Copies one migrated file."""

    template: Path

    def empty(self, name: str, folder: Path) -> SqliteBackend:
        """No file yet."""
        return SqliteBackend(folder / "new" / f"{name}.db")

    def migrated(self, name: str, folder: Path) -> SqliteBackend:
        """A copy."""
        return SqliteBackend(Path(shutil.copyfile(self.template, folder / f"{name}.db")))


@contextmanager
def sqlite_files(folder: Path, others: Mapping[str, Maker]) -> Iterator[SqliteMaker]:
    """Makes files."""
    template = folder / "template.db"
    asyncio.run(SqliteBackend(template).store().migrate())
    yield SqliteMaker(template)


def sqlite_at(place: str) -> SqliteBackend:
    """A file that is there, for another process."""
    return SqliteBackend(Path(place))


@dataclass(frozen=True)
class Kind:
    """A kind of database."""

    begin: Callable[[Path, Mapping[str, Maker]], AbstractContextManager[Maker]]
    """Makes ready what all its tests share, in a folder of its own or on what another kind has."""
    at: Callable[[str], Backend]
    """The database in this place, as another process finds it."""
    share: float = 1.0
    """How much of what is drawn at random is lived through: a server takes longer than a file."""


def _translated() -> Kind:
    """Where it is asked for alone: its libraries would hold up each process that a test kills."""

    def begin(folder: Path, others: Mapping[str, Maker]) -> AbstractContextManager[Maker]:
        from tests.conformance.store.translated import on_postgres

        return on_postgres(folder, others)

    def at(place: str) -> Backend:
        from tests.conformance.store.translated import TranslatedBackend

        return TranslatedBackend(place)

    return Kind(begin, at, 0.1)


def _sql_server() -> Kind:
    from tests.conformance.store import mssql

    return Kind(mssql.mssql_server, mssql.MssqlBackend, 0.1)


BACKENDS: dict[str, Kind] = {"sqlite": Kind(sqlite_files, sqlite_at)}
"""To add a back end: a class like the ones above, and a word here."""
if IS_HERE:
    BACKENDS["postgres"] = Kind(postgres_server, postgres_at, 0.2)
    BACKENDS["tsql"] = _translated()
if os.environ.get("TASKHUB_TEST_MSSQL"):
    BACKENDS["mssql"] = _sql_server()

SELECTED = frozenset(
    {
        "test_a_child_with_a_key_waits_for_its_parent_and_then_for_its_turn",
        "test_a_group_is_found_by_its_fingerprint",
        "test_a_poisonous_row_is_refused_alone",
        "test_a_store_and_the_model_live_the_same_lives",
        "test_acts_are_newest_first_and_heartbeats_do_not_drown_them",
        "test_many_stores_fire_each_due_time_once",
        "test_numbers_appear_in_order_while_others_write",
        "test_of_many_who_try_at_the_same_time_one_makes_each_delivery",
        "test_old_rows_are_pruned_a_few_at_a_time",
        "test_results_are_emptied_when_their_time_is_over",
        "test_schedules_and_the_model_live_the_same_lives",
        "test_the_same_key_twice_in_one_batch_makes_one_task",
        "test_the_suite_sees_what_is_broken",
    }
)
"""What an ordinary run tries of `tsql`; with TASKHUB_TEST_TSQL=all it is everything."""
TOO_SLOW = "test_schedulers_that_are_killed_fire_each_due_time_once"
"""A new process translates for seconds before it does what it is killed in."""


def is_tried(kind: str, test: str) -> bool:
    """Whether this run tries a test on this kind."""
    if kind != "tsql":
        return True
    is_whole = os.environ.get("TASKHUB_TEST_TSQL") == "all"
    return test in SELECTED or (is_whole and test != TOO_SLOW)
