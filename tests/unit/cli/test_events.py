"""`taskhub events`: a line for each event, over cuts and resets, until the token ends."""

from __future__ import annotations

import json

import pytest
from taskhub.cli import client

from tests.unit.cli.conftest import Hub, Run, problem
from tests.unit.cli.test_tasks import ID, frame

AT = "2025-09-28T22:17:17.25Z"
RESET = 'id: 9\nevent: reset\ndata: {"oldest":5,"newest":9}\n\n'


def over(hub: Hub) -> None:
    """The next try ends the command: the token is good no more."""
    hub.says(401, problem(401, "A valid bearer token is needed."))


def test_events_are_lines_for_eyes(run: Run, hub: Hub) -> None:
    """With what a handler or an error has said; no title moves the cursor."""
    hub.streams(
        frame(1, "TaskCreated", AT).replace("Resize images", "a\\u001b[31m"),
        frame(2, "TaskProgress", AT, progress={"fraction": 0.5}),
        frame(3, "TaskFailed", AT, error="no luck\nat line 3"),
    )
    over(hub)

    ended = run("events")

    assert ended.out.splitlines() == [
        f"2025-09-28 22:17:17  TaskCreated    {ID}  a\\x1b[31m",
        f'2025-09-28 22:17:17  TaskProgress   {ID}  Resize images  {{"fraction": 0.5}}',
        f"2025-09-28 22:17:17  TaskFailed     {ID}  Resize images  no luck",
    ]
    assert ended.code == 4
    assert hub.requests[0].path == "/events"
    assert hub.requests[0].headers["accept"] == "text/event-stream"


def test_a_cut_line_is_taken_up_after_the_last_whole_event(run: Run, hub: Hub) -> None:
    """Half a frame counts for nothing; a comment and a beat are no events."""
    hub.streams(frame(1, "TaskCreated", AT), frame(2, "TaskStarted", AT)[:-1])
    hub.streams(frame(2, "TaskStarted", AT), ": beat\nid: 7\n\n")
    hub.says(503, problem(503, "This server is being stopped."), Retry_After="1")
    hub.streams(frame(8, "TaskDone", AT))
    over(hub)

    ended = run("events", "--json")

    assert [json.loads(text)["seq"] for text in ended.out.splitlines()] == [1, 2, 8]
    assert [request.headers.get("last-event-id") for request in hub.requests] == [
        *(None, "1", "7", "7", "8")
    ]


def test_filters_and_the_place_to_begin_go_to_the_server(run: Run, hub: Hub) -> None:
    """Nothing is filtered here."""
    over(hub)

    run("events", "--event", "taskdone", "--event", "TaskFailed", "--type", "a b", "--queue", "q",
        "--status", "Done", "--task", ID, "--after", "41")  # fmt: skip

    assert hub.requests[0].path == (
        f"/events?event=TaskDone%2CTaskFailed&status=Done&type=a+b&queue=q&task={ID}"
    )
    assert hub.requests[0].headers["last-event-id"] == "41"


def test_a_reset_is_told_to_the_person(run: Run, hub: Hub) -> None:
    """A pipe never sees it."""
    hub.streams(RESET, frame(10, "TaskCreated", AT))
    over(hub)

    ended = run("events", "--json")

    assert "there are 5 to 9" in ended.err
    assert len(ended.out.splitlines()) == 1


def test_where_nobody_is_it_gives_up_after_a_while(
    run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 3, as of every command."""
    monkeypatch.setattr(client, "PATIENCE", 0.0)
    hub.says(503, problem(503, "Not now."))

    assert run("events").code == 3


def test_what_does_not_stream_is_no_taskhub(run: Run, hub: Hub) -> None:
    """Or an older one."""
    hub.says(200, {"items": []})

    ended = run("events")

    assert (ended.code, "does not answer like a TaskHub" in ended.err) == (1, True)
