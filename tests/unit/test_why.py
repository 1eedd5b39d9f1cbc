"""Golden answers: what is said for each cause, word by word."""

# ruff: noqa: ISC004 - long sentences in a table

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from taskhub.http.openapi.examples import ITEM
from taskhub.model import Owner, Status
from taskhub.queues import AHEAD_MOST, Circumstances
from taskhub.why import Cause, why

NOW = datetime(2030, 1, 31, 8, 0, tzinfo=UTC)
SOON = NOW + timedelta(seconds=30)
OWNER = Owner("1b4e-boot/worker-1/5f00")
PENDING = {"status": Status.PENDING, "run_at": NOW, "updated_at": NOW}
RUNS = {"status": Status.PROCESSING, "attempts": 1}

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[tuple[Cause, str]]]] = {
    "scheduled": (
        {"run_at": SOON},
        {},
        [("scheduled", "It is scheduled for 2030-01-31T08:00:30Z.")],
    ),
    "backoff": (
        {"run_at": SOON, "attempts": 2},
        {},
        [
            (
                "retryBackoff",
                "Attempt 2 of 5 has failed; the next one begins at 2030-01-31T08:00:30Z.",
            )
        ],
    ),
    "paused queue": (
        {},
        {"queue_paused": True},
        [("queuePaused", "The queue default is paused.")],
    ),
    "paused type": ({}, {"type_paused": True}, [("typePaused", "The type simulate is paused.")]),
    "paused and later": (
        {"run_at": SOON},
        {"queue_paused": True, "type_paused": True},
        [
            ("typePaused", "The type simulate is paused."),
            ("queuePaused", "The queue default is paused."),
            ("scheduled", "It is scheduled for 2030-01-31T08:00:30Z."),
        ],
    ),
    "unknown type": (
        {},
        {"type_known": False},
        [("unknownType", "No worker has registered the type simulate.")],
    ),
    "no worker": (
        {"run_at": NOW - timedelta(seconds=12), "updated_at": NOW - timedelta(seconds=12)},
        {},
        [
            (
                "noWorker",
                "It has been due for 12 s and nothing runs anywhere: no worker that knows the "
                "type simulate serves the queue default.",
            )
        ],
    ),
    "a worker that has gone": (
        {},
        {"type_seen": NOW - timedelta(minutes=5), "running": 64},
        [
            (
                "noWorker",
                "No worker does the type simulate: the last one was there at 2030-01-31T07:55:00Z.",
            )
        ],
    ),
    "a slot": (
        {},
        {"ahead": 3, "running": 64},
        [
            (
                "waitingForSlot",
                "It is due and waits for a free slot: 3 are before it, 64 tasks run.",
            )
        ],
    ),
    "a slot, far away": (
        {},
        {"ahead": AHEAD_MOST, "running": 64},
        [
            (
                "waitingForSlot",
                "It is due and waits for a free slot: more than 10,000 are before it, "
                "64 tasks run.",
            )
        ],
    ),
    "a suspect": (
        {},
        {"suspect": True, "running": 1},
        [
            (
                "waitingForSlot",
                "It may have killed its worker and must run alone: 1 task runs.",
            )
        ],
    ),
    "running": (
        RUNS,
        {"owner": OWNER, "lease_left": 14.5},
        [
            (
                "leaseHeld",
                "worker-1 runs it, on attempt 1 of 5; its lease ends at 2030-01-31T08:00:14Z"
                " unless it is renewed.",
            )
        ],
    ),
    "asked to stop": (
        RUNS | {"cancel_requested": True},
        {"owner": OWNER, "lease_left": 14.5},
        [
            (
                "leaseHeld",
                "worker-1 runs it and was asked to stop it; its lease ends at"
                " 2030-01-31T08:00:14Z.",
            )
        ],
    ),
    "lost": (
        RUNS,
        {"owner": OWNER, "lease_left": -1.0},
        [
            (
                "leaseHeld",
                "worker-1 held it until 2030-01-31T07:59:59Z and is lost: it is about to be freed.",
            )
        ],
    ),
    "done": (
        {"status": Status.DONE, "attempts": 1},
        {},
        [("ended", "It has ended as Done on attempt 1 of 5.")],
    ),
    "failed": (
        {"status": Status.FAILED, "attempts": 5},
        {},
        [("ended", "It has ended as Failed on attempt 5 of 5; `retry` lets it begin anew.")],
    ),
    "cancelled": (
        {"status": Status.CANCELLED},
        {},
        [
            (
                "ended",
                "It has ended as Cancelled before it was started; `retry` lets it begin anew.",
            )
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_cause_has_its_answer(name: str) -> None:
    """In words, with the cause as a program reads it."""
    fields, around, expected = CASES[name]
    item = msgspec.structs.replace(ITEM, **(PENDING | fields))

    answer = why(Circumstances(item=item, **around), NOW)

    assert [(reason.cause, reason.text) for reason in answer.reasons] == expected
    assert (answer.id, answer.status) == (item.id, item.status)


def test_times_places_and_holders_are_members_too() -> None:
    """A console need not read sentences."""
    item = msgspec.structs.replace(ITEM, **(PENDING | {"run_at": SOON}))
    runs = msgspec.structs.replace(ITEM, **RUNS)

    (later,) = why(Circumstances(item=item), NOW).reasons
    (place,) = why(Circumstances(item=item, ahead=2), SOON).reasons
    (held,) = why(Circumstances(item=runs, owner=OWNER, lease_left=15.0), NOW).reasons

    assert later.until == SOON
    assert place.position == 3
    assert (held.holder, held.until) == ("worker-1", NOW + timedelta(seconds=15))


def test_a_task_that_has_just_come_blames_no_worker() -> None:
    """An idle pool looks once a second: before that nothing is known."""
    item = msgspec.structs.replace(ITEM, **PENDING)

    (reason,) = why(Circumstances(item=item), NOW + timedelta(seconds=2)).reasons

    assert reason.cause == "waitingForSlot"
