"""What actors, processes and handlers read like in the log."""

from __future__ import annotations

from typing import Any

from taskhub.obs import telemetry as t
from taskhub.obs.lines.line import SEVERITIES, Line, Told, filled, plain
from taskhub.obs.telemetry import Level, Telemetry

FIELDS_LIMIT = 32
"""Properties that a handler may give to one line."""
RESERVED = frozenset({"app", "unit", "lvl", "ActorId", "RequestId", "TaskId", "Attempt", "TraceId"})
"""Names that a handler's own property may not take: they are ours."""


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
    culprit = f" by {event.type} {event.task_id}" if event.type else ""
    return f"LoopBlocked for {event.seconds:.2f} s{culprit}", filled(
        {
            "TaskId": event.task_id,
            "Type": event.type,
            "Seconds": round(event.seconds, 3),
            "@x": event.trace,
        }
    )


def _heartbeat(event: t.Heartbeat) -> Told:
    return event.message, {}


def _severity(event: t.HandlerSaid) -> Level:
    return SEVERITIES.get(event.severity.lower(), Level.INFO)


LINES: dict[type[Telemetry], Line] = {
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
    t.Said: Line(plain),
    t.Complained: Line(plain),
}
