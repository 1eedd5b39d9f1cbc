"""`taskhub audit` and `taskhub actors restart`: what they ask the API, and what they show of it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.unit.cli.conftest import Hub, Run, problem


def entry(number: int, **changes: Any) -> dict[str, Any]:
    """An entry as the API shows it."""
    return {
        "id": number,
        "at": "2030-01-31T08:00:00.5Z",
        "message": "restart worker-1/pool",
        "actor": "ada\x1b",
        "taskId": None,
        "address": "192.0.2.1",
        "requestId": f"r-{number}",
        **changes,
    }


def queries(hub: Hub) -> list[dict[str, list[str]]]:
    """What was asked, request by request."""
    return [parse_qs(urlsplit(request.path).query) for request in hub.requests]


def test_entries_are_a_line_each(run: Run, hub: Hub) -> None:
    """Nothing in them moves the cursor; there is a hint where there is more."""
    hub.says(200, {"items": [entry(2), entry(1, taskId="t-1")], "next": "5-1"})

    ended = run("audit", "--limit", "2", "--actor", "ada", "--task", "t-1", "--text", "restart ")

    first, second, third = [line.split() for line in ended.out.splitlines()]
    assert first == ["AT", "WHO", "WHAT", "TASK", "FROM", "REQUEST"]
    assert second[:4] == ["2030-01-31", "08:00:00", "ada\\x1b", "restart"]
    assert third[5:] == ["t-1", "192.0.2.1", "r-1"]
    assert "there are more" in ended.err
    assert queries(hub) == [
        {"actor": ["ada"], "taskId": ["t-1"], "text": ["restart "], "limit": ["2"]}
    ]


def test_all_follows_the_cursor(run: Run, hub: Hub) -> None:
    """With --json one entry a line, as it came."""
    hub.says(200, {"items": [entry(2)], "next": "5-2"})
    hub.says(200, {"items": [entry(1)], "next": None})

    ended = run("audit", "--all", "--json", "--since", "2030-01-01T00:00:00Z")

    assert [json.loads(line) for line in ended.out.splitlines()] == [entry(2), entry(1)]
    assert [query.get("cursor") for query in queries(hub)] == [None, ["5-2"]]
    assert ended.err == ""


def test_a_token_without_the_role_is_told_so(run: Run, hub: Hub) -> None:
    """Exit code 4, as everywhere."""
    hub.says(403, problem(403, "It needs the role Admin or Operator."))

    ended = run("audit")

    assert (ended.code, ended.out) == (4, "")
    assert "the role Admin or Operator" in ended.err


def test_a_restart_is_asked_for_by_the_full_name(run: Run, hub: Hub) -> None:
    """The slash of the name is no slash of the path."""
    hub.says(202, {"name": "worker-1/pool"})

    ended = run("actors", "restart", "worker-1/pool")

    assert (ended.code, ended.out) == (0, "worker-1/pool is asked to restart\n")
    assert [(r.method, r.path) for r in hub.requests] == [
        ("POST", "/actors/worker-1%2Fpool/restart")
    ]


def test_a_restart_of_nobody_is_a_failure(run: Run, hub: Hub) -> None:
    """With what the API says."""
    hub.says(404, problem(404, "There is no such actor."))

    ended = run("actors", "restart", "pool")

    assert (ended.code, ended.err) == (1, "taskhub: There is no such actor.\n")
