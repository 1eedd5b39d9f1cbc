"""TaskHub: what each method asks for, and what it makes of the answer."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from taskhub.client import Retries, Status, TaskHub, TaskItem
from taskhub.client import errors as e
from taskhub.client.address import address_of, proxy_for

from tests.unit.client.server import ID, Server, cut, problem, silence, task
from tests.waiting import until

TOKEN_FIELD = "authorization"


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


async def test_ready_says_yes_or_no_at_once(server: Server, hub: TaskHub) -> None:
    """Without a second attempt: the caller has a loop of its own."""
    server.says(200, {"status": "ok", "parts": []})
    server.says(503, {"status": "failed", "parts": []})

    assert [await hub.ready(), await hub.ready()] == [True, False]
    assert len(server.requests) == 2


async def test_the_token_may_come_from_a_function(server: Server) -> None:
    """Asked for each request, so that a program may refresh it; plain or asynchronous."""
    server.says(200, task())
    tokens = iter(["one", "two"])

    async def later() -> str:
        return "three"

    async with TaskHub(server.url, lambda: next(tokens)) as hub:
        await hub.get(ID)
        await hub.get(ID)
    async with TaskHub(server.url, later) as hub:
        await hub.get(ID)
    async with TaskHub(server.url) as hub:
        await hub.get(ID)

    shown = [asked.headers.get(TOKEN_FIELD) for asked in server.requests]
    assert shown == ["Bearer one", "Bearer two", "Bearer three", None]


async def test_a_refused_token_is_asked_for_once_more(server: Server) -> None:
    """It may have expired on the way; a second no is one."""
    server.says(401, problem(401, "unauthorized"))
    tokens = iter(["old", "new", "newer", "newest"])

    async with TaskHub(server.url, lambda: next(tokens)) as hub:
        with pytest.raises(e.Unauthorized):
            await hub.retry(ID)

    assert [a.headers[TOKEN_FIELD] for a in server.requests] == ["Bearer old", "Bearer new"]


@pytest.mark.parametrize("token", ["a b", "a\nb", "é"], ids=ascii)
async def test_no_token_is_shown(token: str) -> None:
    """Not by a repr, and not by the error about one that cannot be sent."""
    hub = TaskHub("https://hub.example/base/", "canary.token.x")

    with pytest.raises(ValueError, match="odd characters") as caught:
        TaskHub("https://hub.example", token)

    assert repr(hub) == "TaskHub('https://hub.example')"
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://a",
        "127.0.0.1:8080",
        "http://",
        "http://a:x",
        "http://me:pw@a",
        "http://a/?b",
        "http://a b",
        "http://\u00e9.example",
    ],
)
def test_a_url_that_cannot_be_one_is_refused(url: str) -> None:
    """And not repeated: it may hold a password."""
    with pytest.raises(ValueError, match="must be like http") as caught:
        TaskHub(url)

    assert "pw" not in str(caught.value)


async def test_a_base_path_stays(server: Server) -> None:
    """Behind a proxy that gives TaskHub a folder."""
    server.says(200, task())

    async with TaskHub(f"{server.url}/apps/hub/") as hub:
        await hub.get(ID)

    assert server.asked == [("GET", f"/apps/hub/tasks/{ID}")]


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


async def test_what_is_not_http_shows_no_token(server: Server, hub: TaskHub) -> None:
    """Not even in the error behind the error."""

    async def noise(writer: Any) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        await writer.drain()

    server.does(noise)

    with pytest.raises(e.Unexpected, match="that is not HTTP") as caught:
        await hub.get(ID)

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert "a.b.c" not in repr(caught.value)


async def test_the_way_through_a_proxy_is_the_environments(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY, but not on this machine itself; its password goes to the proxy alone."""
    server.says(200, task())
    there = server.url.removeprefix("http://")
    monkeypatch.setenv("http_proxy", f"http://me:pw@{there}")

    async with TaskHub("http://hub.example:81/base") as hub, TaskHub(server.url) as near:
        await hub.get(ID)
        await near.get(ID)

    far, direct = server.requests
    assert far.path == f"http://hub.example:81/base/tasks/{ID}"
    assert far.headers["proxy-authorization"].startswith("Basic ")
    assert direct.path == f"/tasks/{ID}"
    assert "proxy-authorization" not in direct.headers


@pytest.mark.parametrize(
    ("url", "found"),
    [("http://hub.example", "http://p:1"), ("https://hub.example", None),
     ("http://localhost", None), ("http://[::1]:8080", None), ("http://127.9.9.9", None),
     ("http://a.near.example:81", None)],
)  # fmt: skip
def test_a_proxy_is_for_its_scheme_and_what_is_far(
    monkeypatch: pytest.MonkeyPatch, url: str, found: str | None
) -> None:
    """NO_PROXY may name a domain; this machine never needs to be named."""
    monkeypatch.setenv("http_proxy", "http://p:1")
    monkeypatch.setenv("no_proxy", "near.example")

    assert proxy_for(address_of(url)) == found


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [("407 Who Are You", e.Unexpected, "the proxy on the way refuses (status 407)"),
     ("200 OK", e.Unreachable, "https://hub.example: no connection")],
)  # fmt: skip
async def test_a_proxy_that_fails_shows_no_password(
    server: Server, monkeypatch: pytest.MonkeyPatch, answer: str, kind: type[Exception], said: str
) -> None:
    """Not even in the error behind the error; and it is told from a TaskHub that fails."""

    async def act(writer: Any) -> None:
        writer.write(f"HTTP/1.1 {answer}\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server.does(act)
    monkeypatch.setenv("https_proxy", server.url.replace("//", "//me:canary@"))

    async with TaskHub("https://hub.example", "a.b.c", retries=Retries(attempts=1)) as hub:
        with pytest.raises(kind, match=re.escape(said)) as caught:
            await hub.get(ID)

    shown = "".join(map(repr, (caught.value, caught.value.__cause__, caught.value.__context__)))
    assert "canary" not in shown
    assert "a.b.c" not in shown


async def test_a_netrc_does_not_replace_the_token(
    server: Server, hub: TaskHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxies come from the environment, passwords do not."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password pw\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.says(200, task())

    await hub.get(ID)

    assert server.requests[0].headers[TOKEN_FIELD] == "Bearer a.b.c"


def test_a_proxy_that_is_not_http_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Going around it in silence could be worse."""
    monkeypatch.setenv("all_proxy", "socks5://me:pw@127.0.0.1:1")

    with pytest.raises(ValueError, match="the proxy of the environment") as caught:
        TaskHub("http://hub.example")

    assert "pw" not in str(caught.value)
