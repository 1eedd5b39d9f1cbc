"""What the API sends and takes, as typed values; what a newer server adds is passed over."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, TypedDict

import msgspec


class Status(StrEnum):
    """The five states of a task."""

    PENDING = "Pending"
    PROCESSING = "Processing"
    DONE = "Done"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the task has ended; only an operator's retry leaves such a state."""
        return self in FINAL


FINAL = frozenset({Status.DONE, Status.FAILED, Status.CANCELLED})


class TaskItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A task as it was when the server answered; all times are UTC."""

    id: str
    title: str
    type: str
    queue: str
    priority: int
    status: Status
    payload: Any
    result: Any
    error: str | None
    progress: Any
    attempts: int
    max_attempts: int
    timeout_seconds: float
    cancel_requested: bool
    created_at: datetime
    updated_at: datetime
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    created_by: str


class TaskPage(msgspec.Struct, frozen=True):
    """Some tasks, newest first, and the cursor of the next page (None: this was the last)."""

    items: list[TaskItem]
    next: str | None = None
    stopped: bool = False
    """Whether a search has taken too long for one answer: there may be more in what follows."""


class Sample(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One of the tasks that a count has found, in short."""

    id: str
    title: str
    type: str
    queue: str
    status: Status
    created_at: datetime


class BulkReport(msgspec.Struct, frozen=True, kw_only=True):
    """How many tasks match an act's search and can have it done to them, and what came of it.

    `skipped`: they moved on in between. `sample`: some of those that a dry run has counted.
    """

    matched: int
    changed: int
    skipped: int
    sample: tuple[Sample, ...] = ()
    next: str | None = None
    """Where the next request goes on; None: everything is done."""


def added(total: BulkReport, report: BulkReport) -> BulkReport:
    """The sum of some requests and the next one; the first sample stays."""
    return BulkReport(
        matched=total.matched + report.matched,
        changed=total.changed + report.changed,
        skipped=total.skipped + report.skipped,
        sample=total.sample or report.sample,
        next=report.next,
    )


Verb = Literal["cancel", "retry", "delete"]
"""What can be done to all tasks that match a search."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a task; `seq` is what to go on from after a pause.

    `type` is TaskCreated, TaskStarted, TaskProgress, TaskDone, TaskRetrying, TaskFailed or
    TaskCancelled; `reset`, without a task: events were missed, so read anew what you keep.
    """

    seq: int
    type: str
    id: str = ""
    """Of the task."""
    title: str | None = None
    at: datetime | None = None
    progress: Any = None
    error: str | None = None


class NewTask(TypedDict, total=False):
    """What may be said of a new task beside its title; the server knows what stands for nothing."""

    type: str
    queue: str
    priority: int
    payload: Any
    run_at: datetime | str
    delay_seconds: float
    max_attempts: int
    timeout_seconds: float


class EventFilter(TypedDict, total=False):
    """Which events are meant; all that is given must fit. Several with commas: `Done,Failed`."""

    event: str | None
    status: str | None
    type: str | None
    queue: str | None
    task: str | None


class Filter(TypedDict, total=False):
    """Which tasks are meant."""

    status: str | None
    type: str | None
    queue: str | None
    created_from: datetime | str | None
    created_to: datetime | str | None
