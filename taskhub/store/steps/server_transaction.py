"""A transaction of one among several writers: its events wait for its end to get their numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from taskhub.model import TaskId
from taskhub.store.steps.rows import Row


class ServerTransaction(ABC):
    """What all servers have in common: events, and marks to which they go back as well."""

    def __init__(self) -> None:
        self._events: list[Row] = []
        self._marks: list[tuple[str, int]] = []
        """The marks that still stand, and how many events there were at each."""

    @abstractmethod
    def _number(self, events: Sequence[Row]) -> None:
        """Append the events in their order; until the commit nobody else numbers any."""

    @abstractmethod
    def _save(self, name: str) -> None:
        """Begin a part that can be undone."""

    @abstractmethod
    def _back(self, name: str) -> None:
        """Undo it; the mark stays."""

    @abstractmethod
    def _release(self, name: str) -> None:
        """Keep it."""

    def happened(self, now: int, kind: str, tasks: Sequence[TaskId]) -> None:
        """Keep the same event for many tasks until the end."""
        self._events += [(now, kind, task, None) for task in tasks]

    def told(self, rows: Sequence[Row]) -> None:
        """Keep events that have something to say until the end."""
        self._events += rows

    def end(self) -> None:
        """The last step: give the events their numbers, in the order in which they were told."""
        if self._events:
            self._number(self._events)

    def mark(self, name: str) -> None:
        """Begin a part that can be undone."""
        self._marks.append((name, len(self._events)))
        self._save(name)

    def undo(self, name: str) -> None:
        """Undo it, its events as well, and marks that an error has left behind in it."""
        while self._marks[-1][0] != name:
            self._marks.pop()
        del self._events[self._marks[-1][1] :]
        self._back(name)

    def forget(self, name: str) -> None:
        """Keep it; the outermost mark ends with the transaction."""
        self._marks.pop()
        if self._marks:
            self._release(name)
