"""What an event looks like to a listener: as JSON, and as a frame of `text/event-stream`."""

from __future__ import annotations

import msgspec

from taskhub.model import EventType, PastEvent
from taskhub.telling import EventItem, item

ENDS = frozenset({EventType.DONE, EventType.FAILED, EventType.CANCELLED})
"""After one of these nothing more happens to a task, unless an operator lets it begin anew."""


class EventList(msgspec.Struct, frozen=True):
    """Events of one task, oldest first, and `after` of the next page (null: this was the last)."""

    items: list[EventItem]
    next: int | None


class Reset(msgspec.Struct, frozen=True):
    """How far the table reaches now: some of what was asked for is not in it."""

    oldest: int
    newest: int


class Frame(msgspec.Struct, frozen=True, gc=False):
    """An event and its text, made once for all listeners."""

    event: PastEvent
    text: bytes


_encode = msgspec.json.Encoder().encode


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
