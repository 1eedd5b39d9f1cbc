"""Schedules and their due times, told."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from taskhub.obs.telemetry.event import Level, Telemetry


class ScheduleFired(Telemetry, frozen=True, kw_only=True):
    """A due time was handled: it became a task, waits for the run before it, or was skipped.

    Counter `taskhub_schedule_runs_total{outcome,reason}`; histogram
    `taskhub_schedule_lateness_seconds` of those that became a task in time.
    """

    message: ClassVar[str] = "ScheduleFired"
    schedule: str
    due: datetime
    outcome: str
    reason: str = ""
    since: datetime | None = None
    task_id: str = ""
    late: float = 0.0


class ScheduleBroken(Telemetry, frozen=True, kw_only=True):
    """A schedule cannot be handled by this process: its due times wait for another."""

    message: ClassVar[str] = "ScheduleBroken"
    level: ClassVar[Level] = Level.ERROR
    schedule: str
    reason: str


class SchedulesSeen(Telemetry, frozen=True, kw_only=True):
    """How old the first due time is that is still to be handled: for metrics alone.

    Gauge `taskhub_schedule_overdue_seconds`; 0: there is none.
    """

    overdue: float


class SchedulesDeclared(Telemetry, frozen=True, kw_only=True):
    """What the configuration or a module declares was written to the store, as far as it is new."""

    message: ClassVar[str] = "SchedulesDeclared"
    source: str
    place: str
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
