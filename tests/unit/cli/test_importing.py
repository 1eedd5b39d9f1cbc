"""`taskhub create --from`: a file becomes batches, and a second run stores nothing twice."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from taskhub.cli import client, importing

from tests.unit.cli.conftest import Hub, Run, problem


def stored(number: int) -> dict[str, Any]:
    """What the API answers to a batch."""
    items = [{"status": 201, "id": f"id-{n}"} for n in range(number)]
    return {"created": number, "existing": 0, "refused": 0, "items": items}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of two."""
    monkeypatch.setattr(importing, "TASKS", 2)


def written(folder: Path, *lines: str) -> str:
    """A file with these lines."""
    path = folder / "tasks.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def test_the_tasks_of_a_file_are_created_as_they_stand(run: Run, hub: Hub, folder: Path) -> None:
    """To the byte; empty lines are none; the ids go to stdout, how many to stderr."""
    hub.says(201, stored(2))
    path = written(folder, '{"title": "Zoë", "payload": {"n": 1.50}}', "  ", '{"title":"b"}\r')

    ended = run("create", "--from", path)

    assert (ended.code, ended.out) == (0, "id-0\nid-1\n")
    assert ended.err == "taskhub: stored 2 tasks\n"
    (asked,) = hub.requests
    assert (asked.method, asked.path) == ("POST", "/tasks/batch")
    assert asked.body == {"tasks": [{"title": "Zoë", "payload": {"n": 1.5}}, {"title": "b"}]}


@pytest.mark.usefixtures("small")
def test_a_long_file_goes_in_batches_each_under_a_key_of_its_own(
    run: Run, hub: Hub, folder: Path
) -> None:
    """The same keys each time, where the first part is given."""
    for number in (2, 2, 1):
        hub.says(201, stored(number))
    path = written(folder, *('{"title":"x"}' for _ in range(5)))

    ended = run("create", "--from", path, "--key", "import 7", "--json")

    assert [len(asked.body["tasks"]) for asked in hub.requests] == [2, 2, 1]
    keys = [asked.headers["idempotency-key"] for asked in hub.requests]
    assert keys == ['"import 7/1"', '"import 7/2"', '"import 7/3"']
    assert [json.loads(line)["status"] for line in ended.out.splitlines()] == [201] * 5
    assert ended.err == "taskhub: stored 5 tasks\n"


def test_a_batch_has_an_end_in_bytes_too(
    run: Run, hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a line that is longer than that goes alone: the server may take it."""
    monkeypatch.setattr(importing, "BYTES", 40)
    hub.says(201, stored(1))
    titles = ("a", "b" * 50, "c", "d")

    run("create", "--from", written(folder, *(f'{{"title":"{title}"}}' for title in titles)))

    sent = [[task["title"] for task in asked.body["tasks"]] for asked in hub.requests]
    assert sent == [["a"], ["b" * 50], ["c", "d"]]


@pytest.mark.usefixtures("small")
def test_a_refused_batch_is_told_by_lines_of_the_file_and_how_to_go_on(
    run: Run, hub: Hub, folder: Path
) -> None:
    """What was stored before stays; the key makes the next run go on."""
    errors = [
        {"pointer": "/tasks/1/priority", "detail": "-100 to 100"},
        {"pointer": "/tasks/0", "detail": "needed: an object"},
        {"pointer": "/tasks/0/payload/url", "detail": "expected text"},
    ]
    hub.says(201, stored(2))
    refused = problem(422, "Some members break a rule.", errors=errors)
    hub.says(422, refused, Content_Type="application/problem+json")
    path = written(folder, *('{"title":"x"}' for _ in range(2)), "", *('{"title":"y"}',) * 4)

    ended = run("create", "--from", path, "--key", "k")

    assert (ended.code, ended.out, len(hub.requests)) == (1, "id-0\nid-1\n", 2)
    assert ended.err.splitlines() == [
        "taskhub: Some members break a rule.",
        "taskhub:   line 5: priority: -100 to 100",
        "taskhub:   line 4: needed: an object",
        "taskhub:   line 4: payload/url: expected text",
        "taskhub: stored before that: 2 tasks",
        "taskhub: to go on, run it again with --key k: nothing is stored twice",
    ]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("bad", ["{", "[]", "7", '{"title": NaN}', '"title"', "title"])
def test_a_line_that_is_no_task_is_named_and_its_batch_is_not_sent(
    run: Run, hub: Hub, folder: Path, bad: str
) -> None:
    """Mended, the whole batch can go under its key."""
    hub.says(201, stored(2))
    path = written(folder, *('{"title":"x"}' for _ in range(3)), bad)

    ended = run("create", "--from", path)

    assert (ended.code, len(hub.requests)) == (2, 1)
    first, count, hint = ended.err.splitlines()
    assert first.startswith("taskhub: line 4: expected a task")
    assert count == "taskhub: stored before that: 2 tasks"
    made = hub.requests[0].headers["idempotency-key"].strip('"').removesuffix("/1")
    assert f"--key {made}:" in hint


def test_what_may_pass_is_tried_again_under_the_same_key(run: Run, hub: Hub, folder: Path) -> None:
    """A batch whose answer was lost, or that came while the server was busy."""
    busy = problem(503, "Busy.")
    hub.says(503, busy, Content_Type="application/problem+json", Retry_After="0")
    hub.says(201, stored(1))

    ended = run("create", "--from", written(folder, '{"title":"x"}'))

    assert (ended.code, len(hub.requests)) == (0, 2)
    assert len({asked.headers["idempotency-key"] for asked in hub.requests}) == 1


def test_a_batch_whose_answer_never_came_may_be_stored(
    run: Run, hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the key is told, though nothing is known to be stored."""
    monkeypatch.setattr(client, "PATIENCE", 0.0)
    unknown = problem(503, "It may or may not have been stored.")
    hub.says(503, unknown, Content_Type="application/problem+json")

    ended = run("create", "--from", written(folder, '{"title":"x"}'))

    assert ended.code == 3
    assert ended.err.splitlines()[-2] == "taskhub: stored before that: 0 tasks"
    assert "run it again with --key " in ended.err


def test_stdin_is_a_file_too(run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """For what another program writes."""
    hub.says(201, stored(1))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"title":"x"}')))

    assert run("create", "--from", "-").out == "id-0\n"


def test_an_empty_file_is_no_mistake(run: Run, hub: Hub, folder: Path) -> None:
    """Nothing to do is done."""
    ended = run("create", "--from", written(folder, "", ""))

    assert (ended.code, ended.err, hub.requests) == (0, "taskhub: stored 0 tasks\n", [])


@pytest.mark.parametrize(
    "words",
    [(), ("T", "--from", "-"), ("--from", "-", "--queue", "q"), ("--from", "-", "--wait")],
)
def test_one_task_or_a_file(run: Run, words: tuple[str, ...]) -> None:
    """What would be passed over in silence is refused."""
    ended = run("create", *words)

    assert ended.code == 2
    assert "--from" in ended.err


def test_a_file_that_cannot_be_read_is_named(run: Run) -> None:
    """Before anything is asked of the API."""
    ended = run("create", "--from", "no-such-file")

    assert (ended.code, ended.out) == (2, "")
    assert "no-such-file" in ended.err
