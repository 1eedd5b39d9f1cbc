"""One transaction's writes: sorted by kind, each kind by few statements, one result for each write.

A batch is as if its writes were made one after the other in the order of `KINDS` (those of one kind
in the order in which they were given): outcomes come before claims, so what is freed is claimed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from taskhub.model import Event, EventType, TaskId
from taskhub.ports import Committed, Refused, Result, Write
from taskhub.store.sql import load
from taskhub.store.sqlite.clock import Moment
from taskhub.store.sqlite.rows import Insert, Row, json

ENDS = {
    "Pending": EventType.RETRYING,
    "Done": EventType.DONE,
    "Failed": EventType.FAILED,
    "Cancelled": EventType.CANCELLED,
}
"""What is told when a row that was Processing comes to say this."""

BAD_DATA = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    OverflowError,
    TypeError,
    ValueError,
)
"""Errors that one row's values can cause; then each write is tried alone."""


class Statements:
    """The texts of this folder's `.sql` files, and the inserts that take many rows."""

    def __init__(self) -> None:
        """Read the files."""
        self.text = load("taskhub.store.sqlite")
        self.create = Insert(self.text["create"])
        self.told = Insert(self.text["told"])


@dataclass(slots=True)
class Batch:
    """What the steps of one batch share: where, when, and what has come of it so far."""

    connection: sqlite3.Connection
    statements: Statements
    now: Moment
    results: dict[int, Result] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def ask(self, name: str, values: Mapping[str, object]) -> list[Row]:
        """Run one statement and have all its rows."""
        return self.connection.execute(self.statements.text[name], values).fetchall()

    def change(self, name: str, values: Mapping[str, object]) -> int:
        """Run one statement and have the number of rows that it has changed, without triggers."""
        self.connection.execute(self.statements.text[name], values)
        # A cursor counts nothing that begins with WITH.
        count: int = self.connection.execute("SELECT changes()").fetchone()[0]
        return count

    def each(self, name: str, rows: Sequence[Row]) -> int:
        """Run one short statement for each row."""
        return self.connection.executemany(self.statements.text[name], rows).rowcount

    def tell(self, kind: EventType, tasks: Sequence[tuple[TaskId, str]]) -> None:
        """Append an event for each (id, title); it is published after the commit."""
        if tasks:
            at = self.now.utc
            self.events += [Event(kind, task, title, at) for task, title in tasks]
            ids = json([task for task, _ in tasks])
            self.change("happened", {"now": self.now.micros, "type": kind.value, "ids": ids})

    def tell_more(self, kind: EventType, tasks: Sequence[tuple[TaskId, str, str]]) -> None:
        """Append an event for each (id, title, data); the data is JSON and stays in the store."""
        if not tasks:
            return
        now = self.now
        self.events += [Event(kind, task, title, now.utc) for task, title, _ in tasks]
        rows = [(now.micros, kind.value, task, data) for task, _, data in tasks]
        self.statements.told.run(self.connection, rows)

    def tell_ends(
        self, status: str, tasks: Sequence[tuple[TaskId, str]], said: Mapping[TaskId, str]
    ) -> None:
        """Tell that each (id, title) has left Processing for `status`, some with data (JSON)."""
        kind = ENDS[status]
        self.tell(kind, [task for task in tasks if task[0] not in said] if said else tasks)
        self.tell_more(kind, [(*task, said[task[0]]) for task in tasks if task[0] in said])


def saying(error: str, fingerprint: str | None) -> str:
    """What an event says of a failure."""
    return json({"error": error} | ({"fingerprint": fingerprint} if fingerprint else {}))


Step = Callable[[Batch, Sequence[tuple[int, Any]]], None]
Kinds = Mapping[type[Any], Step]


def commit(batch: Batch, kinds: Kinds, writes: Sequence[Write]) -> Committed:
    """Do all writes; when one spoils the batch, do each alone and refuse only that one."""
    connection = batch.connection
    connection.execute("SAVEPOINT whole")
    try:
        apply(batch, kinds, list(enumerate(writes)))
    except BAD_DATA:
        connection.execute("ROLLBACK TO whole")
        batch = Batch(connection, batch.statements, batch.now)
        for place, write in enumerate(writes):
            _apply_alone(batch, kinds, place, write)
    connection.execute("RELEASE whole")
    return Committed([batch.results[place] for place in range(len(writes))], batch.events)


def _apply_alone(batch: Batch, kinds: Kinds, place: int, write: Write) -> None:
    alone = Batch(batch.connection, batch.statements, batch.now)
    batch.connection.execute("SAVEPOINT alone")
    try:
        apply(alone, kinds, [(place, write)])
        batch.results.update(alone.results)
        batch.events += alone.events
    except BAD_DATA as error:
        batch.connection.execute("ROLLBACK TO alone")
        batch.results[place] = Refused(f"{type(error).__name__}: {error}")
    batch.connection.execute("RELEASE alone")


def apply(batch: Batch, kinds: Kinds, writes: Sequence[tuple[int, Write]]) -> None:
    """Sort the writes by kind and do one kind after the other."""
    groups: dict[type[Any], list[tuple[int, Any]]] = {}
    for place, write in writes:
        groups.setdefault(type(write), []).append((place, write))
    for kind, step in kinds.items():
        if group := groups.pop(kind, None):
            step(batch, group)
    if groups:
        raise LookupError(f"no step for {next(iter(groups)).__name__}")
