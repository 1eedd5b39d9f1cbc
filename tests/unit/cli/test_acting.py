"""Acts on many tasks: what is asked for, counted, confirmed and told."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from tests.unit.cli.conftest import Hub, Run, problem

ID = "0198c2c8-0000-7000-8000-000000000001"


def report(matched: int = 0, changed: int = 0, skipped: int = 0, **more: Any) -> dict[str, Any]:
    """What the API says of a bulk act."""
    counts = {"matched": matched, "changed": changed, "skipped": skipped}
    return counts | {"next": None, "sample": []} | more


class Terminal(io.StringIO):
    """A person at the keyboard."""

    def isatty(self) -> bool:
        """Yes."""
        return True


@pytest.mark.parametrize(
    ("verb", "said"),
    [("cancel", "cancelled"), ("retry", "retried"), ("delete", "deleted")],
)
def test_an_act_goes_on_until_all_is_done(run: Run, hub: Hub, verb: str, said: str) -> None:
    """Request by request; one line on stdout in the end."""
    hub.says(200, report(10_000, 9_999, 1, next="c1"))
    hub.says(200, report(4, 4))

    ended = run(verb, "--query", "status:x a")

    assert (ended.code, ended.out) == (0, f"10,003 tasks {said}, 1 skipped\n")
    assert ended.err == f"taskhub: 9,999 tasks {said}, going on\n"
    assert [(asked.path, asked.body) for asked in hub.requests] == [
        (f"/tasks/bulk/{verb}", {"q": "status:x a"}),
        (f"/tasks/bulk/{verb}", {"q": "status:x a", "cursor": "c1"}),
    ]


def test_a_dry_run_counts_and_shows_some(run: Run, hub: Hub) -> None:
    """Over several answers; nothing is changed."""
    some = {"id": ID, "status": "Failed", "type": "resize", "title": "a\x1b[31mb"}
    some |= {"queue": "default", "createdAt": "2025-09-28T22:17:17Z"}
    hub.says(200, report(2_000, next="c1", sample=[some]))
    hub.says(200, report(5))

    ended = run("retry", "--query", "status:failed", "--dry-run")

    assert (ended.code, ended.out) == (0, "2,005 tasks would be retried\n")
    assert "a\\x1b[31mb" in ended.err
    assert [asked.body for asked in hub.requests] == [
        {"q": "status:failed", "dryRun": True},
        {"q": "status:failed", "dryRun": True, "cursor": "c1"},
    ]


def test_every_task_is_meant_only_when_it_is_said(run: Run, hub: Hub) -> None:
    """`--all` is sent as such; JSON for programs."""
    hub.says(200, report(3, 3))

    ended = run("delete", "--all", "--json")

    assert json.loads(ended.out) == {"matched": 3, "changed": 3, "skipped": 0}
    assert hub.requests[0].body == {"all": True}


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_a_person_is_asked_first(
    run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    """With the count; no is the default."""
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    hub.says(200, report(7))
    hub.says(200, report(7, 7))

    ended = run("cancel", "--query", "status:pending")

    assert (ended.code, len(hub.requests)) == (code, 1 if code else 2)
    assert "Cancel 7 tasks? [y/N]" in ended.err
    assert ended.out == ("7 tasks cancelled\n" if code == 0 else "")


def test_yes_asks_nobody(run: Run, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """For who has counted before."""
    monkeypatch.setattr("sys.stdin", Terminal(""))
    hub.says(200, report(1, 1))

    ended = run("cancel", "--query", "status:pending", "--yes")

    assert (ended.code, ended.out) == (0, "1 task cancelled\n")


@pytest.mark.parametrize(
    "words",
    [
        ["cancel"],
        ["retry", ID, "--query", "a"],
        ["delete", "--query", "a", "--all"],
        ["cancel", ID, "--dry-run"],
    ],
)
def test_it_must_be_clear_which_tasks_are_meant(run: Run, hub: Hub, words: list[str]) -> None:
    """Nothing is sent."""
    assert run(*words).code == 2
    assert hub.requests == []


def test_one_task_is_deleted_by_its_id(run: Run, hub: Hub) -> None:
    """Whatever is typed is one id and nothing else."""
    hub.says(200, report(1, 1))
    hub.says(200, report())

    good = run("delete", ID)
    missing = run("delete", "0198* status:done")

    assert (good.code, good.out) == (0, "1 task deleted\n")
    assert (missing.code, missing.err) == (1, "taskhub: no task of this id has ended\n")
    assert [asked.body for asked in hub.requests] == [
        {"q": f"id:{ID}"},
        {"q": 'id:"0198* status:done"'},
    ]


def test_what_was_done_before_a_failure_is_said(run: Run, hub: Hub) -> None:
    """So that nobody must guess."""
    hub.says(200, report(10, 10, next="c1"))
    hub.says(503, problem(503, "Try again shortly."), Retry_After="1")

    ended = run("cancel", "--query", "a")

    assert ended.code == 3
    assert "taskhub: 10 tasks cancelled before that\n" in ended.err
