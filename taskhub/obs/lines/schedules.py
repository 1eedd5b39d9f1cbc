"""What schedules read like in the log."""

from __future__ import annotations

from taskhub.obs import telemetry as t
from taskhub.obs.lines.line import Line, Told, filled, ms
from taskhub.obs.telemetry import Level, Telemetry

LOUD = frozenset({"missed", "full"})
"""Reasons that somebody should look at."""


def _fired(event: t.ScheduleFired) -> Told:
    why = f" ({event.reason})" if event.reason else ""
    due = event.due.isoformat()
    text = f"ScheduleFired {event.schedule} due {due}: {event.outcome}{why}"
    return text, filled(
        {
            "Schedule": event.schedule,
            "DueAt": due,
            "Outcome": event.outcome,
            "Reason": event.reason,
            "Since": "" if event.since is None else event.since.isoformat(),
            "TaskId": event.task_id,
            "LateMs": ms(event.late),
        }
    )


def _level(event: t.ScheduleFired) -> Level:
    return Level.WARNING if event.reason in LOUD else Level.INFO


def _broken(event: t.ScheduleBroken) -> Told:
    return f"ScheduleBroken {event.schedule}: {event.reason}", {
        "Schedule": event.schedule,
        "Reason": event.reason,
    }


def _declared(event: t.SchedulesDeclared) -> Told:
    done = (
        ("added", event.added),
        ("changed", event.changed),
        ("removed", event.removed),
        ("refused", event.refused),
    )
    parts = [f"{how} {', '.join(names)}" for how, names in done if names]
    where = f"{event.source} {event.place}".strip()
    return f"SchedulesDeclared by {where}: {'; '.join(parts)}", {
        "Source": event.source,
        "Place": event.place,
        **{how.capitalize(): list(names) for how, names in done if names},
    }


def _declared_level(event: t.SchedulesDeclared) -> Level:
    return Level.WARNING if event.refused else Level.INFO


LINES: dict[type[Telemetry], Line] = {
    t.ScheduleFired: Line(_fired, "scheduler", _level),
    t.ScheduleBroken: Line(_broken, "scheduler"),
    t.SchedulesDeclared: Line(_declared, level=_declared_level),
}
