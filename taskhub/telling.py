"""What an event looks like to those outside, as JSON, and the tasks that bring it to webhooks."""

from __future__ import annotations

from datetime import datetime

import msgspec

from taskhub.model import EventType, PastEvent, TaskId

DELIVERY = "webhook"
"""The type of the tasks that bring an event to a webhook; TaskHub alone makes them."""
DELIVERY_QUEUE = "webhooks"
DELIVERY_ATTEMPTS = 80
DELIVERY_TIMEOUT = 60.0


class EventItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What has happened to a task. `id` and `title` are the task's, `seq` the event's own number.

    `title` is null when the task was deleted since. `progress` is there when a handler has said
    something, `error` and `fingerprint` when an attempt has failed.
    """

    type: EventType
    id: TaskId
    title: str | None
    at: datetime
    seq: int
    progress: msgspec.Raw | None = None
    error: str | None = None
    fingerprint: str | None = None


class TaskEvent(EventItem, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What a webhook is told: an event, with the type of its task and the queue."""

    task_type: str
    queue: str


class Delivery(msgspec.Struct, frozen=True):
    """The payload of a task that brings an event (a `TaskEvent`) to a webhook."""

    webhook: str
    event: msgspec.Raw


class Words(msgspec.Struct, frozen=True):
    """What the data of an event may say, other than progress."""

    error: str | None = None
    fingerprint: str | None = None


_SILENT = Words()
_words = msgspec.json.Decoder(Words)


def item(event: PastEvent) -> EventItem:
    """The event as listeners know it."""
    progress, words = _said(event)
    return EventItem(
        type=event.type,
        id=event.id,
        title=event.title,
        at=event.at,
        seq=event.seq,
        progress=progress,
        error=words.error,
        fingerprint=words.fingerprint,
    )


def told(event: PastEvent) -> TaskEvent:
    """The event as a webhook is told it; its task is still there."""
    progress, words = _said(event)
    return TaskEvent(
        type=event.type,
        id=event.id,
        title=event.title,
        at=event.at,
        seq=event.seq,
        progress=progress,
        error=words.error,
        fingerprint=words.fingerprint,
        task_type=event.kind or "",
        queue=event.queue or "",
    )


def _said(event: PastEvent) -> tuple[msgspec.Raw | None, Words]:
    if event.data is None:
        return None, _SILENT
    if event.type is EventType.PROGRESS:
        return msgspec.Raw(event.data), _SILENT
    return None, _words.decode(event.data)
