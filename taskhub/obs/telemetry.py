"""Everything worth telling, as typed events; logs and metrics are two listeners to them."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import ClassVar

import msgspec


class Level(StrEnum):
    """How loud an event is, in the words of the log lines."""

    DEBUG = "Debug"
    INFO = "Information"
    WARNING = "Warning"
    ERROR = "Error"


class Telemetry(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the events. `message` names it in the log; the fields become properties."""

    message: ClassVar[str] = ""
    level: ClassVar[Level] = Level.INFO


Emit = Callable[[Telemetry], None]
"""What actors are given to tell what happened: cheap, never blocks, never raises."""

# ---- the life of a task (names and properties are fixed) ---------------------------------------


class TaskCreated(Telemetry, frozen=True, kw_only=True):
    """A task was accepted and is on disk. Counter `taskhub_api_tasks_created_total`."""

    message: ClassVar[str] = "TaskCreated"
    task_id: str
    title: str
    type: str
    queue: str
    request_id: str = ""
    trace_id: str = ""


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


class HandlerStubborn(Telemetry, frozen=True, kw_only=True):
    """A handler did not stop when told to: its worker will be replaced."""

    message: ClassVar[str] = "HandlerStubborn"
    level: ClassVar[Level] = Level.ERROR
    task_id: str
    type: str
    reason: str


# ---- actors and processes ----------------------------------------------------------------------


class ActorChanged(Telemetry, frozen=True, kw_only=True):
    """An actor has started, become ready or stopped (`state`)."""

    message: ClassVar[str] = "ActorChanged"
    level: ClassVar[Level] = Level.DEBUG
    actor: str
    state: str


class ActorRestarting(Telemetry, frozen=True, kw_only=True):
    """An actor died and comes back after `pause` seconds.

    Counter `taskhub_actor_restarts_total{actor}`.
    """

    message: ClassVar[str] = "ActorRestarting"
    level: ClassVar[Level] = Level.ERROR
    actor: str
    error: str
    trace: str = ""
    pause: float


class ActorGaveUp(Telemetry, frozen=True, kw_only=True):
    """An actor died too often: its supervisor gives up."""

    message: ClassVar[str] = "ActorGaveUp"
    level: ClassVar[Level] = Level.ERROR
    actor: str
    error: str


class ActorUnstopped(Telemetry, frozen=True, kw_only=True):
    """An actor did not stop in time and was cancelled (`left`: not even that helped)."""

    message: ClassVar[str] = "ActorUnstopped"
    level: ClassVar[Level] = Level.ERROR
    actor: str
    left: bool


class ProcessChanged(Telemetry, frozen=True, kw_only=True):
    """A child process was spawned, got ready, exited or was killed (`what`); `detail`: why."""

    message: ClassVar[str] = "ProcessChanged"
    actor: str
    pid: int
    what: str
    detail: str = ""


class HookFailed(Telemetry, frozen=True, kw_only=True):
    """A hook of a child process raised or took too long; the child's life goes on."""

    message: ClassVar[str] = "HookFailed"
    level: ClassVar[Level] = Level.ERROR
    actor: str
    hook: str
    error: str
    trace: str = ""


class SignalReceived(Telemetry, frozen=True, kw_only=True):
    """The process got a signal; `action` is what it does about it (drain, stop, reload...)."""

    message: ClassVar[str] = "SignalReceived"
    actor: str
    signal: str
    action: str


class StacksDumped(Telemetry, frozen=True, kw_only=True):
    """What every task and thread of the process does, as SIGUSR1 has asked."""

    message: ClassVar[str] = "StacksDumped"
    actor: str
    trace: str


class LoopBlocked(Telemetry, frozen=True, kw_only=True):
    """The event loop did not turn for `seconds`; `trace` shows what it was doing."""

    message: ClassVar[str] = "LoopBlocked"
    level: ClassVar[Level] = Level.WARNING
    seconds: float
    trace: str


class LoopLag(Telemetry, frozen=True, kw_only=True):
    """How late a timer of the loop was. Gauge `taskhub_loop_lag_seconds`; not logged."""

    seconds: float


class Heartbeat(Telemetry, frozen=True, kw_only=True):
    """The heartbeat row is on disk."""

    message: ClassVar[str] = "Audit heartbeat saved"


class Said(Telemetry, frozen=True, kw_only=True):
    """A plain sentence from the program to its operator."""

    message: ClassVar[str] = "Said"
    text: str


class Complained(Telemetry, frozen=True, kw_only=True):
    """A plain warning from the program to its operator."""

    message: ClassVar[str] = "Complained"
    level: ClassVar[Level] = Level.WARNING
    text: str


class HandlerRaised(Telemetry, frozen=True, kw_only=True):
    """A handler ended in an exception; `trace` is for its author, the task keeps the short text."""

    message: ClassVar[str] = "HandlerRaised"
    level: ClassVar[Level] = Level.WARNING
    task_id: str
    type: str
    attempt: int
    error: str
    trace: str


class HandlerSaid(Telemetry, frozen=True, kw_only=True):
    """A line from a handler through `job.log`; `fields` are its own properties."""

    message: ClassVar[str] = "HandlerSaid"
    task_id: str
    attempt: int
    severity: str
    text: str
    fields: dict[str, str]
    trace_id: str = ""


# ---- the world around --------------------------------------------------------------------------


class Committed(Telemetry, frozen=True, kw_only=True):
    """A batch of writes was committed. Histograms of size and seconds; not logged."""

    writes: int
    seconds: float


class StateChanged(Telemetry, frozen=True, kw_only=True):
    """A part (`store`, `events`) went to `state`: ok | degraded | failed; `detail` says why."""

    message: ClassVar[str] = "StateChanged"
    level: ClassVar[Level] = Level.WARNING
    part: str
    state: str
    detail: str = ""


class EventsDropped(Telemetry, frozen=True, kw_only=True):
    """Events were not published (`reason`: full | away); rows are there. Counter; not logged."""

    count: int
    reason: str


class EventsPublished(Telemetry, frozen=True, kw_only=True):
    """Events went out. Counter; not logged."""

    count: int


class ServerSaid(Telemetry, frozen=True, kw_only=True):
    """A line of the embedded event server's own log."""

    message: ClassVar[str] = "ServerSaid"
    level: ClassVar[Level] = Level.DEBUG
    text: str


class Depths(Telemetry, frozen=True, kw_only=True):
    """Queue depths read from the store: gauges by queue and state; not logged."""

    queues: tuple[tuple[str, str, int, float], ...]
    """(queue, status, count, oldest age in seconds)"""


class Reloaded(Telemetry, frozen=True, kw_only=True):
    """A new configuration was applied; `changes` reads like `work.concurrency: 64 -> 8`."""

    message: ClassVar[str] = "Reloaded"
    changes: tuple[str, ...]
    needs_restart: tuple[str, ...] = ()


class ReloadRefused(Telemetry, frozen=True, kw_only=True):
    """A new configuration is wrong: nothing was changed."""

    message: ClassVar[str] = "ReloadRefused"
    level: ClassVar[Level] = Level.ERROR
    problems: tuple[str, ...]


class RequestServed(Telemetry, frozen=True, kw_only=True):
    """An HTTP answer was sent. Histogram `taskhub_http_request_duration_seconds`."""

    message: ClassVar[str] = "RequestServed"
    level: ClassVar[Level] = Level.DEBUG
    method: str
    route: str
    status: int
    seconds: float
    request_id: str
    trace_id: str = ""


class RequestCrashed(Telemetry, frozen=True, kw_only=True):
    """A bug: a request ended in an exception nobody expected."""

    message: ClassVar[str] = "RequestCrashed"
    level: ClassVar[Level] = Level.ERROR
    method: str
    route: str
    request_id: str
    trace: str
    trace_id: str = ""


class ActAudited(Telemetry, frozen=True, kw_only=True):
    """An operator acted: who, what, on which task, from where."""

    message: ClassVar[str] = "ActAudited"
    subject: str
    act: str
    task_id: str
    address: str
    request_id: str
