"""Tells of an attempt, its start and its end: the same words for whoever runs it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from taskhub.model import Status, TaskItem
from taskhub.obs.telemetry import (
    TaskCancelled,
    TaskFailed,
    TaskProcessed,
    TaskRetrying,
    TaskStarted,
)

if TYPE_CHECKING:
    from taskhub.obs.telemetry import Emit


class End(msgspec.Struct, frozen=True):
    """What the row says now, how long the attempt ran, why it failed (`fingerprint`: as which
    others), when it comes again.
    """

    status: Status
    seconds: float
    error: str | None = None
    fingerprint: str = ""
    run_at: datetime | None = None


def tell_start(emit: Emit, item: TaskItem, trace_id: str = "") -> None:
    """Tell that the attempt of a task begins, which was claimed a moment ago."""
    emit(
        TaskStarted(
            task_id=item.id,
            type=item.type,
            queue=item.queue,
            attempt=item.attempts,
            waited=max(0.0, time.time() - item.run_at.timestamp()),
            trace_id=trace_id,
        )
    )


def tell_end(emit: Emit, item: TaskItem, end: End, trace_id: str = "") -> None:
    """Tell of an outcome that is stored; `item` is the task as it was claimed."""
    if end.status is Status.CANCELLED:
        emit(TaskCancelled(task_id=item.id))
        return
    emit(
        TaskProcessed(
            task_id=item.id,
            type=item.type,
            queue=item.queue,
            attempt=item.attempts,
            duration=end.seconds,
            result="success" if end.status is Status.DONE else "failed",
            trace_id=trace_id,
        )
    )
    _tell_failure(emit, item, end, trace_id)


def _tell_failure(emit: Emit, item: TaskItem, end: End, trace_id: str) -> None:
    id_, error, attempt = item.id, end.error or "", item.attempts
    if end.status is Status.FAILED:
        emit(
            TaskFailed(
                task_id=id_,
                type=item.type,
                attempt=attempt,
                error=error,
                fingerprint=end.fingerprint,
                trace_id=trace_id,
            )
        )
    elif end.status is Status.PENDING:
        emit(
            TaskRetrying(
                task_id=id_,
                type=item.type,
                attempt=attempt,
                in_seconds=_seconds_until(end.run_at),
                error=error,
                trace_id=trace_id,
            )
        )


def _seconds_until(moment: datetime | None) -> float:
    if moment is None:
        return 0.0
    return round(max(0.0, (moment - datetime.now(UTC)).total_seconds()), 3)
