"""TaskHub: a durable task server; this package is what user code imports."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskhub.backoff import Backoff as Backoff
    from taskhub.model import Cancel as Cancel
    from taskhub.model import Done as Done
    from taskhub.model import Fail as Fail
    from taskhub.model import Parent as Parent
    from taskhub.model import Retry as Retry
    from taskhub.model import Snooze as Snooze
    from taskhub.model import TaskItem as TaskItem
    from taskhub.model import Unique as Unique
    from taskhub.work.job import Job as Job
    from taskhub.work.registry import handler as handler
    from taskhub.work.scheduled import schedule as schedule

_HOMES = {
    "Backoff": "taskhub.backoff",
    "Cancel": "taskhub.model",
    "Done": "taskhub.model",
    "Fail": "taskhub.model",
    "Job": "taskhub.work.job",
    "Parent": "taskhub.model",
    "Retry": "taskhub.model",
    "Snooze": "taskhub.model",
    "TaskItem": "taskhub.model",
    "Unique": "taskhub.model",
    "handler": "taskhub.work.registry",
    "schedule": "taskhub.work.scheduled",
}

__all__ = [
    "Backoff",
    "Cancel",
    "Done",
    "Fail",
    "Job",
    "Parent",
    "Retry",
    "Snooze",
    "TaskItem",
    "Unique",
    "handler",
    "schedule",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: the command line starts quickly without them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'taskhub' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
