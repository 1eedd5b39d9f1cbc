"""`taskhub queues` and `taskhub why`: what they ask the API, and what they show of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.cli.conftest import Hub, Run, problem

ID = "0198c2c8-0000-7000-8000-000000000001"


def stands(processing: int = 0, *, paused: bool = True) -> dict[str, Any]:
    """What the API says of a queue."""
    return {"name": "images", "paused": paused, "processing": processing}


def test_queues_are_a_line_each(run: Run, hub: Hub) -> None:
    """With --json as they came."""
    queue = {"name": "a\x1b", "paused": True, "pending": 3, "processing": 1, "oldestSeconds": 2.5}
    hub.says(200, {"items": [queue, queue | {"paused": False, "pending": 0}]})

    shown, plain = run("queues"), run("queues", "--json")

    assert [line.split() for line in shown.out.splitlines()] == [
        ["QUEUE", "STATE", "PENDING", "RUNNING", "OLDEST"],
        ["a\\x1b", "paused", "3", "1", "2.5", "s"],
        ["a\\x1b", "open", "0", "1", "-"],
    ]
    assert json.loads(plain.out)["items"][0] == queue


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (("pause", "images"), "/queues/images/pause"),
        (("resume", "images"), "/queues/images/resume"),
        (("pause", "--type", "a/b"), "/types/a%2Fb/pause"),
    ],
)
def test_an_act_says_how_it_stands(run: Run, hub: Hub, words: tuple[str, ...], path: str) -> None:
    """One line."""
    hub.says(200, stands(2))

    ended = run("queues", *words)

    assert (ended.code, ended.out) == (0, "images is paused, 2 run\n")
    assert [request.path for request in hub.requests] == [path]


def test_a_drain_asks_until_nothing_runs(run: Run, hub: Hub) -> None:
    """What still runs is told on stderr, once for each number."""
    for count in (2, 2, 1):
        hub.says(202, stands(count))
    hub.says(200, stands())

    ended = run("queues", "drain", "images")

    assert (ended.code, ended.out) == (0, "images is paused, 0 run\n")
    assert ended.err.splitlines() == [f"taskhub: images: {n} still run" for n in (2, 1)]
    assert {request.path for request in hub.requests} == {"/queues/images/drain?wait=5"}


def test_a_drain_gives_up(run: Run, hub: Hub) -> None:
    """After the time that it was given; or when somebody resumes the queue."""
    hub.says(202, stands(2))

    late = run("queues", "drain", "images", "--timeout", "7")
    hub.answers[:] = []
    hub.says(202, stands(2, paused=False))
    resumed = run("queues", "drain", "images")

    assert (late.code, late.out) == (1, "images is paused, 2 run\n")
    assert (resumed.code, resumed.out) == (1, "images is open, 2 run\n")
    waits = [request.path.rpartition("=")[2] for request in hub.requests]
    assert waits == ["5", "2", "5"]


def test_a_slip_is_one_line(run: Run, hub: Hub) -> None:
    """As of every command."""
    hub.says(404, problem(404, "No worker has registered a type of this name."))

    ended = run("queues", "pause", "--type", "rezise")

    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "taskhub: No worker has registered a type of this name.\n"


def test_why_is_told_in_words(run: Run, hub: Hub) -> None:
    """A line for each reason; with --json the whole answer."""
    reasons = [{"cause": "queuePaused", "text": "The queue a\x1b is paused."}]
    reasons.append({"cause": "scheduled", "text": "It is scheduled for later."})
    hub.says(200, {"id": ID, "status": "Pending", "reasons": reasons})

    shown, plain = run("why", ID), run("why", ID, "--json")

    assert shown.out.splitlines() == [
        "The queue a\\x1b is paused.",
        "It is scheduled for later.",
    ]
    assert json.loads(plain.out)["reasons"] == reasons
    assert hub.requests[0].path == f"/tasks/{ID}/why"
