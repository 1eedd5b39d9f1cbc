"""`taskhub schedules`: what it asks the API, what it shows, and what it says without one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.cli.conftest import Hub, Run, problem


def nightly(**changes: Any) -> dict[str, Any]:
    """A schedule as the API shows it."""
    return {
        "name": "nightly",
        "cron": "0 6 * * *",
        "timeZone": "Europe/Berlin",
        "words": "At 06:00 every day (Europe/Berlin)",
        "title": "nightly",
        "type": "report",
        "queue": None,
        "priority": 0,
        "payload": {"a": 1},
        "misfire": "once",
        "paused": False,
        "nextRuns": ["2030-01-31T05:00:00Z", "2030-02-01T05:00:00Z"],
        "waiting": 0,
        "lastRun": {"dueAt": "2030-01-30T05:00:00Z", "taskId": "t-1", "status": "Failed"},
        **changes,
    }


def asked(hub: Hub) -> list[tuple[str, str, Any]]:
    """Method, path and body of each request."""
    return [(request.method, request.path, request.body) for request in hub.requests]


def test_a_list_shows_when_each_runs_next_and_how_the_last_run_was(run: Run, hub: Hub) -> None:
    """A line each; with --json the schedule as it came."""
    paused = nightly(name="off\x1b", paused=True, nextRuns=[], lastRun=None)
    hub.says(200, {"items": [nightly(), paused], "next": None})

    table = run("schedules", "list").out.splitlines()
    lines = run("schedules", "list", "--json").out.splitlines()

    assert table[0].split() == ["NAME", "STATE", "NEXT", "LAST", "WHAT", "WHEN"]
    assert table[1].split()[:7] == [
        *("nightly", "on", "2030-01-31", "05:00:00", "Failed", "2030-01-30", "05:00:00"),
    ]
    assert table[1].endswith("report  At 06:00 every day (Europe/Berlin)")
    assert table[2].split()[:4] == ["off\\x1b", "paused", "-", "-"]
    assert [json.loads(line) for line in lines] == [nightly(), paused]


def test_one_is_shown_member_by_member(run: Run, hub: Hub) -> None:
    """Its name may hold what a path may not."""
    hub.says(200, nightly(lastTask=None))

    out = run("schedules", "show", "a/b").out

    assert "At 06:00 every day" in out
    assert "\npayload   " in out
    assert asked(hub) == [("GET", "/schedules/a%2Fb", None)]


def test_one_is_made_with_every_option(run: Run, hub: Hub) -> None:
    """As the API names them; --replace changes the one that is there."""
    hub.says(201, nightly())
    words = (
        *("--time-zone", "Europe/Berlin", "--title", "T", "--type", "report", "--queue", "q"),
        *("--priority", "-1", "--payload", '{"a":1}', "--max-attempts", "2", "--timeout", "9"),
        *("--misfire", "all", "--misfire-grace", "5", "--overlap", "queue"),
    )
    body = {
        "cron": "@daily",
        "timeZone": "Europe/Berlin",
        "title": "T",
        "type": "report",
        "queue": "q",
        "priority": -1,
        "payload": {"a": 1},
        "maxAttempts": 2,
        "timeoutSeconds": 9,
        "misfire": "all",
        "misfireGraceSeconds": 5,
        "overlap": "queue",
    }

    made = run("schedules", "create", "nightly", "@daily", *words)
    run("schedules", "create", "nightly", "@daily", "--replace")

    assert (made.code, made.err) == (0, "")
    assert asked(hub) == [
        ("POST", "/schedules", {"name": "nightly", **body}),
        ("PUT", "/schedules/nightly", {"cron": "@daily"}),
    ]


def test_a_rule_that_is_broken_is_told_with_its_place(run: Run, hub: Hub) -> None:
    """Exit code 1, as for tasks."""
    wrong = {"pointer": "/cron", "detail": "minutes of 0-59"}
    hub.says(422, problem(422, "Some members break a rule.", errors=[wrong]))

    ended = run("schedules", "create", "nightly", "61 * * * *")

    assert (ended.code, ended.out) == (1, "")
    assert "cron: minutes of 0-59" in ended.err


@pytest.mark.parametrize("act", ["pause", "resume"])
def test_one_is_paused_and_resumed(run: Run, hub: Hub, act: str) -> None:
    """And shown as it is then."""
    hub.says(200, nightly(paused=act == "pause"))

    out = run("schedules", act, "nightly").out

    assert "paused" in out
    assert asked(hub) == [("POST", f"/schedules/nightly/{act}", None)]


def test_a_run_tells_its_task(run: Run, hub: Hub) -> None:
    """So that `watch` can follow it; one that waits has none yet."""
    hub.says(201, {"dueAt": "2030-01-31T05:00:00Z", "outcome": "fired", "taskId": "t-1"})
    hub.says(202, {"dueAt": "2030-01-31T05:00:00Z", "outcome": "waiting", "taskId": None})

    assert run("schedules", "run", "nightly").out == "t-1\n"
    assert run("schedules", "run", "nightly").out == "waits\n"
    assert json.loads(run("schedules", "run", "nightly", "--json").out)["outcome"] == "waiting"


def test_runs_are_a_line_each(run: Run, hub: Hub) -> None:
    """Newest first, with why they were skipped."""
    due = {"dueAt": "2030-01-31T05:00:00Z", "manual": False, "since": None}
    hub.says(
        200,
        {
            "items": [
                due | {"outcome": "skipped", "reason": "overlap", "taskId": None, "status": None},
                due | {"outcome": "fired", "reason": "", "taskId": "t-1", "status": "Done"},
                due
                | {"outcome": "fired", "reason": "", "manual": True}
                | {"taskId": "t-0", "status": None},
            ],
            "next": None,
        },
    )

    lines = [line.split() for line in run("schedules", "runs", "nightly").out.splitlines()]

    assert lines[0] == ["DUE", "OUTCOME", "WHY", "TASK", "STATUS"]
    assert [line[2:] for line in lines[1:]] == [
        ["skipped", "overlap"],
        ["fired", "t-1", "Done"],
        ["fired", "by", "hand", "t-0"],
    ]
    assert asked(hub)[0][:2] == ("GET", "/schedules/nightly/runs?limit=50")


def test_one_is_deleted(run: Run, hub: Hub) -> None:
    """Nothing on stdout."""
    hub.says(204, b"")

    ended = run("schedules", "delete", "nightly")

    assert (ended.code, ended.out, ended.err) == (0, "", "nightly is deleted\n")
    assert asked(hub) == [("DELETE", "/schedules/nightly", None)]


def test_an_expression_is_explained_without_a_server(run: Run) -> None:
    """In the zone's own time, so that one sees what changes with the clocks."""
    words = ("schedules", "explain", "0 6 * * MON-FRI", "--time-zone", "Asia/Tokyo", "--count", "2")

    lines = run(*words).out.splitlines()
    told = json.loads(run(*words, "--json").out)

    assert lines[0] == "At 06:00 on Monday through Friday (Asia/Tokyo)"
    assert [line[10:] for line in lines[1:]] == ["T06:00:00+09:00"] * 2
    assert (told["words"], told["next"]) == (lines[0], lines[1:])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("61 * * * *",), "CRON: expected minutes of 0-59"),
        (("@daily", "--time-zone", "Mars"), "--time-zone: expected the name of a time zone"),
    ],
)
def test_what_is_no_expression_is_told_so(run: Run, words: tuple[str, ...], said: str) -> None:
    """Exit code 2: it was never asked of anybody."""
    ended = run("schedules", "explain", *words)

    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
