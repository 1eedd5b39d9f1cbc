"""What a line is: a sentence and its properties; it writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from taskhub.obs.telemetry import Complained, Level, Said, ServerSaid

Told = tuple[str, dict[str, Any]]
"""The sentence (`@m`) and the properties, in the order in which they are written."""


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


def ms(seconds: float) -> float:
    """Milliseconds, to the microsecond; a third of what round() takes."""
    return int(seconds * 1e6 + 0.5) / 1e3


SEVERITIES = {
    "debug": Level.DEBUG,
    "info": Level.INFO,
    "warning": Level.WARNING,
    "error": Level.ERROR,
    "critical": Level.ERROR,
} | {level.value.lower(): level for level in Level}
"""The words for a level that the configuration, handlers and `logging` use."""


def plain(event: Said | Complained | ServerSaid) -> Told:
    """The event's own text, and nothing else."""
    return event.text, {}
