"""What the life of a task reads like in the log."""

from __future__ import annotations

from typing import Any

from taskhub.obs import telemetry as t
from taskhub.obs.lines.line import Line, Told, filled, ms
from taskhub.obs.telemetry import Telemetry


def _created(event: t.TaskCreated) -> Told:
    properties: dict[str, Any] = {
        "Id": event.task_id,
        "Title": event.title,
        "TaskId": event.task_id,
        "Type": event.type,
        "Queue": event.queue,
    }
    if event.request_id:
        properties["RequestId"] = event.request_id
    if event.trace_id:
        properties["TraceId"] = event.trace_id
    return f"TaskCreated {event.task_id} {event.title}", properties


def _existing(event: t.TaskExisting) -> Told:
    return f"TaskExisting {event.task_id} {event.type}", filled(
        {"TaskId": event.task_id, "Type": event.type, "RequestId": event.request_id}
    )


def _started(event: t.TaskStarted) -> Told:
    properties: dict[str, Any] = {
        "TaskId": event.task_id,
        "Attempt": event.attempt,
        "Type": event.type,
        "Queue": event.queue,
        "WaitedMs": ms(event.waited),
    }
    if event.trace_id:
        properties["TraceId"] = event.trace_id
    return f"TaskStarted {event.task_id} {event.type}, attempt {event.attempt}", properties


def _processed(event: t.TaskProcessed) -> Told:
    milliseconds = ms(event.duration)
    properties: dict[str, Any] = {
        "Id": event.task_id,
        "DurationMs": milliseconds,
        "Result": event.result,
        "TaskId": event.task_id,
        "Attempt": event.attempt,
        "Type": event.type,
        "Queue": event.queue,
    }
    if event.trace_id:
        properties["TraceId"] = event.trace_id
    return f"TaskProcessed {event.task_id} {milliseconds:.1f} ms {event.result}", properties


def _retrying(event: t.TaskRetrying) -> Told:
    return f"TaskRetrying {event.task_id} in {event.in_seconds:.1f} s: {event.error}", filled(
        {
            "TaskId": event.task_id,
            "Attempt": event.attempt,
            "Type": event.type,
            "InSeconds": round(event.in_seconds, 3),
            "Error": event.error,
            "TraceId": event.trace_id,
        }
    )


def _failed(event: t.TaskFailed) -> Told:
    return f"TaskFailed {event.task_id} after attempt {event.attempt}: {event.error}", filled(
        {
            "TaskId": event.task_id,
            "Attempt": event.attempt,
            "Type": event.type,
            "Error": event.error,
            "Fingerprint": event.fingerprint,
            "TraceId": event.trace_id,
        }
    )


def _of_task(event: t.TaskCancelled | t.TaskReleased | t.LeaseLost) -> Told:
    return f"{event.message} {event.task_id}", {"TaskId": event.task_id}


def _stale(event: t.StaleFinish) -> Told:
    return f"StaleFinish {event.task_id}, attempt {event.attempt}", {
        "TaskId": event.task_id,
        "Attempt": event.attempt,
    }


def _leases_taken(event: t.LeasesTaken) -> Told:
    owner = event.owner or "expired"
    counts = f"{event.requeued} requeued, {event.failed} failed, {event.cancelled} cancelled"
    return f"LeasesTaken {owner}: {counts}", filled(
        {
            "Owner": event.owner,
            "Requeued": event.requeued,
            "Failed": event.failed,
            "Cancelled": event.cancelled,
        }
    )


def _taken(event: t.TaskTaken) -> Told:
    return f"TaskTaken {event.task_id}: {event.status}", {
        "TaskId": event.task_id,
        "Status": event.status,
    }


def _followed(event: t.TasksFollowed) -> Told:
    counts = f"{event.let_go} let go, {event.failed} failed, {event.cancelled} cancelled"
    return f"TasksFollowed others: {counts}", {
        "LetGo": event.let_go,
        "Failed": event.failed,
        "Cancelled": event.cancelled,
    }


def _stubborn(event: t.HandlerStubborn) -> Told:
    return f"HandlerStubborn {event.task_id} {event.type}: {event.reason}", {
        "TaskId": event.task_id,
        "Type": event.type,
        "Reason": event.reason,
    }


LINES: dict[type[Telemetry], Line] = {
    t.TaskCreated: Line(_created, "api"),
    t.TaskExisting: Line(_existing, "api"),
    t.TaskStarted: Line(_started, "pool"),
    t.TaskProcessed: Line(_processed, "pool"),
    t.TaskRetrying: Line(_retrying, "pool"),
    t.TaskFailed: Line(_failed, "pool"),
    t.TaskCancelled: Line(_of_task),
    t.TaskReleased: Line(_of_task, "pool"),
    t.StaleFinish: Line(_stale, "pool"),
    t.LeaseLost: Line(_of_task, "pool"),
    t.LeasesTaken: Line(_leases_taken),
    t.TaskTaken: Line(_taken),
    t.TasksFollowed: Line(_followed),
    t.HandlerStubborn: Line(_stubborn, "pool"),
}
