"""One transaction's writes: sorted by kind, each kind by few statements, one result for each write.

A batch is as if its writes were made one after the other in the order of `KINDS` (those of one kind
in the order in which they were given): outcomes come before claims, so what is freed is claimed.
After each kind it is decided what follows for tasks that are after others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from taskhub.model import Event, EventType, TaskId
from taskhub.ports import Committed, Create, Followed, Refused, Result, Write
from taskhub.store.steps import following
from taskhub.store.steps.clock import Moment
from taskhub.store.steps.rows import Row

ENDS = {
    "Pending": EventType.RETRYING,
    "Done": EventType.DONE,
    "Failed": EventType.FAILED,
    "Cancelled": EventType.CANCELLED,
}
"""What is told when a row that was Processing comes to say this."""

FINAL: dict[EventType, str] = {
    kind: status for status, kind in ENDS.items() if kind is not EventType.RETRYING
}
"""What is told of tasks for which others may wait."""

PAUSES = "pauses"
"""The name by which claims are together, and a pause is apart from them."""

LIMITS = "limits"
"""The name by which claims are apart that keep to limits or turns: what they count stays so."""

SCHEDULES = "schedules"
"""The name by which writes about schedules are apart: each sees all of what came before it."""

BAD_VALUES = (OverflowError, TypeError, ValueError)
"""Errors of ours that one row's values can cause; a database adds its own."""


class Transaction(Protocol):
    """What steps ask of a database: statements by name, within one transaction."""

    @property
    def bad_data(self) -> tuple[type[Exception], ...]:
        """Errors that one row's values can cause; then each write is tried alone."""

    def ask(self, name: str, values: Mapping[str, object]) -> list[Row]:
        """Run one statement and have all its rows."""

    def change(self, name: str, values: Mapping[str, object]) -> int:
        """Run one statement and have the number of rows that it has changed, without triggers."""

    def each(self, name: str, rows: Sequence[Row]) -> int:
        """Run one short statement for each row."""

    def insert(self, name: str, rows: Sequence[Row]) -> None:
        """Insert many rows by as few statements as can be."""

    def happened(self, now: int, kind: str, tasks: Sequence[TaskId]) -> None:
        """Append the same event for many tasks."""

    def told(self, rows: Sequence[Row]) -> None:
        """Append events that have something to say: (at, type, task, data) each."""

    def alone(self, names: Sequence[str]) -> None:
        """Until the commit nobody else decides about what these names stand for."""

    def together(self, name: str) -> None:
        """Until the commit nobody is apart by this name; others may be together by it as well."""

    def apart(self, name: str) -> None:
        """Until the commit nobody is together by this name."""

    def mark(self, name: str) -> None:
        """Begin a part that can be undone."""

    def undo(self, name: str) -> None:
        """Undo what was done since the mark, which stays."""

    def forget(self, name: str) -> None:
        """What was done since the mark stays done."""


@dataclass(slots=True)
class Batch:
    """What the steps of one batch share: where, when, and what has come of it so far."""

    transaction: Transaction
    now: Moment
    results: dict[int, Result] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    ended: list[tuple[TaskId, str]] = field(default_factory=list)
    """Tasks that have ended, and as what: what follows from it is still to be decided."""
    followed: Followed = field(default_factory=Followed)
    """What has followed for tasks that are after others."""

    def ask(self, name: str, values: Mapping[str, object]) -> list[Row]:
        """Run one statement and have all its rows."""
        return self.transaction.ask(name, values)

    def change(self, name: str, values: Mapping[str, object]) -> int:
        """Run one statement and have the number of rows that it has changed, without triggers."""
        return self.transaction.change(name, values)

    def each(self, name: str, rows: Sequence[Row]) -> int:
        """Run one short statement for each row."""
        return self.transaction.each(name, rows)

    def insert(self, name: str, rows: Sequence[Row]) -> None:
        """Insert many rows by as few statements as can be."""
        self.transaction.insert(name, rows)

    def beside(self) -> Batch:
        """Another batch of the same transaction and moment, with results of its own."""
        return Batch(self.transaction, self.now)

    def tell_new(self, creates: Sequence[Create]) -> None:
        """Append that these tasks are there, each event with the trace that it goes on with."""
        if creates:
            at = self.now.utc
            self.events += [
                Event(EventType.CREATED, new.item.id, new.item.title, at, new.trace_parent)
                for new in creates
            ]
            ids = [new.item.id for new in creates]
            self.transaction.happened(self.now.micros, EventType.CREATED.value, ids)

    def tell(self, kind: EventType, tasks: Sequence[tuple[TaskId, str]]) -> None:
        """Append an event for each (id, title); it is published after the commit."""
        if tasks:
            self._note_ends(kind, [task for task, _ in tasks])
            at = self.now.utc
            self.events += [Event(kind, task, title, at) for task, title in tasks]
            ids = [task for task, _ in tasks]
            self.transaction.happened(self.now.micros, kind.value, ids)

    def tell_more(self, kind: EventType, tasks: Sequence[tuple[TaskId, str, str]]) -> None:
        """Append an event for each (id, title, data); the data is JSON and stays in the store."""
        if not tasks:
            return
        self._note_ends(kind, [task for task, _, _ in tasks])
        now = self.now
        self.events += [Event(kind, task, title, now.utc) for task, title, _ in tasks]
        rows = [(now.micros, kind.value, task, data) for task, _, data in tasks]
        self.transaction.told(rows)

    def _note_ends(self, kind: EventType, ids: Sequence[TaskId]) -> None:
        if (status := FINAL.get(kind)) is not None:
            self.ended += [(task, status) for task in ids]

    def tell_ends(
        self, status: str, tasks: Sequence[tuple[TaskId, str]], said: Mapping[TaskId, str]
    ) -> None:
        """Tell that each (id, title) has left Processing for `status`, some with data (JSON)."""
        kind = ENDS[status]
        self.tell(kind, [task for task in tasks if task[0] not in said] if said else tasks)
        self.tell_more(kind, [(*task, said[task[0]]) for task in tasks if task[0] in said])


Step = Callable[[Batch, Sequence[tuple[int, Any]]], None]
Kinds = Mapping[type[Any], Step]


def commit(batch: Batch, kinds: Kinds, writes: Sequence[Write]) -> Committed:
    """Do all writes; when one spoils the batch, do each alone and refuse only that one."""
    transaction = batch.transaction
    transaction.mark("whole")
    try:
        apply(batch, kinds, list(enumerate(writes)))
    except transaction.bad_data:
        transaction.undo("whole")
        batch = batch.beside()
        for place, write in enumerate(writes):
            _apply_alone(batch, kinds, place, write)
    transaction.forget("whole")
    return Committed(
        [batch.results[place] for place in range(len(writes))], batch.events, batch.followed
    )


def _apply_alone(batch: Batch, kinds: Kinds, place: int, write: Write) -> None:
    alone, transaction = batch.beside(), batch.transaction
    transaction.mark("alone")
    try:
        apply(alone, kinds, [(place, write)])
        batch.results.update(alone.results)
        batch.events += alone.events
        batch.followed += alone.followed
    except transaction.bad_data as error:
        transaction.undo("alone")
        said = str(error).partition("\n")[0]  # further lines may repeat what was given
        batch.results[place] = Refused(f"{type(error).__name__}: {said}")
    transaction.forget("alone")


def apply(batch: Batch, kinds: Kinds, writes: Sequence[tuple[int, Write]]) -> None:
    """Sort the writes by kind and do one kind after the other."""
    groups: dict[type[Any], list[tuple[int, Any]]] = {}
    for place, write in writes:
        groups.setdefault(type(write), []).append((place, write))
    for kind, step in kinds.items():
        if group := groups.pop(kind, None):
            step(batch, group)
            following.settle(batch)
    if groups:
        raise LookupError(f"no step for {next(iter(groups)).__name__}")
