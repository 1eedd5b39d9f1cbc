"""TaskHub: what each method asks for, and what it makes of the answer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from taskhub.client import Retries, Status, TaskHub, TaskItem
from taskhub.client import errors as e
from taskhub.client.structs import Step, Verb

from tests.unit.client.server import ID, Server, cut, problem, silence, task
from tests.waiting import until

TOKEN_FIELD = "authorization"


async def test_many_are_created_by_one_request_under_one_key(server: Server, hub: TaskHub) -> None:
    """Each with what was said of it; sent again, it is the same."""
    items = [
        {"status": 201, "id": ID},
        {"status": 422, "errors": [{"pointer": "/tasks/1/title", "detail": "needed"}]},
    ]
    server.does(cut)
    server.says(207, {"created": 1, "existing": 0, "refused": 1, "items": items})

    made = await hub.create_many([{"title": "a", "max_attempts": 2}, {"title": ""}], atomic=False)

    assert (made.created, made.refused) == (1, 1)
    assert (made.items[0].id, made.items[1].errors[0].pointer) == (ID, "/tasks/1/title")
    first, second = server.requests
    assert first.json == {
        "tasks": [{"title": "a", "maxAttempts": 2}, {"title": ""}],
        "atomic": False,
    }
    assert (first.path, first.body) == ("/tasks/batch", second.body)
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


async def test_a_task_is_created_with_what_was_said(server: Server, hub: TaskHub) -> None:
    """Names as Python writes them, bodies as the API does."""
    server.says(201, task(payload={"n": 1}))

    made = await hub.create(
        "T",
        type="resize",
        payload={"n": 2**70, "é": [None]},
        run_at=datetime(2030, 1, 31, 8, tzinfo=UTC),
        max_attempts=2,
        timeout_seconds=9,
    )

    (asked,) = server.requests
    assert (asked.method, asked.path) == ("POST", "/tasks")
    assert asked.json == {
        "title": "T",
        "type": "resize",
        "payload": {"n": 2**70, "é": [None]},
        "runAt": "2030-01-31T08:00:00Z",
        "maxAttempts": 2,
        "timeoutSeconds": 9,
    }
    assert asked.headers[TOKEN_FIELD] == "Bearer a.b.c"
    assert asked.headers["content-type"] == "application/json"
    assert isinstance(made, TaskItem)
    assert (made.id, made.status, made.payload) == (ID, Status.PENDING, {"n": 1})
    assert made.created_at == datetime(2025, 9, 28, 22, 17, 17, tzinfo=UTC)


async def test_each_call_has_a_key_of_its_own_and_keeps_it(server: Server, hub: TaskHub) -> None:
    """Whatever happens on the way, one call makes one task: key and bytes are the same again."""
    for act in (cut, cut):
        server.does(act)
    server.says(503, problem(503, "outcome-unknown"), Retry_After="0")
    server.says(201, task())

    await hub.create("T", payload={"b": 1, "a": 2})
    await hub.create("T")

    *first, last = server.requests
    keys = [asked.headers["idempotency-key"] for asked in first]
    assert len(keys) == 4
    assert len({(asked.headers["idempotency-key"], asked.body) for asked in first}) == 1
    assert last.headers["idempotency-key"] not in keys
    assert keys[0].startswith('"')
    assert keys[0].endswith('"')


async def test_a_given_key_is_sent_as_the_draft_has_it(server: Server, hub: TaskHub) -> None:
    """A string in quotes (RFC 9651)."""
    server.says(201, task())

    await hub.create("T", key='order 7 "x" \\')

    assert server.requests[0].headers["idempotency-key"] == r'"order 7 \"x\" \\"'


@pytest.mark.parametrize("key", ["", "a\nb", "é", "k" * 256], ids=ascii)
async def test_a_key_that_cannot_be_one_is_refused_here(
    server: Server, hub: TaskHub, key: str
) -> None:
    """Nothing is sent."""
    with pytest.raises(ValueError, match="1 to 255 printable"):
        await hub.create("T", key=key)

    assert server.requests == []


async def test_pages_come_as_one_row_of_tasks(server: Server, hub: TaskHub) -> None:
    """By the cursor, until the last."""
    server.says(200, {"items": [task(id="a"), task(id="b")], "next": "b"})
    server.says(200, {"items": [task(id="c")], "next": None})

    found = [found.id async for found in hub.tasks("status:failed error:~timeout")]

    assert found == ["a", "b", "c"]
    assert [path for _, path in server.asked] == [
        "/tasks?q=status%3Afailed+error%3A~timeout&limit=200",
        "/tasks?q=status%3Afailed+error%3A~timeout&cursor=b&limit=200",
    ]


async def test_a_limit_asks_for_no_more_than_it_gives(server: Server, hub: TaskHub) -> None:
    """Three of many: one page of three."""
    server.says(200, {"items": [task(id="a"), task(id="b")], "next": "b"})
    server.says(200, {"items": [task(id="c")], "next": "c"})

    moment = datetime(2025, 1, 1, tzinfo=UTC)
    found = [x.id async for x in hub.tasks(limit=3, status="Done", created_from=moment, queue=None)]

    assert found == ["a", "b", "c"]
    query = "status=Done&createdFrom=2025-01-01T00%3A00%3A00%2B00%3A00"
    assert [path for _, path in server.asked] == [
        f"/tasks?{query}&limit=3",
        f"/tasks?{query}&cursor=b&limit=1",
    ]


async def test_a_chain_and_a_graph_are_made_as_they_are_said(server: Server, hub: TaskHub) -> None:
    """Names as Python writes them, also in the steps."""
    server.says(201, task(then=["t-2"]))
    server.says(201, {"created": 2, "existing": 0, "refused": 0, "items": []})
    step: Step = {"title": "b", "max_attempts": 2, "on_parent_failure": "continue"}

    made = await hub.create("a", after=["t-0"], then=[step])
    await hub.create_many([{"title": "a", "name": "one"}, {"title": "b", "after": ["one", 0]}])

    chain, graph = (asked.json for asked in server.requests)
    assert made.then == ("t-2",)
    assert chain == {
        "title": "a",
        "after": ["t-0"],
        "then": [{"title": "b", "maxAttempts": 2, "onParentFailure": "continue"}],
    }
    assert graph["tasks"][1] == {"title": "b", "after": ["one", 0]}


async def test_parents_are_typed(server: Server, hub: TaskHub) -> None:
    """With their results; one that was deleted has no state."""
    told = {"id": "t-1", "status": "Done", "error": None, "result": {"n": 1}}
    server.says(200, {"items": [told, {"id": "t-2", "status": None}]})

    first, second = await hub.parents("t-3")

    assert (first.status, first.result, second.status) == (Status.DONE, {"n": 1}, None)
    assert server.requests[0].path == "/tasks/t-3/parents"


async def test_children_come_page_after_page(server: Server, hub: TaskHub) -> None:
    """Up to a limit, or all."""
    child = {
        **dict.fromkeys(("id", "title", "type", "queue", "createdBy"), "t-2"),
        "status": "Pending",
        "error": None,
        "createdAt": "2030-01-31T08:00:00Z",
    }
    server.says(200, {"items": [child], "next": "t-2"})
    server.says(200, {"items": [child | {"id": "t-1"}], "next": None})
    server.says(200, {"items": [child], "next": "t-2"})

    children = [one async for one in hub.children("t-0")]
    first = [one async for one in hub.children("t-0", limit=1)]

    assert [one.id for one in children] == ["t-2", "t-1"]
    assert [one.id for one in first] == ["t-2"]
    assert [asked.path for asked in server.requests] == [
        "/tasks/t-0/children?limit=200",
        "/tasks/t-0/children?cursor=t-2&limit=200",
        "/tasks/t-0/children?limit=1",
    ]


async def test_attempts_and_failures_are_typed(server: Server, hub: TaskHub) -> None:
    """Groups page after page."""
    attempt = {"attempt": 1, "end": "Failed", "startedAt": None, "endedAt": None, "error": "no"}
    group = {
        **dict.fromkeys(("fingerprint", "exception", "place", "error")),
        "type": "resize",
        "count": 2,
        "more": False,
        "samples": ["a"],
        **dict.fromkeys(("firstSeen", "lastSeen"), "2030-01-31T08:00:00Z"),
    }
    server.says(200, {"items": [attempt]})
    server.says(200, {"items": [group], "next": "1--resize"})
    server.says(200, {"items": [group], "next": None})

    (failed,) = await hub.attempts("a")
    groups = [group.type async for group in hub.failures(since="2030-01-31T08:00:00Z")]

    assert (failed.attempt, failed.error, groups) == (1, "no", ["resize", "resize"])
    assert [path for _, path in server.asked] == [
        "/tasks/a/attempts",
        "/tasks/failures?since=2030-01-31T08%3A00%3A00Z&limit=200",
        "/tasks/failures?since=2030-01-31T08%3A00%3A00Z&cursor=1--resize&limit=200",
    ]


async def test_wait_asks_until_the_task_has_ended(server: Server, hub: TaskHub) -> None:
    """The server holds the answer back: a request a minute, not one a second."""
    server.says(200, task(status="Processing"))
    server.says(200, task(status="Done", result={"ok": 1}))

    ended = await hub.wait(ID)

    assert (ended.status, ended.result) == (Status.DONE, {"ok": 1})
    assert [path for _, path in server.asked] == [f"/tasks/{ID}?wait=50"] * 2


async def test_wait_ends_with_its_time(server: Server, hub: TaskHub) -> None:
    """As everything of asyncio's own does."""
    server.says(200, task())

    with pytest.raises(TimeoutError, match=r"not ended after 0\.01 s"):
        await hub.wait(ID, timeout=0.01)


async def test_wait_ends_with_its_time_though_nobody_answers(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever says how long has a reason."""
    monkeypatch.setattr("taskhub.client.hub.GRACE", 0.05)
    server.does(silence)

    async with TaskHub(server.url) as hub:
        with pytest.raises(TimeoutError, match=r"not ended after 0\.01 s"):
            await hub.wait(ID, timeout=0.01)


async def test_wait_lives_through_a_restart(server: Server, hub: TaskHub) -> None:
    """However many attempts it takes, if there is time."""
    for _ in range(20):
        server.does(cut)
    server.says(200, task(status="Done"))

    assert (await hub.wait(ID)).status is Status.DONE


async def test_those_who_wait_hold_nobody_up(server: Server, hub: TaskHub) -> None:
    """A hundred answers that are held back, or streams, leave room for more."""
    for _ in range(120):
        server.does(silence)
    server.says(200, task())

    waiting = [asyncio.ensure_future(hub.wait(ID)) for _ in range(120)]
    await until(lambda: len(server.requests) == 120)
    found = await hub.get(ID)
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    assert found.id == ID


async def test_what_is_closed_stays_closed(server: Server) -> None:
    """No connection is opened that nobody would close."""
    hub = TaskHub(server.url)
    await hub.close()
    await hub.close()

    with pytest.raises(RuntimeError, match="closed"):
        await hub.get(ID)


async def test_another_loop_is_told_so(server: Server, hub: TaskHub) -> None:
    """Connections belong to a loop: this must not hang, or fail in odd words."""
    server.says(200, task())
    await hub.get(ID)

    with pytest.raises(RuntimeError, match="belongs to the loop"):
        await asyncio.to_thread(asyncio.run, hub.get(ID))


async def test_ids_stay_one_part_of_the_path(server: Server, hub: TaskHub) -> None:
    """Whatever somebody has typed."""
    server.says(200, task())

    await hub.get("../a b?c/é")
    await hub.cancel(ID)
    await hub.retry(ID)

    assert server.asked == [
        ("GET", "/tasks/..%2Fa%20b%3Fc%2F%C3%A9"),
        ("POST", f"/tasks/{ID}/cancel"),
        ("POST", f"/tasks/{ID}/retry"),
    ]


async def test_a_cancel_whose_answer_was_lost_is_no_conflict(server: Server, hub: TaskHub) -> None:
    """The second attempt finds what the first has done."""
    server.does(cut)
    server.says(409, problem(409, "conflict"))
    server.says(200, task(status="Cancelled"))

    assert (await hub.cancel(ID)).status is Status.CANCELLED


async def test_a_cancel_that_came_too_late_is_a_conflict(server: Server, hub: TaskHub) -> None:
    """At the first attempt, or when the task has ended otherwise."""
    server.says(409, problem(409, "conflict"))
    server.does(cut)
    server.says(409, problem(409, "conflict"))
    server.says(200, task(status="Done"))

    for _ in range(2):
        with pytest.raises(e.Conflict):
            await hub.cancel(ID)


async def test_an_operators_retry_is_sent_once(server: Server, hub: TaskHub) -> None:
    """The task may have run and failed meanwhile: a second one would start it again."""
    server.does(cut)

    with pytest.raises(e.Unreachable, match="the connection was cut"):
        await hub.retry(ID)

    assert len(server.requests) == 1


def report(changed: int, following: str | None = None, **more: Any) -> dict[str, Any]:
    """What one request of an act on many tasks answers."""
    numbers = {"matched": changed, "changed": changed, "skipped": 0}
    return {**numbers, "next": following, "sample": [], **more}


async def test_an_act_on_many_goes_on_until_all_are_done(server: Server, hub: TaskHub) -> None:
    """Each request ends after a while; the sums are told."""
    server.says(200, report(200, "c1"))
    server.says(503, problem(503, "busy"), Retry_After="0")
    server.says(200, report(4, skipped=1, matched=5))

    found = await hub.bulk("cancel", "type:resize")

    assert (found.matched, found.changed, found.skipped, found.next) == (205, 204, 1, None)
    first, *others = server.requests
    assert (first.method, first.path) == ("POST", "/tasks/bulk/cancel")
    assert first.json == {"q": "type:resize"}
    assert [asked.json for asked in others] == [{"q": "type:resize", "cursor": "c1"}] * 2


async def test_a_dry_run_counts_and_shows_some(server: Server, hub: TaskHub) -> None:
    """A sample of the first answer."""
    some = {name: task()[name] for name in ("id", "title", "type", "queue", "status", "createdAt")}
    server.says(200, {**report(0, "c1"), "matched": 900, "sample": [some]})
    server.says(200, {**report(0), "matched": 100})

    found = await hub.bulk("delete", everything=True, dry_run=True)

    assert (found.matched, found.changed) == (1_000, 0)
    assert [(each.id, each.status) for each in found.sample] == [(ID, Status.PENDING)]
    assert server.requests[0].json == {"all": True, "dryRun": True}
    assert server.requests[1].json == {"all": True, "dryRun": True, "cursor": "c1"}


@pytest.mark.parametrize(
    ("verb", "dry_run", "count"), [("cancel", False, 5), ("retry", True, 5), ("retry", False, 1)]
)
async def test_a_retry_of_many_is_sent_once(
    server: Server, hub: TaskHub, verb: Verb, count: int, *, dry_run: bool
) -> None:
    """Some may have run and failed meanwhile; the other acts do nothing twice."""
    server.does(cut)

    with pytest.raises(e.Unreachable):
        await hub.bulk(verb, "type:resize", dry_run=dry_run)

    assert len(server.requests) == count


async def test_an_act_that_fails_in_the_middle_has_told_what_it_did(
    server: Server, hub: TaskHub
) -> None:
    """Step by step, for whoever wants to know."""
    server.says(200, report(200, "c1"))
    server.says(403, problem(403, "forbidden"))
    steps = hub.bulk_steps("delete", "type:resize")

    assert (await anext(steps)).changed == 200
    with pytest.raises(e.Forbidden):
        await anext(steps)


async def test_ready_says_yes_or_no_at_once(server: Server, hub: TaskHub) -> None:
    """Without a second attempt: the caller has a loop of its own."""
    server.says(200, {"status": "ok", "parts": []})
    server.says(503, {"status": "failed", "parts": []})

    assert [await hub.ready(), await hub.ready()] == [True, False]
    assert len(server.requests) == 2


async def test_members_of_a_newer_server_are_passed_over(server: Server, hub: TaskHub) -> None:
    """An old client goes on."""
    server.says(200, task(colour="red"))

    assert (await hub.get(ID)).title == "Resize images"


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"<html>"), (200, []), (200, {"id": 5}), (301, b""), (404, b"<html>"), (418, {"a": 1})],
    ids=str,
)
async def test_an_answer_that_is_not_taskhubs_says_so(
    server: Server, hub: TaskHub, status: int, body: Any
) -> None:
    """A proxy, or another program at that port; a redirect gets no token."""
    server.says(status, body, Location=f"{server.url}/elsewhere")

    with pytest.raises(e.Unexpected, match="does not answer like a TaskHub") as caught:
        await hub.get(ID)

    assert caught.value.status == status
    assert len(server.requests) == 1


async def test_no_answer_ends_with_its_time(server: Server) -> None:
    """A server that hangs holds nobody."""
    server.does(silence)

    async with TaskHub(server.url, timeout=0.05, retries=Retries(attempts=1)) as hub:
        with pytest.raises(e.Unreachable, match="no answer in time") as caught:
            await hub.get(ID)

    assert caught.value.was_sent


async def test_any_other_route_can_be_asked_for(server: Server, hub: TaskHub) -> None:
    """What has no method yet; JSON as it is."""
    server.says(200, {"items": [{"at": "2025-09-28T22:17:17Z"}], "next": None})
    server.says(202, b"")

    page = await hub.request("GET", "/audit", query={"actor": "me", "text": None, "x": True})
    nothing = await hub.request("POST", "/actors/x/restart", body={"a": 1}, key="k")

    assert page == {"items": [{"at": "2025-09-28T22:17:17Z"}], "next": None}
    assert nothing is None
    assert server.asked == [("GET", "/audit?actor=me&x=true"), ("POST", "/actors/x/restart")]
    assert server.requests[1].headers["idempotency-key"] == '"k"'


@pytest.mark.parametrize(("key", "count"), [(None, 1), ("k", 5)])
async def test_a_post_comes_again_only_with_a_key(
    server: Server, hub: TaskHub, key: str | None, count: int
) -> None:
    """Else it could be done twice."""
    server.does(cut)

    with pytest.raises(e.Unreachable):
        await hub.request("POST", "/tasks", body={"title": "x"}, key=key)

    assert len(server.requests) == count
