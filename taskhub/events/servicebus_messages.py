"""What goes over a topic of Service Bus, written and read; no connection.

An event is a message for the outside; a bell is for every process of ours; a hint of new work for
one worker. Their subjects tell them apart, so that the rules of subscriptions can.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any
from uuid import uuid4

import msgspec
from azure.servicebus import ServiceBusMessage

from taskhub.bus import KINDS
from taskhub.model import Event, EventType

BELL, HINT = "bell", "work"
BELL_TTL, TTL = timedelta(seconds=60), timedelta(hours=1)
"""After which nobody needs a bell or a hint, an event."""
HINTS = 16
"""Hints at most of one publishing: more workers than that find their tasks when they poll."""
BODY_LIMIT = 64  # bytes; no bell and no hint of ours is longer
CHANNEL = "channel"
SUBJECTS = frozenset({BELL, HINT, *EventType})

_json = msgspec.json.Encoder().encode


class Unreadable(Exception):
    """Nobody of ours has written this message; the text says what it lacks, never what it holds."""


def outgoing(
    channel: str, events: Sequence[Event], kinds: frozenset[str]
) -> Iterator[ServiceBusMessage]:
    """The bell, then hints, for they wake the workers, then the events."""
    if kinds:
        body = b" ".join(sorted(kind.encode() for kind in kinds))
        yield _message(channel, BELL, body, uuid4().hex)
    if "work" in kinds:
        new = (str(event.id) for event in events if event.type is EventType.CREATED)
        for task in list(islice(new, HINTS)) or [uuid4().hex]:
            yield _message(channel, HINT, task.encode(), f"{task}:{HINT}")
    for event in events:
        yield _message(channel, event.type, _json(event), identity(event))


def identity(event: Event) -> str:
    """The same whenever this event is sent: a new task's is its id."""
    if event.type is EventType.CREATED:
        return event.id
    return f"{event.id}:{event.type}:{event.at.timestamp():.6f}"


def _message(channel: str, subject: str, body: bytes, id_: str) -> ServiceBusMessage:
    is_ours = subject in {BELL, HINT}
    return ServiceBusMessage(
        body,
        subject=subject,
        message_id=id_,
        content_type="text/plain" if is_ours else "application/json",
        time_to_live=BELL_TTL if is_ours else TTL,
        application_properties={CHANNEL: channel},
    )


def rung_by(message: Any, channel: str) -> frozenset[str]:
    """The kinds that it rings for; none where it is for others. Raises Unreadable."""
    if not _is_for(message, channel, BELL):
        return frozenset()
    kinds = frozenset(_text(message).split(" "))
    return KINDS if kinds - KINDS else kinds  # a newer TaskHub may have other kinds


def is_hint(message: Any, channel: str) -> bool:
    """Whether there may be something to claim; False: it is for others. Raises Unreadable."""
    return _is_for(message, channel, HINT) and bool(_text(message))


def _is_for(message: Any, channel: str, subject: str) -> bool:
    told = (message.application_properties or {}).get(CHANNEL.encode())
    if not isinstance(told, bytes):
        raise Unreadable("no channel")
    if message.subject not in SUBJECTS:
        raise Unreadable("another subject than TaskHub's")
    return told == channel.encode() and message.subject == subject


def _text(message: Any) -> str:
    """What it says; a message that cannot be read has parts of any type."""
    parts = list(message.body) if isinstance(message.body, Iterator) else []
    if not parts or not all(isinstance(part, bytes) for part in parts):
        raise Unreadable("a body that is not bytes")
    body = b"".join(parts)
    if not body or len(body) > BODY_LIMIT or not body.isascii():
        raise Unreadable("a body of another form")
    return body.decode("ascii")
