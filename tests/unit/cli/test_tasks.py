"""The client's commands: what they ask the API for, what they print, how they end."""

from __future__ import annotations

import io
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.unit.cli.conftest import Hub, Run, problem, task

ID = "0198c2c8-0000-7000-8000-000000000001"


def test_create_prints_the_id_alone(run: Run, hub: Hub) -> None:
    """So that a script can keep it: ID=$(taskhub create ...)."""
    hub.says(201, task())

    ended = run("create", "Resize images")

    assert (ended.code, ended.out, ended.err) == (0, f"{ID}\n", "")
    (asked,) = hub.requests
    assert (asked.method, asked.path, asked.body) == ("POST", "/tasks", {"title": "Resize images"})
    assert asked.headers["authorization"] == "Bearer a.b.c"


def test_create_sends_every_option_by_its_name_in_the_api(run: Run, hub: Hub) -> None:
    """One option, one member."""
    hub.says(201, task())

    ended = run(
        "create", "T", "--type", "resize", "--queue", "images", "--priority", "-5",
        "--group-key", "Ärzte",
        "--payload", '{"url": "x"}', "--delay", "1.5", "--max-attempts", "2",
        "--timeout", "9", "--key", "k-1", "--json",
    )  # fmt: skip

    assert json.loads(ended.out)["id"] == ID
    assert hub.requests[0].headers["idempotency-key"] == '"k-1"'
    assert hub.requests[0].body == {
        "title": "T",
        "type": "resize",
        "queue": "images",
        "groupKey": "Ärzte",
        "priority": -5,
        "payload": {"url": "x"},
        "delaySeconds": 1.5,
        "maxAttempts": 2,
        "timeoutSeconds": 9,
    }


def test_create_says_what_is_unique(run: Run, hub: Hub) -> None:
    """By a key, by members, or by the whole payload; in these states, for so long."""
    hub.says(201, task())

    run("create", "T", "--unique-key", "order 7", "--unique-seconds", "60")
    run("create", "T", "--unique-by", "a", "--unique-by", "b", "--unique-state", "pending")
    run("create", "T", "--unique")
    run("create", "T")

    assert [asked.body.get("unique") for asked in hub.requests] == [
        {"key": "order 7", "seconds": 60},
        {"by": ["a", "b"], "states": ["Pending"]},
        {},
        None,
    ]


def test_create_at_a_time(run: Run, hub: Hub) -> None:
    """The server judges the time."""
    hub.says(201, task())

    run("create", "T", "--run-at", "2030-01-31T08:00:00Z")

    assert hub.requests[0].body["runAt"] == "2030-01-31T08:00:00Z"


def test_a_payload_comes_from_a_file_or_from_stdin(
    run: Run, hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long ones do not fit on a command line."""
    hub.says(201, task())
    (folder / "p.json").write_text('{"a": 1}')
    monkeypatch.setattr("sys.stdin", io.StringIO('{"b": 2}'))

    run("create", "T", "--payload", "@p.json")
    run("create", "T", "--payload", "-")

    assert [asked.body["payload"] for asked in hub.requests] == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--payload", "{"], "--payload is not JSON"),
        (["--payload", "NaN"], "NaN is no number of JSON"),
        (["--payload", "@none.json"], "none.json cannot be read"),
        (["--key", "a\nb"], "letters, digits and signs of ASCII only"),
        (["--key", ""], "letters, digits and signs of ASCII only"),
        (["--key", "k" * 256], "1 to 255 letters"),
        (["--priority", "high"], "is not a valid integer"),
        (["--payload", '"\\ud800"'], "not UTF-8"),
    ],
)
def test_a_wrong_option_is_a_mistake_of_usage(
    run: Run, hub: Hub, words: list[str], said: str
) -> None:
    """Nothing is sent."""
    ended = run("create", "T", *words)

    assert ended.code == 2
    assert said in ended.err
    assert hub.requests == []


LATER = "2025-09-28T22:17:18.5Z"


def frame(seq: int, event: str, at: str, **more: Any) -> str:
    """An event as the API tells it."""
    data = {"type": event, "id": ID, "title": "Resize images", "at": at, "seq": seq, **more}
    return f"id: {seq}\nevent: {event}\ndata: {json.dumps(data)}\n\n"


def test_create_with_wait_follows_the_task_to_its_end(run: Run, hub: Hub) -> None:
    """The moves go to stderr, the task to stdout."""
    hub.says(201, task())
    hub.streams(frame(1, "TaskCreated", task()["createdAt"]), frame(2, "TaskStarted", LATER))
    hub.says(200, task(status="Processing", attempts=1, progress={"value": 0.5}))
    hub.streams(frame(3, "TaskDone", LATER), "event: end\ndata: {}\n\n")
    hub.says(200, task(status="Done", attempts=1, result={"waited": 1}))

    ended = run("create", "T", "--wait", "--json")

    assert ended.code == 0
    assert json.loads(ended.out)["status"] == "Done"
    assert ended.err.splitlines() == [
        "Pending  attempt 0 of 5",
        'Processing  attempt 1 of 5  {"value": 0.5}',
        "Done  attempt 1 of 5",
    ]
    assert [request.path for request in hub.requests[1:4]] == [
        *(f"/tasks/{ID}/events", f"/tasks/{ID}", f"/tasks/{ID}/events")
    ]
    assert "last-event-id" not in hub.requests[1].headers
    assert hub.requests[3].headers["last-event-id"] == "2"  # the line was cut: it goes on after it


@pytest.mark.parametrize("status", ["Failed", "Cancelled"])
def test_watch_ends_with_1_when_the_task_did_not_succeed(run: Run, hub: Hub, status: str) -> None:
    """`taskhub watch ID && next step`."""
    hub.says(200, task(status=status, attempts=5, error="no picture\nline two"))

    ended = run("watch", ID)

    assert ended.code == 1
    assert ended.err == f"{status}  attempt 5 of 5  no picture\n"
    assert "error        no picture\\nline two" in ended.out


def test_list_is_a_table_for_eyes(run: Run, hub: Hub) -> None:
    """Aligned, and no task can colour the terminal."""
    hub.says(200, {"items": [task(title="a\x1b[31mb"), task(status="Done")], "next": None})

    ended = run("list")

    assert ended.out.splitlines()[0].split() == [
        "ID",
        "STATUS",
        "TYPE",
        "TRIES",
        "CREATED",
        "TITLE",
    ]
    assert "\x1b" not in ended.out
    assert "a\\x1b[31mb" in ended.out
    assert hub.requests[0].path == "/tasks?limit=50"


def test_list_with_filters_asks_the_server(run: Run, hub: Hub) -> None:
    """Nothing is filtered here."""
    hub.says(200, {"items": [], "next": None})

    run("list", "--status", "done", "--type", "a b", "--queue", "q", "--group-key", "k",
        "--limit", "7",
        "--created-from", "2025-01-01T00:00:00Z",
        "--created-to", "2026-01-01T00:00:00Z")  # fmt: skip

    assert hub.requests[0].path == (
        "/tasks?status=Done&type=a+b&queue=q&groupKey=k&createdFrom=2025-01-01T00%3A00%3A00Z"
        "&createdTo=2026-01-01T00%3A00%3A00Z&limit=7"
    )


def test_list_sends_a_search_as_it_is(run: Run, hub: Hub) -> None:
    """In one piece or in several words; the server judges it and points at its mistake."""
    hub.says(200, {"items": [], "next": None})
    run("list", 'status:failed title:"a b"', "--queue", "q")
    run("list", "status:failed", "größe")
    run("list", "--", "-status:done")
    errors = [{"pointer": "/q", "detail": "column 1: expected a field", "column": 1}]
    hub.answers.clear()
    hub.says(400, problem(400, "Some parameters of the query are not understood.", errors=errors))

    ended = run("list", "statuss:failed")

    asked = [parse_qs(urlsplit(asked.path).query) for asked in hub.requests]
    assert [query["q"] for query in asked[:3]] == [
        ['status:failed title:"a b"'],
        ["status:failed größe"],
        ["-status:done"],
    ]
    assert asked[0]["queue"] == ["q"]
    assert (ended.code, ended.err.splitlines()[1]) == (
        1,
        "taskhub:   q: column 1: expected a field",
    )


def test_list_goes_on_where_a_search_has_stopped(run: Run, hub: Hub) -> None:
    """A page without tasks that has a cursor is not the end."""
    hub.says(200, {"items": [], "next": "c1", "stopped": True})
    hub.says(200, {"items": [task()], "next": None, "stopped": False})

    ended = run("list", "needle", "--json")

    assert json.loads(ended.out)["id"] == ID


def test_list_with_all_goes_on_to_the_last_page(run: Run, hub: Hub) -> None:
    """By the cursor, one JSON line a task."""
    hub.says(200, {"items": [task()], "next": "c1"})
    hub.says(200, {"items": [task(), task()], "next": None})

    ended = run("list", "--all", "--json")

    assert [json.loads(line)["id"] for line in ended.out.splitlines()] == [ID] * 3
    assert [asked.path for asked in hub.requests] == [
        "/tasks?limit=200",
        "/tasks?cursor=c1&limit=200",
    ]


def test_list_says_when_there_are_more(run: Run, hub: Hub) -> None:
    """A cut list must not look whole."""
    hub.says(200, {"items": [task()], "next": "c1"})

    ended = run("list", "--limit", "1")

    assert ended.err == "taskhub: there are more: --limit N, or --all\n"


def test_show_cancel_and_retry_ask_for_one_task(run: Run, hub: Hub) -> None:
    """Whatever is typed as an id stays one part of the path."""
    hub.says(200, task())

    for words in (["show", ID], ["cancel", ID], ["retry", ID], ["show", "../a b?c"]):
        assert run(*words, "--json").code == 0

    assert [(asked.method, asked.path) for asked in hub.requests] == [
        ("GET", f"/tasks/{ID}"),
        ("POST", f"/tasks/{ID}/cancel"),
        ("POST", f"/tasks/{ID}/retry"),
        ("GET", "/tasks/..%2Fa%20b%3Fc"),
    ]


def test_show_leaves_out_what_is_not_there(run: Run, hub: Hub) -> None:
    """A line for each thing that is known."""
    hub.says(200, task(payload={"a": "\u00e9"}))

    ended = run("show", ID)

    assert "title        Resize images" in ended.out
    assert 'payload      {"a": "\u00e9"}' in ended.out
    assert "startedAt" not in ended.out


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (400, 1, "taskhub: So it is.\n"),
        (404, 1, "taskhub: So it is.\n"),
        (409, 1, "taskhub: So it is.\n"),
        (500, 1, "taskhub: So it is.\n"),
        (401, 4, "taskhub: So it is. Set TASKHUB_TOKEN; `taskhub token` makes one.\n"),
        (403, 4, "taskhub: So it is. It needs the scope tasks.write.\n"),
        (503, 3, "taskhub: So it is. (again in 2 s)\n"),
        (429, 3, "taskhub: So it is. (again in 2 s)\n"),
    ],
)
def test_an_error_of_the_api_is_one_line_and_a_code(
    run: Run, hub: Hub, status: int, code: int, said: str
) -> None:
    """The codes are a promise to scripts."""
    challenge = 'Bearer realm="taskhub", error="insufficient_scope", scope="tasks.write"'
    hub.says(status, problem(status, "So it is."), WWW_Authenticate=challenge, Retry_After="2")

    ended = run("create", "T")

    assert (ended.code, ended.out, ended.err) == (code, "", said)


def test_each_wrong_member_has_its_line(run: Run, hub: Hub) -> None:
    """All mistakes at once, and none of them can move the cursor."""
    errors = [{"pointer": "/title", "detail": "too long"}, {"pointer": "", "detail": "odd\x1b[2J"}]
    hub.says(422, problem(422, "Some members break a rule.", errors=errors))

    ended = run("create", "T")

    assert ended.err.splitlines() == [
        "taskhub: Some members break a rule.",
        "taskhub:   title: too long",
        "taskhub:   odd\\x1b[2J",
    ]


@pytest.mark.parametrize(("status", "code"), [(200, 1), (404, 1), (502, 3)])
def test_an_answer_that_is_not_taskhubs_says_so(run: Run, hub: Hub, status: int, code: int) -> None:
    """A proxy, or another program on that port."""
    hub.says(status, b"<html>")

    ended = run("show", ID)

    assert ended.code == code
    assert "does not answer like a TaskHub" in ended.err


def test_nobody_there_is_code_3(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again later, or start it."""
    with socket.socket() as taken:  # bound, and not listening: the port refuses
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setenv("TASKHUB_URL", f"http://127.0.0.1:{port}")
        ended = run("list")

    assert ended.code == 3
    assert (
        ended.err
        == f"taskhub: http://127.0.0.1:{port}: nobody listens there: is TaskHub running?\n"
    )


def test_a_cut_connection_is_code_3(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an answer is none."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("TASKHUB_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        server.close()
        assert run("list").code == 3


@pytest.mark.parametrize(
    "url",
    ["", "ftp://a", "127.0.0.1:8080", "http://", "http://a:port", "http://me:pw@a", "http://a/?b"],
)
def test_a_wrong_url_is_a_mistake_of_usage(
    run: Run, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """And nothing of it is repeated: it may hold a password."""
    monkeypatch.setenv("TASKHUB_URL", url or "x")

    ended = run("list")

    assert ended.code == 2
    assert ended.err == "taskhub: TASKHUB_URL must be like http://127.0.0.1:8080\n"


def test_the_token_may_come_from_a_file(
    run: Run, hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is in no environment."""
    monkeypatch.delenv("TASKHUB_TOKEN")
    monkeypatch.setenv("TASKHUB_TOKEN_FILE", str(folder / "token"))
    (folder / "token").write_text("x.y.z\n")
    hub.says(200, task())

    run("show", ID)

    assert hub.requests[0].headers["authorization"] == "Bearer x.y.z"


@pytest.mark.parametrize("token", ["a b", "a\nb", "\u00e9"])
def test_a_token_with_odd_characters_is_refused_here(
    run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    """It would break the header."""
    monkeypatch.setenv("TASKHUB_TOKEN", token)

    ended = run("list")

    assert (ended.code, hub.requests) == (2, [])


def test_a_token_over_plain_http_to_elsewhere_is_said_aloud(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody on the way can read it."""
    monkeypatch.setenv("TASKHUB_URL", "http://taskhub.invalid")
    monkeypatch.setenv("TASKHUB_TOKEN", "a.b.c")

    ended = run("list")

    assert ended.code == 3
    assert "warning: the token goes to taskhub.invalid without encryption" in ended.err
