"""Where requests go, what is shown there and what is not: tokens, addresses, proxies."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from taskhub.client import Retries, TaskHub
from taskhub.client import errors as e
from taskhub.client.address import address_of, proxy_for

from tests.unit.client.server import ID, Server, problem, task

TOKEN_FIELD = "authorization"


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
