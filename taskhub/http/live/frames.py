"""What an event looks like to a listener: as JSON, and as a frame of `text/event-stream`."""

from __future__ import annotations

from datetime import datetime

import msgspec

from taskhub.model import EventType, PastEvent, TaskId

ENDS = frozenset({EventType.DONE, EventType.FAILED, EventType.CANCELLED})
"""After one of these nothing more happens to a task, unless an operator lets it begin anew."""


class EventItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What has happened to a task. `id` and `title` are the task's, `seq` the event's own number.

    `title` is null when the task was deleted since. `progress` is there when a handler has said
    something, `error` when an attempt has failed.
    """

    type: EventType
    id: TaskId
    title: str | None
    at: datetime
    seq: int
    progress: msgspec.Raw | None = None
    error: str | None = None


class EventList(msgspec.Struct, frozen=True):
    """Events of one task, oldest first, and `after` of the next page (null: this was the last)."""

    items: list[EventItem]
    next: int | None


class Reset(msgspec.Struct, frozen=True):
    """How far the table reaches now: some of what was asked for is not in it."""

    oldest: int
    newest: int


class Words(msgspec.Struct, frozen=True):
    """What the data of an event may say, other than progress."""

    error: str | None = None


class Frame(msgspec.Struct, frozen=True, gc=False):
    """An event and its text, made once for all listeners."""

    event: PastEvent
    text: bytes


_encode = msgspec.json.Encoder().encode
_words = msgspec.json.Decoder(Words)


def item(event: PastEvent) -> EventItem:
    """The event as listeners know it."""
    progress = error = None
    if event.data is not None:
        if event.type is EventType.PROGRESS:
            progress = msgspec.Raw(event.data)
        else:
            error = _words.decode(event.data).error
    return EventItem(
        type=event.type,
        id=event.id,
        title=event.title,
        at=event.at,
        seq=event.seq,
        progress=progress,
        error=error,
    )


def frame(event: PastEvent) -> Frame:
    """The event as a frame; a listener that has it resumes after its id."""
    data = _one_line(_encode(item(event)))
    return Frame(event, b"id: %d\nevent: %b\ndata: %b\n\n" % (event.seq, event.type.encode(), data))


def beat(position: int) -> bytes:
    """Nothing has happened, up to here: proxies see life, and the listener resumes from here."""
    return b": beat\nid: %d\n\n" % position


def reset(oldest: int, newest: int, position: int) -> bytes:
    """The listener has missed something that nobody can tell it; it goes on from `position`."""
    return b"id: %d\nevent: reset\ndata: %b\n\n" % (position, _encode(Reset(oldest, newest)))


def end(position: int) -> bytes:
    """The task has ended; the stream does too."""
    return b"id: %d\nevent: end\ndata: {}\n\n" % position


def retry(milliseconds: int) -> bytes:
    """How long to wait before connecting again."""
    return b"retry: %d\n\n" % milliseconds


def _one_line(text: bytes) -> bytes:
    """A handler's progress may have come with line breaks between its members."""
    return msgspec.json.format(text, indent=-1) if b"\n" in text or b"\r" in text else text
