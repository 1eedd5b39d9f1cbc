"""What the API sends and takes, as typed values; what a newer server adds is passed over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Required, TypedDict

import msgspec

from taskhub.client.errors import ErrorItem


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
    group_key: str | None = None
    """Whose it is: keys take turns, and have limits."""
    priority: int
    status: Status
    payload: Any
    result: Any
    result_expires_at: datetime | None = None
    """When the result is emptied, or was; None: it stays as long as its task."""
    error: str | None
    fingerprint: str | None = None
    """The same for all failures of a type by the same exception in the same place."""
    progress: Any
    attempts: int
    max_attempts: int
    backoff: dict[str, float] | None = None
    """How long to wait between attempts, where its creator has said so."""
    timeout_seconds: float
    cancel_requested: bool
    created_at: datetime
    updated_at: datetime
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    created_by: str
    after: tuple[str, ...] = ()
    """It is handed out once these tasks have ended."""
    on_parent_failure: str | None = None
    then: tuple[str, ...] = ()
    """The tasks that follow it, where it was made with them: said by `create` alone."""


class Parent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A task that another is after; `status` None: it was deleted since.

    `result_left_out`: it has one that is too large to be handed on.
    """

    id: str
    status: Status | None
    error: str | None = None
    result: Any = None
    result_left_out: bool = False


class Child(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A task that is after another, in short."""

    id: str
    title: str
    type: str
    queue: str
    status: Status
    error: str | None
    created_at: datetime
    created_by: str


class ChildPage(msgspec.Struct, frozen=True):
    """A page of tasks that are after one; `next` None: this was the last."""

    items: list[Child]
    next: str | None


class ParentList(msgspec.Struct, frozen=True):
    """The tasks that one is after, in the order in which they were named."""

    items: list[Parent]


class TaskPage(msgspec.Struct, frozen=True):
    """Some tasks, newest first, and the cursor of the next page (None: this was the last)."""

    items: list[TaskItem]
    next: str | None = None
    stopped: bool = False
    """Whether a search has taken too long for one answer: there may be more in what follows."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One start of a task; `end` is Running, Done, Failed or Cancelled."""

    attempt: int
    end: str
    started_at: datetime | None
    ended_at: datetime | None
    worker: str | None = None
    error: str | None = None
    fingerprint: str | None = None
    exception: str | None = None
    place: str | None = None
    trace: str | None = None


class AttemptList(msgspec.Struct, frozen=True):
    """What a task has been through, oldest first."""

    items: list[Attempt]


class FailureGroup(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Failed tasks of one type, by one exception, in one place; `more`: than were counted."""

    fingerprint: str | None
    type: str
    exception: str | None
    place: str | None
    error: str | None
    count: int
    more: bool
    first_seen: datetime
    last_seen: datetime
    samples: list[str]


class FailurePage(msgspec.Struct, frozen=True):
    """Some groups, the latest first, and the cursor of the next page (None: this was the last)."""

    items: list[FailureGroup]
    next: str | None = None


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
    fingerprint: str | None = None


class Unique(TypedDict, total=False):
    """Which tasks of a type are the same one: by a key, members of the payload, or all of it."""

    key: str
    by: Sequence[str]
    seconds: float
    states: Sequence[str]


class Said(TypedDict, total=False):
    """What may be said of every new task beside its title."""

    type: str
    queue: str
    group_key: str
    priority: int
    payload: Any
    run_at: datetime | str
    delay_seconds: float
    max_attempts: int
    backoff: dict[str, float]
    timeout_seconds: float
    unique: Unique | None
    on_parent_failure: Literal["fail", "continue"]


class Step(Said):
    """A task of a chain."""

    title: Required[str]


class NewTask(Said, total=False):
    """What may be said of a new task beside its title; the server knows what stands for nothing."""

    after: Sequence[str]
    then: Sequence[Step]


class BatchTask(Said, total=False):
    """One of many new tasks; it may be after some before it, by their names or places."""

    title: Required[str]
    name: str
    after: Sequence[str | int]


class BatchItem(msgspec.Struct, frozen=True):
    """What has become of one task of a batch: 201 it is stored, 200 it was there and holds the
    unique key, 422 `errors` say why it is neither.
    """

    status: int
    id: str | None = None
    errors: tuple[ErrorItem, ...] = ()


class BatchAnswer(msgspec.Struct, frozen=True):
    """What has become of a batch; `items` are in the order of its tasks."""

    created: int
    existing: int
    refused: int
    items: list[BatchItem]


class Handed(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A task in the hands of a worker, until `lease_until` unless it renews its lease."""

    id: str
    lease: str
    """A secret, worth something to the subject that has claimed."""
    lease_until: datetime
    fence: int
    task: TaskItem
    parents: tuple[Parent, ...] = ()

    def __repr__(self) -> str:
        return f"Handed({self.id!r}, until {self.lease_until:%H:%M:%S} UTC)"


class HandedList(msgspec.Struct, frozen=True):
    """The tasks that were claimed, the most urgent first."""

    items: list[Handed]


class LeaseState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A lease that goes on."""

    id: str
    lease_until: datetime
    cancel_requested: bool


class Outcome(msgspec.Struct, frozen=True):
    """What has become of a task whose attempt has ended."""

    id: str
    status: Status


class KnownTypes(msgspec.Struct, frozen=True):
    """The names of the types that are registered now."""

    types: list[str]


class WorkType(TypedDict, total=False):
    """What a new task gets of a type that external workers do, where nothing else is said."""

    queue: str
    timeout_seconds: float
    max_attempts: int
    keep_result_seconds: float
    payload_schema: dict[str, Any]


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
    group_key: str | None
    created_from: datetime | str | None
    created_to: datetime | str | None
