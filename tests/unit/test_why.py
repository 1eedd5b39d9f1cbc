"""Golden answers: what is said for each cause, word by word."""

# ruff: noqa: ISC004 - long sentences in a table

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from taskhub.http.openapi.examples import ITEM
from taskhub.model import Owner, Status, TaskId
from taskhub.queues import AHEAD_MOST, Circumstances, QueueLimit
from taskhub.rates import Rate
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
    "after another": (
        {"run_at": SOON},
        {"waits_for": ("t-1",)},
        [("waitsFor", "It waits for 1 task to end: t-1.")],
    ),
    "after many, in a paused queue": (
        {},
        {"waits_for": ("t-1", "t-2", "t-3", "t-4"), "queue_paused": True},
        [
            ("queuePaused", "The queue default is paused."),
            ("waitsFor", "It waits for 4 tasks to end: t-1, t-2, t-3 and 1 more."),
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


QUEUE = QueueLimit(
    queue="default", concurrency=8, rate=Rate(100, 60), key_concurrency=2, key_rate=Rate(10, 1)
)
HOLDERS = tuple(TaskId(f"task-{n}") for n in range(6))


@pytest.mark.parametrize(
    ("around", "text", "held_by"),
    [
        ({"in_queue": 8}, "The queue default runs 8 at once, and so many run.", ()),
        ({"started": 100}, "The queue default begins 100 in 60 s, and so many have begun.", ()),
        (
            {"of_key": HOLDERS[:2]},
            "The queue default runs 2 of a key at once; of acme run: task-0, task-1.",
            HOLDERS[:2],
        ),
        (
            {"of_key": HOLDERS},
            "The queue default runs 2 of a key at once; of acme run: "
            "task-0, task-1, task-2, task-3, task-4 and 1 more.",
            HOLDERS[:5],
        ),
        (
            {"key_started": 10},
            "The queue default begins 10 in 1 s of a key, and so many of acme have begun.",
            (),
        ),
    ],
)
def test_a_limit_that_is_reached_is_named(
    around: dict[str, Any], text: str, held_by: tuple[TaskId, ...]
) -> None:
    """Which one, of which key, and who holds it."""
    item = msgspec.structs.replace(ITEM, **(PENDING | {"group_key": "acme"}))

    (reason,) = why(Circumstances(item=item, **around), NOW, QUEUE).reasons

    assert (reason.cause, reason.text, tuple(reason.held_by)) == ("limitReached", text, held_by)


def test_a_limit_that_is_not_reached_is_no_reason() -> None:
    """Then it waits like others; a task without a key has no limit of keys."""
    item = msgspec.structs.replace(ITEM, **PENDING)
    around = Circumstances(item=item, in_queue=7, started=99, of_key=HOLDERS, key_started=99)

    (reason,) = why(around, NOW, QUEUE).reasons

    assert reason.cause == "waitingForSlot"
