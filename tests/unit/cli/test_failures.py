"""`taskhub failures`, `taskhub attempts`, `--backoff`: what they ask and show."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.cli.conftest import Hub, Run, problem

MARK = "9f86d081884c7d65"


def group(**changes: Any) -> dict[str, Any]:
    """A group as the API shows it."""
    return {
        "fingerprint": MARK,
        "type": "resize",
        "exception": "ValueError",
        "place": "images:resize",
        "error": "ValueError: no\x1b\nmore",
        "count": 1204,
        "more": False,
        "firstSeen": "2030-01-30T08:00:00Z",
        "lastSeen": "2030-01-31T08:00:00.5Z",
        "samples": ["t-1"],
        **changes,
    }


def attempt(**changes: Any) -> dict[str, Any]:
    """An attempt as the API shows it."""
    return {
        "attempt": 1,
        "end": "Failed",
        "startedAt": "2030-01-31T08:00:00Z",
        "endedAt": None,
        "worker": "worker-1",
        "error": "ValueError: no",
        "fingerprint": MARK,
        "exception": "ValueError",
        "place": "images:resize",
        "trace": None,
        **changes,
    }


def test_groups_are_a_line_each(run: Run, hub: Hub) -> None:
    """With a plus where not all were counted; what is not known is a dash."""
    unknown = dict.fromkeys(("fingerprint", "exception", "place", "error"))
    hub.says(200, {"items": [group(), group(count=10_000, more=True, **unknown)], "next": None})

    ended = run("failures", "--type", "resize", "--since", "2030-01-01T00:00:00Z")

    header, first, second = [line.split() for line in ended.out.splitlines()]
    assert header == ["FINGERPRINT", "TASKS", "LAST", "TYPE", "EXCEPTION", "PLACE", "ERROR"]
    assert first[:4] == [MARK, "1,204", "2030-01-31", "08:00:00"]
    assert first[-2:] == ["ValueError:", "no\\x1b"]
    assert second == ["-", "10,000+", "2030-01-31", "08:00:00", "resize", "-", "-"]
    assert hub.requests[0].path == (
        "/tasks/failures?type=resize&since=2030-01-01T00%3A00%3A00Z&limit=50"
    )


def test_groups_as_json_are_a_line_each(run: Run, hub: Hub) -> None:
    """As they came, page after page."""
    hub.says(200, {"items": [group()], "next": "1-a-b"})
    hub.says(200, {"items": [group(count=1)], "next": None})

    ended = run("failures", "--all", "--json")

    assert [json.loads(line) for line in ended.out.splitlines()] == [group(), group(count=1)]


def test_attempts_are_a_line_each_and_the_stack_is_for_eyes(run: Run, hub: Hub) -> None:
    """The newest stack goes to stderr: what was asked for is the table."""
    traces: list[dict[str, Any]] = [
        {"trace": "old"},
        {"trace": "  File\n  line\x1b", "attempt": 2},
        {"end": "Done"},
    ]
    hub.says(200, {"items": [attempt(**changes) for changes in traces]})

    ended = run("attempts", "t-1")

    assert ended.out.splitlines()[0].split()[:3] == ["TRY", "END", "STARTED"]
    assert [line.split()[1] for line in ended.out.splitlines()[1:]] == ["Failed", "Failed", "Done"]
    assert ended.err.splitlines() == ["  File", "  line\\x1b"]
    assert hub.requests[0].path == "/tasks/t-1/attempts"


def test_attempts_as_json(run: Run, hub: Hub) -> None:
    """One a line."""
    hub.says(200, {"items": [attempt()]})

    assert json.loads(run("attempts", "t-1", "--json").out) == attempt()


def test_a_task_that_is_not_there_is_told_so(run: Run, hub: Hub) -> None:
    """In the server's words."""
    hub.says(404, problem(404, "There is no such task."))

    ended = run("attempts", "t-1")

    assert ended.code == 1
    assert "There is no such task" in ended.err


def test_a_new_task_may_bring_its_backoff(run: Run, hub: Hub) -> None:
    """Names and numbers; which names there are the server knows."""
    hub.says(201, {"id": "t-1"})

    run("create", "T", "--backoff", "base=1, cap=60")

    assert hub.requests[0].body["backoff"] == {"base": 1.0, "cap": 60.0}


def test_a_backoff_without_numbers_is_refused_here(run: Run, hub: Hub) -> None:
    """Nothing is sent."""
    assert run("create", "T", "--backoff", "slowly").code == 2
    assert hub.requests == []
