"""The life of a task, told; names and properties of what is logged are fixed."""

from __future__ import annotations

from typing import ClassVar

from taskhub.obs.telemetry.event import Level, Telemetry


class TaskCreated(Telemetry, frozen=True, kw_only=True):
    """A task was accepted and is on disk. Counter `taskhub_api_tasks_created_total`."""

    message: ClassVar[str] = "TaskCreated"
    task_id: str
    title: str
    type: str
    queue: str
    request_id: str = ""
    trace_id: str = ""


class TaskExisting(Telemetry, frozen=True, kw_only=True):
    """A task was asked for, and another one holds its unique key: none was made.

    Counter `taskhub_api_tasks_existing_total`.
    """

    message: ClassVar[str] = "TaskExisting"
    task_id: str
    type: str
    request_id: str = ""


class TaskStarted(Telemetry, frozen=True, kw_only=True):
    """A handler begins. Histogram `taskhub_queue_wait_seconds` (from due to start)."""

    message: ClassVar[str] = "TaskStarted"
    task_id: str
    type: str
    queue: str
    attempt: int
    waited: float
    trace_id: str = ""


class TaskProcessed(Telemetry, frozen=True, kw_only=True):
    """An attempt has ended and its outcome is stored; `result` is success | failed.

    Counter `taskhub_worker_tasks_processed_total{result}`, histogram
    `taskhub_worker_task_duration_seconds`.
    """

    message: ClassVar[str] = "TaskProcessed"
    task_id: str
    type: str
    queue: str
    attempt: int
    duration: float
    result: str
    trace_id: str = ""


class TaskRetrying(Telemetry, frozen=True, kw_only=True):
    """An attempt failed; the next one comes `in_seconds` later."""

    message: ClassVar[str] = "TaskRetrying"
    level: ClassVar[Level] = Level.WARNING
    task_id: str
    type: str
    attempt: int
    in_seconds: float
    error: str
    trace_id: str = ""


class TaskFailed(Telemetry, frozen=True, kw_only=True):
    """A task has ended as Failed (a dead letter)."""

    message: ClassVar[str] = "TaskFailed"
    level: ClassVar[Level] = Level.ERROR
    task_id: str
    type: str
    attempt: int
    error: str
    fingerprint: str = ""
    """The same for all failures of a type by the same exception in the same place."""
    trace_id: str = ""


class TaskCancelled(Telemetry, frozen=True, kw_only=True):
    """A task has ended as Cancelled."""

    message: ClassVar[str] = "TaskCancelled"
    task_id: str


class TaskReleased(Telemetry, frozen=True, kw_only=True):
    """A claimed task was given back without costing an attempt."""

    message: ClassVar[str] = "TaskReleased"
    task_id: str


class StaleFinish(Telemetry, frozen=True, kw_only=True):
    """An outcome came under an old fence and changed nothing."""

    message: ClassVar[str] = "StaleFinish"
    level: ClassVar[Level] = Level.WARNING
    task_id: str
    attempt: int


class LeaseLost(Telemetry, frozen=True, kw_only=True):
    """A lease could not be renewed: its handler is stopped."""

    message: ClassVar[str] = "LeaseLost"
    level: ClassVar[Level] = Level.WARNING
    task_id: str


class LeasesTaken(Telemetry, frozen=True, kw_only=True):
    """Leases of a dead owner, or expired ones (`owner` empty), were freed."""

    message: ClassVar[str] = "LeasesTaken"
    level: ClassVar[Level] = Level.WARNING
    owner: str
    requeued: int
    failed: int
    cancelled: int


class TaskTaken(Telemetry, frozen=True, kw_only=True):
    """One of the tasks of `LeasesTaken`, and the status that it has now."""

    message: ClassVar[str] = "TaskTaken"
    level: ClassVar[Level] = Level.WARNING
    task_id: str
    status: str


class TasksFollowed(Telemetry, frozen=True, kw_only=True):
    """Tasks wait for no other any more, or have ended with one that they were after."""

    message: ClassVar[str] = "TasksFollowed"
    let_go: int
    failed: int
    cancelled: int


class HandlerStubborn(Telemetry, frozen=True, kw_only=True):
    """A handler did not stop when told to: its worker will be replaced."""

    message: ClassVar[str] = "HandlerStubborn"
    level: ClassVar[Level] = Level.ERROR
    task_id: str
    type: str
    reason: str
