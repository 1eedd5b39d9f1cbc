"""What each event reads like in the log: a sentence and its properties; it writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from taskhub.obs import telemetry as t
from taskhub.obs.telemetry import Level, Telemetry

E = TypeVar("E", bound=Telemetry)
Told = tuple[str, dict[str, Any]]
"""The sentence (`@m`) and the properties, in the order in which they are written."""

FIELDS_LIMIT = 32
"""Properties that a handler may give to one line."""
RESERVED = frozenset({"app", "unit", "lvl", "ActorId", "TaskId", "Attempt", "TraceId"})
"""Names that a handler's own property may not take: they are ours."""


class Line(NamedTuple):
    """How an event is told.

    `role` is the actor that says it ("": the event names it, or the process itself does);
    `level` is given when it depends on the event.
    """

    say: Callable[[Any], Told]
    role: str = ""
    level: Callable[[Any], Level] | None = None


def filled(properties: dict[str, Any]) -> dict[str, Any]:
    """Without the texts that are empty: what is not known is not written."""
    return {name: value for name, value in properties.items() if value != ""}


def _ms(seconds: float) -> float:
    """Milliseconds, to the microsecond; a third of what round() takes."""
    return int(seconds * 1e6 + 0.5) / 1e3


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


def _started(event: t.TaskStarted) -> Told:
    properties: dict[str, Any] = {
        "TaskId": event.task_id,
        "Attempt": event.attempt,
        "Type": event.type,
        "Queue": event.queue,
        "WaitedMs": _ms(event.waited),
    }
    if event.trace_id:
        properties["TraceId"] = event.trace_id
    return f"TaskStarted {event.task_id} {event.type}, attempt {event.attempt}", properties


def _processed(event: t.TaskProcessed) -> Told:
    milliseconds = _ms(event.duration)
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


def _stubborn(event: t.HandlerStubborn) -> Told:
    return f"HandlerStubborn {event.task_id} {event.type}: {event.reason}", {
        "TaskId": event.task_id,
        "Type": event.type,
        "Reason": event.reason,
    }


def _handler_raised(event: t.HandlerRaised) -> Told:
    return f"HandlerRaised {event.task_id} {event.type}: {event.error}", filled(
        {
            "TaskId": event.task_id,
            "Attempt": event.attempt,
            "Type": event.type,
            "Error": event.error,
            "@x": event.trace,
        }
    )


def _handler_said(event: t.HandlerSaid) -> Told:
    properties: dict[str, Any] = {"TaskId": event.task_id, "Attempt": event.attempt}
    for name, value in list(event.fields.items())[:FIELDS_LIMIT]:
        properties[_own_name(str(name))] = value
    return event.text, filled(properties | {"TraceId": event.trace_id})


def _own_name(name: str) -> str:
    """A handler's property under a name that cannot pass for one of ours (CLEF doubles the @)."""
    if name.startswith("@"):
        return f"@{name}"
    return f"{name}_" if name in RESERVED else name


def _actor_changed(event: t.ActorChanged) -> Told:
    return f"ActorChanged {event.actor} {event.state}", {
        "ActorId": event.actor,
        "State": event.state,
    }


def _actor_restarting(event: t.ActorRestarting) -> Told:
    return f"ActorRestarting {event.actor} in {event.pause:.2f} s: {event.error}", filled(
        {
            "ActorId": event.actor,
            "Error": event.error,
            "PauseSeconds": round(event.pause, 3),
            "@x": event.trace,
        }
    )


def _actor_gave_up(event: t.ActorGaveUp) -> Told:
    return f"ActorGaveUp {event.actor}: {event.error}", {
        "ActorId": event.actor,
        "Error": event.error,
    }


def _actor_unstopped(event: t.ActorUnstopped) -> Told:
    how = "ignores its cancellation" if event.left else "did not stop in time"
    return f"ActorUnstopped {event.actor} {how}", {"ActorId": event.actor, "Left": event.left}


def _process_changed(event: t.ProcessChanged) -> Told:
    why = f": {event.detail}" if event.detail else ""
    return f"ProcessChanged {event.actor} (pid {event.pid}) {event.what}{why}", filled(
        {
            "ActorId": event.actor,
            "Pid": event.pid,
            "What": event.what,
            "Detail": event.detail,
        }
    )


def _process_level(event: t.ProcessChanged) -> Level:
    went_well = event.what == "exited" and event.detail == "exit code 0"
    return Level.WARNING if event.what in {"exited", "killed"} and not went_well else Level.INFO


def _hook_failed(event: t.HookFailed) -> Told:
    return f"HookFailed {event.hook} of {event.actor}: {event.error}", filled(
        {
            "ActorId": event.actor,
            "Hook": event.hook,
            "Error": event.error,
            "@x": event.trace,
        }
    )


def _signal_received(event: t.SignalReceived) -> Told:
    return f"SignalReceived {event.signal}: {event.action}", {
        "ActorId": event.actor,
        "Signal": event.signal,
        "Action": event.action,
    }


def _stacks_dumped(event: t.StacksDumped) -> Told:
    return f"StacksDumped of {event.actor}", {"ActorId": event.actor, "@x": event.trace}


def _loop_blocked(event: t.LoopBlocked) -> Told:
    return f"LoopBlocked for {event.seconds:.2f} s", filled(
        {
            "Seconds": round(event.seconds, 3),
            "@x": event.trace,
        }
    )


def _heartbeat(event: t.Heartbeat) -> Told:
    return event.message, {}


def _plain(event: t.Said | t.Complained | t.ServerSaid) -> Told:
    return event.text, {}


def _state_changed(event: t.StateChanged) -> Told:
    why = f": {event.detail}" if event.detail else ""
    return f"StateChanged {event.part} {event.state}{why}", filled(
        {
            "Part": event.part,
            "State": event.state,
            "Detail": event.detail,
        }
    )


def _state_level(event: t.StateChanged) -> Level:
    return {"ok": Level.INFO, "failed": Level.ERROR}.get(event.state, Level.WARNING)


def _reloaded(event: t.Reloaded) -> Told:
    changes, later = "; ".join(event.changes), "; ".join(event.needs_restart)
    more = f" (needs a restart: {later})" if later else ""
    return f"Reloaded {changes or 'nothing has changed'}{more}", filled(
        {
            "Changes": changes,
            "NeedsRestart": later,
        }
    )


def _reload_refused(event: t.ReloadRefused) -> Told:
    problems = "; ".join(event.problems)
    return f"ReloadRefused {problems}", {"Problems": problems}


def _request_served(event: t.RequestServed) -> Told:
    milliseconds = _ms(event.seconds)
    what = f"{event.method} {event.route} {event.status}"
    return f"RequestServed {what} {milliseconds:.1f} ms", filled(
        {
            "Method": event.method,
            "Route": event.route,
            "Status": event.status,
            "DurationMs": milliseconds,
            "RequestId": event.request_id,
            "TraceId": event.trace_id,
        }
    )


def _request_crashed(event: t.RequestCrashed) -> Told:
    return f"RequestCrashed {event.method} {event.route}", filled(
        {
            "Method": event.method,
            "Route": event.route,
            "RequestId": event.request_id,
            "TraceId": event.trace_id,
            "@x": event.trace,
        }
    )


def _act_audited(event: t.ActAudited) -> Told:
    return f"ActAudited {event.subject} {event.act} {event.task_id}", filled(
        {
            "Subject": event.subject,
            "Act": event.act,
            "TaskId": event.task_id,
            "Address": event.address,
            "RequestId": event.request_id,
        }
    )


def _severity(event: t.HandlerSaid) -> Level:
    return SEVERITIES.get(event.severity.lower(), Level.INFO)


SEVERITIES = {
    "debug": Level.DEBUG,
    "info": Level.INFO,
    "warning": Level.WARNING,
    "error": Level.ERROR,
    "critical": Level.ERROR,
} | {level.value.lower(): level for level in Level}
"""The words for a level that the configuration, handlers and `logging` use."""

LINES: dict[type[Telemetry], Line] = {
    t.TaskCreated: Line(_created, "api"),
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
    t.HandlerStubborn: Line(_stubborn, "pool"),
    t.HandlerRaised: Line(_handler_raised, "pool"),
    t.HandlerSaid: Line(_handler_said, "pool", _severity),
    t.ActorChanged: Line(_actor_changed),
    t.ActorRestarting: Line(_actor_restarting),
    t.ActorGaveUp: Line(_actor_gave_up),
    t.ActorUnstopped: Line(_actor_unstopped),
    t.ProcessChanged: Line(_process_changed, level=_process_level),
    t.HookFailed: Line(_hook_failed),
    t.SignalReceived: Line(_signal_received),
    t.StacksDumped: Line(_stacks_dumped),
    t.LoopBlocked: Line(_loop_blocked),
    t.Heartbeat: Line(_heartbeat, "heartbeat"),
    t.Said: Line(_plain),
    t.Complained: Line(_plain),
    t.ServerSaid: Line(_plain, "events-server"),
    t.StateChanged: Line(_state_changed, level=_state_level),
    t.Reloaded: Line(_reloaded),
    t.ReloadRefused: Line(_reload_refused),
    t.RequestServed: Line(_request_served, "api"),
    t.RequestCrashed: Line(_request_crashed, "api"),
    t.ActAudited: Line(_act_audited, "api"),
}
"""Every event that is logged. One whose `message` is empty is told by metrics alone."""


def plain_line(kind: type[Telemetry]) -> Line:
    """The line of an event that has none in `LINES`: its name, and its fields as they are."""
    names = [(field, _pascal(field)) for field in kind.__struct_fields__]

    def say(event: Telemetry) -> Told:
        return kind.message, {name: getattr(event, field) for field, name in names}

    return Line(say)


def _pascal(field: str) -> str:
    return "".join(part.capitalize() for part in field.split("_"))
