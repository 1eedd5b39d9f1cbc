"""What each event reads like in the log: a sentence and its properties; it writes nothing."""

from __future__ import annotations

from taskhub.obs.lines import actors, outbound, schedules, tasks, world
from taskhub.obs.lines.line import SEVERITIES, Line, Told
from taskhub.obs.telemetry import Telemetry

__all__ = ["LINES", "SEVERITIES", "Line", "Told", "plain_line"]

LINES: dict[type[Telemetry], Line] = (
    tasks.LINES | actors.LINES | world.LINES | outbound.LINES | schedules.LINES
)
"""Every event that is logged. One whose `message` is empty is told by metrics alone."""


def plain_line(kind: type[Telemetry]) -> Line:
    """The line of an event that has none in `LINES`: its name, and its fields as they are."""
    names = [(field, _pascal(field)) for field in kind.__struct_fields__]

    def say(event: Telemetry) -> Told:
        return kind.message, {name: getattr(event, field) for field, name in names}

    return Line(say)


def _pascal(field: str) -> str:
    return "".join(part.capitalize() for part in field.split("_"))
