"""What must hold after each transaction, at each start of a handler, and in the end."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from taskhub.model import FINAL, Status, TaskId
from taskhub.ports import (
    Changed,
    Claimed,
    Committed,
    Finish,
    Finished,
    Release,
    Requeue,
    Takeover,
    Write,
)

LOOK = "SELECT Id, Status, Fence, Attempts, MaxAttempts, Result FROM Tasks"


class Row(NamedTuple):
    """A task as it stands."""

    status: str
    fence: int
    attempts: int
    limit: int
    result: str | None

    @property
    def is_final(self) -> bool:
        return Status(self.status) in FINAL


class Broken(AssertionError):
    """An invariant does not hold: its name comes first."""


class Judge:
    """Compares each state of the rows with the one before, and the handlers with the rows."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self.rows: dict[TaskId, Row] = {}
        self.accepted: dict[str, TaskId] = {}
        """Keys of requests whose answer has come, and the task that it named."""
        self._started: set[tuple[TaskId, int]] = set()
        self._fences: dict[TaskId, int] = {}
        self._charges: dict[TaskId, int] = {}
        """Starts of this generation that no refund has taken back."""

    # ---- after each transaction ----

    def committed(self, writes: Sequence[Write], done: Committed) -> list[tuple[TaskId, Row]]:
        """Look at what a transaction has changed; raises Broken."""
        before = self.rows
        self.rows = {row[0]: Row(*row[1:]) for row in self._database.execute(LOOK)}
        if lost := before.keys() - self.rows.keys():
            raise Broken(f"lost: {sorted(lost)}")
        self._check_claims(done)
        self._check_finishes(writes, done, before)
        changed = [(id_, row) for id_, row in self.rows.items() if before.get(id_) != row]
        for id_, row in changed:
            if id_ in before:
                self._check_move(id_, before[id_], row, _begun_anew(writes, done))
        self._count(writes, done, before)
        return changed

    def _check_claims(self, done: Committed) -> None:
        for lease in _claimed(done):
            id_, fence = lease
            if fence <= self._fences.get(id_, 0):
                raise Broken(f"fence: {id_} was handed out under {fence} again")
            self._fences[id_] = fence

    @staticmethod
    def _check_finishes(
        writes: Sequence[Write], done: Committed, before: dict[TaskId, Row]
    ) -> None:
        for write, result in zip(writes, done.results, strict=True):
            if isinstance(write, Finish) and isinstance(result, Finished):
                row = before[write.id]
                if (row.status, row.fence) != (Status.PROCESSING, write.fence):
                    raise Broken(f"overwritten: {row} by a late outcome under {write.fence}")

    def _check_move(self, id_: TaskId, old: Row, new: Row, anew: set[TaskId]) -> None:
        if new.fence < old.fence:
            raise Broken(f"fence: {id_} fell from {old.fence} to {new.fence}")
        if not 0 <= new.attempts <= new.limit:
            raise Broken(f"attempts: {id_} stands at {new.attempts} of {new.limit}")
        if old.is_final and id_ not in anew:
            raise Broken(f"overwritten: {id_} was {old} and became {new}")
        if new.status == Status.DONE and json.loads(new.result or "{}") != {"fence": new.fence}:
            raise Broken(f"overwritten: {id_} is done under {new.fence} with {new.result}")

    def _count(self, writes: Sequence[Write], done: Committed, before: dict[TaskId, Row]) -> None:
        """Attempts grow by one with each claim, and shrink only where somebody gives one back."""
        claims = {id_ for id_, _ in _claimed(done)}
        anew = _begun_anew(writes, done)
        for id_, old in before.items():
            grown = self.rows[id_].attempts - old.attempts - (id_ in claims)
            if id_ in anew:
                self._charges[id_] = 0
            elif grown == -1 and any(_gives_back(write, id_) for write in writes):
                if (id_, old.fence) in self._started:
                    self._charges[id_] -= 1
            elif grown:
                raise Broken(f"attempts: {id_} went from {old} to {self.rows[id_]}")

    # ---- handlers ----

    def starts(self, id_: TaskId, fence: int) -> None:
        """A handler begins; raises Broken."""
        if (id_, fence) in self._started:
            raise Broken(f"attempts: {id_} was started twice under {fence}")
        self._started.add((id_, fence))
        self._charges[id_] = self._charges.get(id_, 0) + 1
        if self._charges[id_] > self.rows[id_].limit:
            raise Broken(f"attempts: {id_} was started {self._charges[id_]} times")

    def is_current(self, id_: TaskId, fence: int) -> bool:
        """Whether an attempt still counts."""
        row = self.rows[id_]
        return (row.status, row.fence) == (Status.PROCESSING, fence)

    # ---- the end ----

    def unfinished(self) -> list[TaskId]:
        """The tasks that have not ended."""
        return [id_ for id_, row in self.rows.items() if not row.is_final]

    def check_accepted(self) -> None:
        """Every answer that was given is true; raises Broken."""
        lost = [id_ for id_ in self.accepted.values() if id_ not in self.rows]
        if lost:
            raise Broken(f"lost: accepted, and nowhere: {lost}")
        if extra := self.rows.keys() - self.accepted.values():
            raise Broken(f"lost: made twice under one key: {sorted(extra)}")


def _claimed(done: Committed) -> list[tuple[TaskId, int]]:
    return [
        (lease.item.id, lease.fence)
        for result in done.results
        if isinstance(result, Claimed)
        for lease in result.leases
    ]


def _begun_anew(writes: Sequence[Write], done: Committed) -> set[TaskId]:
    return {
        write.id
        for write, result in zip(writes, done.results, strict=True)
        if isinstance(write, Requeue) and isinstance(result, Changed)
    }


def _gives_back(write: Write, id_: TaskId) -> bool:
    match write:
        case Finish(id=task, refund=refund):
            return task == id_ and refund
        case Release(held=held):
            return any(task == id_ for task, _ in held)
        case Takeover():
            return True
        case _:
            return False
