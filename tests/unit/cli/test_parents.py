"""`taskhub create --after --then`, `parents`, `children`: what they ask and show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.unit.cli.conftest import Hub, Run, problem, task


def parent(**changes: Any) -> dict[str, Any]:
    """A parent as the API shows it."""
    return {
        "id": "t-1",
        "status": "Done",
        "error": None,
        "result": {"pages": 3},
        "resultLeftOut": False,
        **changes,
    }


def test_create_says_what_it_is_after(run: Run, hub: Hub) -> None:
    """As many as are named; where none is, nothing is said."""
    hub.says(201, task())

    run("create", "T", "--after", "t-1", "--after", "t-2", "--on-parent-failure", "continue")
    run("create", "T")

    assert hub.requests[0].body == {
        "title": "T",
        "after": ["t-1", "t-2"],
        "onParentFailure": "continue",
    }
    assert hub.requests[1].body == {"title": "T"}


def test_parents_are_a_line_each(run: Run, hub: Hub) -> None:
    """A long result is cut, one that was left out said to be; no letter moves the cursor."""
    changes: list[dict[str, Any]] = [
        {},
        {"result": "x" * 100},
        {"result": None, "resultLeftOut": True},
        {"status": "Failed", "result": None, "error": "no\x1b ink\nmore"},
        {"status": None, "result": None},
    ]
    hub.says(200, {"items": [parent(**each) for each in changes]})

    ended = run("parents", "t-9")

    header, *lines = [line.split() for line in ended.out.splitlines()]
    assert hub.requests[0].path == "/tasks/t-9/parents"
    assert header == ["ID", "STATUS", "RESULT", "ERROR"]
    assert lines[0] == ["t-1", "Done", '{"pages":', "3}", "-"]
    assert lines[1][2] == '"' + "x" * 59 + "..."
    assert lines[2][2:] == ["(large)", "-"]
    assert lines[3][1:] == ["Failed", "-", "no\\x1b", "ink"]
    assert lines[4][1:] == ["deleted", "-", "-"]


def test_parents_as_json_are_whole(run: Run, hub: Hub) -> None:
    """One a line."""
    hub.says(200, {"items": [parent(result="x" * 100)]})

    assert json.loads(run("parents", "t-9", "--json").out) == parent(result="x" * 100)


def test_of_a_task_that_is_not_there_the_server_says_so(run: Run, hub: Hub) -> None:
    """In its words."""
    hub.says(404, problem(404, "There is no such task."))

    ended = run("parents", "t-9")

    assert (ended.code, "There is no such task" in ended.err) == (1, True)


def test_create_says_what_follows(run: Run, hub: Hub, tmp_path: Path) -> None:
    """As JSON, or from a file; in their order."""
    file = tmp_path / "step.json"
    file.write_text('{"title": "c", "type": "tidy"}')
    hub.says(201, task())

    run("create", "a", "--then", '{"title": "b"}', "--then", f"@{file}")
    wrong = run("create", "a", "--then", "b")

    (asked,) = hub.requests
    assert asked.body == {"title": "a", "then": [{"title": "b"}, {"title": "c", "type": "tidy"}]}
    assert (wrong.code, "--then is not JSON" in wrong.err) == (2, True)


def test_children_are_a_line_each_page_by_page(run: Run, hub: Hub) -> None:
    """In short; with --json as they are."""
    child = {"id": "t-2", "status": "Failed", "type": "job", "title": "T", "error": "no\nmore"}
    hub.says(200, {"items": [child], "next": "t-2"})
    hub.says(200, {"items": [child | {"id": "t-1", "error": None}], "next": None})

    ended = run("children", "t-0", "--all")
    as_json = run("children", "t-0", "--json")

    assert [line.split() for line in ended.out.splitlines()] == [
        ["ID", "STATUS", "TYPE", "TITLE", "ERROR"],
        ["t-2", "Failed", "job", "T", "no"],
        ["t-1", "Failed", "job", "T", "-"],
    ]
    assert [asked.path.partition("?")[0] for asked in hub.requests] == ["/tasks/t-0/children"] * 3
    assert json.loads(as_json.out) == child | {"id": "t-1", "error": None}
