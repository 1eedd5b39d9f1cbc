"""From a definition to the task that one of its due times becomes; it asks nobody."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime

import msgspec

from taskhub.model import Status, TaskId, TaskItem, TypeDefaults, TypeInfo
from taskhub.schedules.schedule import Definition

CREATOR = "schedule:"
"""What stands before the name of a schedule in `createdBy` of its tasks."""


def defaults_by_type(infos: Iterable[TypeInfo]) -> dict[str, TypeDefaults]:
    """What tasks of each type get where nothing is said; where a schema is odd, the usual."""
    found: dict[str, TypeDefaults] = {}
    for info in infos:
        with suppress(msgspec.ValidationError):
            found[info.name] = info.defaults
    return found


class Birth(msgspec.Struct, frozen=True):
    """What is said of one run: the id of its task, when it is made, and for which due time."""

    id: str
    at: datetime
    due: datetime


def task(definition: Definition, defaults: TypeDefaults, birth: Birth) -> TaskItem:
    """The task as it will be stored; `defaults` are those of its type."""
    attempts, timeout = definition.max_attempts, definition.timeout_seconds
    return TaskItem(
        id=TaskId(birth.id),
        title=definition.title,
        type=definition.type,
        queue=definition.queue or defaults.queue,
        priority=definition.priority,
        status=Status.PENDING,
        payload=definition.payload,
        result=None,
        error=None,
        progress=None,
        attempts=0,
        max_attempts=defaults.max_attempts if attempts is None else attempts,
        timeout_seconds=defaults.timeout_seconds if timeout is None else timeout,
        cancel_requested=False,
        created_at=birth.at,
        updated_at=birth.at,
        run_at=birth.due,
        started_at=None,
        finished_at=None,
        created_by=f"{CREATOR}{definition.name}",
    )
