"""What the demo asks TaskHub to do, and what must have become of it; no input, no output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Task = dict[str, Any]
ENDED = frozenset({"Done", "Failed", "Cancelled"})


@dataclass(frozen=True)
class Part:
    """One task of the demo: what is posted, and how it must end."""

    title: str
    type: str
    payload: Mapping[str, Any]
    status: str = "Done"
    attempts: int = 1
    """How often it must have been started; the killed worker's task: once more."""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def body(self) -> Task:
        """The body of `POST /tasks`."""
        return {"title": self.title, "type": self.type, "payload": self.payload, **self.extra}


SLOW = Part("Copy a film (its worker is killed)", "simulate", {"seconds": 3}, attempts=2)
PARTS = (
    SLOW,
    Part("Resize images", "simulate", {"seconds": 0.2}),
    Part("Count the stars", "simulate", {"seconds": 1}),
    Part("Shout", "transform", {"value": "it works", "operation": "upper"}),
    Part("Call a shaky service (fails once)", "fail", {"times": 1}, attempts=2),
    Part(
        "Call a dead service (fails for good)",
        "fail",
        {"times": 99},
        status="Failed",
        extra={"maxAttempts": 1},
    ),
)


def may_kill(tasks: list[Task]) -> bool:
    """Whether the slow task runs, and nothing else is under way that a kill could hit."""
    others = [task for task in tasks if task["title"] != SLOW.title]
    return (
        len(tasks) == len(PARTS)
        and any(task["title"] == SLOW.title and task["status"] == "Processing" for task in tasks)
        and all(task["status"] in ENDED for task in others)
    )


def all_ended(tasks: list[Task]) -> bool:
    """Whether nothing is left to wait for."""
    return len(tasks) == len(PARTS) and all(task["status"] in ENDED for task in tasks)


def complaints(tasks: list[Task]) -> list[str]:
    """What did not become of the tasks as it must; nothing when all is well."""
    by_title = {task["title"]: task for task in tasks}
    return [
        f"{part.title}: expected {part.status} after {part.attempts} attempts, "
        f"found {found['status']} after {found['attempts']}"
        for part in PARTS
        if (found := by_title[part.title])["status"] != part.status
        or found["attempts"] != part.attempts
    ]


def takeover(tasks: list[Task], killed_at: float) -> float:
    """Seconds from the kill (seconds since 1970) to the next start of the slow task."""
    slow = next(task for task in tasks if task["title"] == SLOW.title)
    return seconds_of(slow["startedAt"]) - killed_at


def waited(task: Task) -> float:
    """Seconds from its creation to its (last) start."""
    return max(0.0, seconds_of(task["startedAt"]) - seconds_of(task["createdAt"]))


def ran(task: Task) -> float:
    """Seconds from its (last) start to its end."""
    return max(0.0, seconds_of(task["finishedAt"]) - seconds_of(task["startedAt"]))


def seconds_of(text: str) -> float:
    """Seconds since 1970 of a time of the API."""
    return datetime.fromisoformat(text).timestamp()
