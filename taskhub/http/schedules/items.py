"""Schedules and their runs as clients see them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec

from taskhub.model import Status, TaskId, TaskItem
from taskhub.schedules.cron import Cron, CronError, read, times_after, words
from taskhub.schedules.schedule import (
    LastRun,
    Misfire,
    Overlap,
    Reason,
    Run,
    RunOutcome,
    Schedule,
    Source,
)
from taskhub.schedules.writes import Fired

SHOWN = 5
"""Next runs that a schedule shows."""


class LastRunItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The newest run that became a task, and how that is; `status` null: it was deleted since."""

    due_at: datetime
    task_id: TaskId
    status: Status | None
    finished_at: datetime | None
    error: str | None


class ScheduleItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A schedule, what it says in words, and where it stands."""

    name: str
    cron: str
    time_zone: str
    words: str
    title: str
    type: str
    queue: str | None
    priority: int
    payload: msgspec.Raw
    max_attempts: int | None
    timeout_seconds: float | None
    misfire: Misfire
    misfire_grace_seconds: float
    overlap: Overlap
    paused: bool
    source: Source
    place: str
    next_runs: Sequence[datetime]
    waiting: int
    last_run: LastRunItem | None
    updated_at: datetime
    updated_by: str


class ScheduleDetail(ScheduleItem, frozen=True, kw_only=True, rename="camel"):
    """The same with the whole task of its last run."""

    last_task: TaskItem | None


class RunItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One due time, and what became of it."""

    due_at: datetime
    at: datetime
    outcome: RunOutcome
    reason: Reason
    since: datetime | None
    manual: bool
    task_id: TaskId | None
    status: Status | None


class RunAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A run that somebody asked for: it became a task, or waits for the run before it."""

    due_at: datetime
    outcome: RunOutcome
    task_id: TaskId | None


class Explanation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A cron expression in words, and when it is due next."""

    cron: str
    time_zone: str
    words: str
    next_runs: Sequence[datetime]


class ScheduleList(msgspec.Struct, frozen=True):
    """A page of schedules by name, and the cursor of the next (null: this was the last)."""

    items: Sequence[ScheduleItem]
    next: str | None


class RunList(msgspec.Struct, frozen=True):
    """A page of runs, newest first, and the cursor of the next (null: this was the last)."""

    items: Sequence[RunItem]
    next: str | None


def item_of(schedule: Schedule) -> ScheduleItem:
    """The schedule; what cannot be read on this machine has no words."""
    return ScheduleItem(**_members(schedule))


def detail_of(schedule: Schedule, last: TaskItem | None) -> ScheduleDetail:
    """The schedule with the task of its last run."""
    return ScheduleDetail(**_members(schedule), last_task=last)


def run_item(run: Run) -> RunItem:
    """One due time."""
    return RunItem(
        due_at=run.due_at,
        at=run.at,
        outcome=run.outcome,
        reason=run.reason,
        since=run.since,
        manual=run.manual,
        task_id=run.task_id,
        status=run.status,
    )


def answer_of(fired: Fired) -> RunAnswer:
    """What has come of asking for a run."""
    return RunAnswer(due_at=fired.due, outcome=fired.outcome, task_id=fired.task_id)


def explanation(cron: Cron, count: int) -> Explanation:
    """What an expression means, from now on."""
    times = islice(times_after(cron, datetime.now(UTC)), count)
    return Explanation(
        cron=cron.expression, time_zone=cron.time_zone, words=words(cron), next_runs=tuple(times)
    )


def _members(schedule: Schedule) -> dict[str, Any]:
    asked = schedule.definition
    said, times = _timing(schedule)
    return {
        "name": asked.name,
        "cron": asked.cron,
        "time_zone": asked.time_zone,
        "words": said,
        "title": asked.title,
        "type": asked.type,
        "queue": asked.queue or None,
        "priority": asked.priority,
        "payload": asked.payload,
        "max_attempts": asked.max_attempts,
        "timeout_seconds": asked.timeout_seconds,
        "misfire": asked.misfire,
        "misfire_grace_seconds": asked.misfire_grace,
        "overlap": asked.overlap,
        "paused": schedule.paused,
        "source": schedule.source,
        "place": schedule.place,
        "next_runs": times,
        "waiting": schedule.waiting,
        "last_run": None if schedule.last is None else _last(schedule.last),
        "updated_at": schedule.updated_at,
        "updated_by": schedule.updated_by,
    }


def _timing(schedule: Schedule) -> tuple[str, tuple[datetime, ...]]:
    """In words, and when it runs next: from where it stands on, while it is not paused."""
    asked = schedule.definition
    try:
        cron = read(asked.cron, asked.time_zone)
    except CronError as error:
        return f"cannot be read here: {error.member}", ()
    if schedule.paused or schedule.next_at is None:
        return words(cron), ()
    rest = islice(times_after(cron, schedule.next_at), SHOWN - 1)
    return words(cron), (schedule.next_at, *rest)


def _last(run: LastRun) -> LastRunItem:
    return LastRunItem(
        due_at=run.due_at,
        task_id=run.task_id,
        status=run.status,
        finished_at=run.finished_at,
        error=run.error,
    )
