"""Actors, processes and handlers, told."""

from __future__ import annotations

from typing import ClassVar

from taskhub.obs.telemetry.event import Level, Telemetry


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
    """The event loop did not turn for `seconds`; `trace` shows what it was doing.

    `type` and `task_id`: whose handler it is, if it is one's. Counter
    `taskhub_worker_handler_blocks_total{type}`, and `taskhub_loop_blocks_total` of all.
    """

    message: ClassVar[str] = "LoopBlocked"
    level: ClassVar[Level] = Level.WARNING
    seconds: float
    trace: str
    type: str = ""
    task_id: str = ""


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
