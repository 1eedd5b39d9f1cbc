"""What goes over a topic: who it is for, what names it, what is none of ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from taskhub.bus import KINDS
from taskhub.events.servicebus_messages import HINTS, Unreadable, is_hint, outgoing, rung_by
from taskhub.model import Event, EventType, TaskId

AT = datetime(2025, 9, 28, 22, 17, 17, tzinfo=UTC)
WORK = frozenset({"work"})


def event(type_: EventType, id_: str = "t1") -> Event:
    """One that happened."""
    return Event(type_, TaskId(id_), "Über", AT)


def ids(events: list[Event], kinds: frozenset[str]) -> list[tuple[str | None, Any]]:
    """Subject and id of what goes out."""
    return [(each.subject, each.message_id) for each in outgoing("c", events, kinds)]


def received(body: Any, subject: str = "bell", channel: Any = b"c") -> Any:
    """As the library gives a message."""
    properties = None if channel is None else {b"channel": channel}
    return SimpleNamespace(body=body, subject=subject, application_properties=properties)


def test_the_bell_goes_first_then_hints_then_events() -> None:
    """A new task's message bears its id, any other event's one that it has again when resent."""
    done = event(EventType.DONE)
    (_, first), *rest = ids([event(EventType.CREATED), done], WORK | {"ended"})

    assert rest == [("work", "t1:work"), ("TaskCreated", "t1"), ids([done], frozenset())[0]]
    assert first != ids([], WORK)[0][1]


def test_a_flood_of_tasks_sends_few_hints() -> None:
    """Each costs a worker a millisecond, and a claim takes as many tasks as fit."""
    flood = [event(EventType.CREATED, f"t{n}") for n in range(200)]

    assert [subject for subject, _ in ids(flood, WORK)].count("work") == HINTS
    assert [subject for subject, _ in ids([], WORK)].count("work") == 1
    assert ids([], frozenset()) == []


def test_nothing_stays_for_long() -> None:
    """Where nobody listens, a topic does not fill up."""
    lives = [each.time_to_live for each in outgoing("c", [event(EventType.CREATED)], WORK)]

    assert lives == [timedelta(seconds=60), timedelta(seconds=60), timedelta(hours=1)]


def test_a_bell_is_read_as_it_was_rung() -> None:
    """One of a newer TaskHub may have kinds that we do not know: it stands for all."""
    (sent,) = outgoing("c", [], frozenset({"ended", "cancel"}))

    assert rung_by(received(iter(sent.body)), "c") == {"ended", "cancel"}
    assert rung_by(received(iter([b"ended unheard"])), "c") == KINDS
    assert rung_by(received(iter([b"ended"]), channel=b"other"), "c") == frozenset()
    assert rung_by(received(iter([b"{}"]), subject="TaskDone"), "c") == frozenset()
    assert not is_hint(received(iter([b"ended"])), "c")
    assert is_hint(received(iter([b"t1"]), subject="work"), "c")


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (received(iter([b"work"]), channel=None), "no channel"),
        (received(iter([b"work"]), channel=7), "no channel"),
        (received(iter([b"work"]), subject="canary"), "another subject"),
        (received({"a": "canary"}), "not bytes"),
        (received(iter([["canary"]])), "not bytes"),
        (received(iter([b"canary" * 99])), "another form"),
        (received(iter([b"\xff"])), "another form"),
        (received(iter([b""])), "another form"),
    ],
)
def test_what_nobody_of_ours_wrote_is_said_to_be_unreadable(message: Any, why: str) -> None:
    """With what it lacks, never with what it holds."""
    with pytest.raises(Unreadable, match=why) as caught:
        rung_by(message, "c")
    assert "canary" not in str(caught.value)
