"""Which events a listener wants to hear of, and how its query says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec
from multidict import MultiMapping

from taskhub.http.queries import LIST, Parameter, id_of_task, limit_of, values
from taskhub.model import EventType, PastEvent, Status, TaskId

T = TypeVar("T")

DIGITS = 18
"""Of the number of an event, at most: more are none of SQLite's."""

REACHED = {
    EventType.CREATED: Status.PENDING,
    EventType.STARTED: Status.PROCESSING,
    EventType.PROGRESS: Status.PROCESSING,
    EventType.RETRYING: Status.PENDING,
    EventType.DONE: Status.DONE,
    EventType.FAILED: Status.FAILED,
    EventType.CANCELLED: Status.CANCELLED,
}
"""The status in which each event leaves its task."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Every condition that is there must hold; without any, everything is wanted."""

    events: frozenset[EventType] = frozenset(EventType)
    type: str | None = None
    queue: str | None = None
    task: TaskId | None = None

    def __call__(self, event: PastEvent) -> bool:
        """Whether this one is."""
        return (
            event.type in self.events
            and (self.type is None or self.type == event.kind)
            and (self.queue is None or self.queue == event.queue)
            and (self.task is None or self.task == event.id)
        )


EVERYTHING = Wanted()


def _several(kind: Callable[[str], T]) -> Callable[[str], frozenset[T]]:
    return lambda text: frozenset(map(kind, text.split(",")))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS):
        raise ValueError(text)
    return int(text)


def _names(kind: type[EventType | Status], rule: str) -> tuple[str, dict[str, object]]:
    names = list(map(str, kind))
    pattern = f"^({'|'.join(names)})(,({'|'.join(names)}))*$"
    return f"{rule}: {', '.join(names)}", {
        "type": "string",
        "pattern": pattern,
        "examples": names[-2:],
    }


_EVENT_RULE, _EVENT_SCHEMA = _names(EventType, "one or more of these, with commas between")
_STATUS_RULE, _STATUS_SCHEMA = _names(Status, "events that lead to one of these, commas between")

FOLLOW = (
    Parameter("event", "events", _EVENT_RULE, _several(EventType), _EVENT_SCHEMA),
    Parameter("status", "statuses", _STATUS_RULE, _several(Status), _STATUS_SCHEMA),
    *(parameter for parameter in LIST if parameter.name in {"type", "queue"}),
    Parameter("task", "task", "the id of a task", id_of_task, {"type": "string", "format": "uuid"}),
)
"""What `GET /events` understands behind the `?`."""


HISTORY = (
    Parameter("after", "after", "the `next` of the page before", _number, {"type": "integer"}),
    limit_of("events"),
)
"""What the history of a task, as JSON, understands behind the `?`."""


def wanted(query: MultiMapping[str]) -> Wanted:
    """What a query asks for; raises BadQuery."""
    found = values(query, FOLLOW)
    statuses = found.pop("statuses", frozenset(Status))
    events = found.pop("events", EVERYTHING.events)
    reached = frozenset(event for event in events if REACHED[event] in statuses)
    return Wanted(events=reached, **found)
