"""Browser applications: allowed origins may call and read errors, others learn nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec
import pytest
from taskhub.config.sections import CorsSection
from taskhub.errors import StoreDown
from taskhub.http.cors import ASKED, MAX_AGE

from tests.unit.http.house import CONFIG, House, Reply, open_house

APP = "https://app.example.com"
FOREIGN = [
    "https://evil.example",
    "null",
    "https://app.example.com.evil.com",
    "http://app.example.com",
    "https://sub.app.example.com",
    "https://app.example.com:444",
]


@pytest.fixture
async def open_to_app(tmp_path: Path, empty_database: Path) -> AsyncIterator[House]:
    """An API that one application may call."""
    async with opened(tmp_path, empty_database, CorsSection(origins=(APP,))) as house:
        yield house


def opened(folder: Path, empty: Path, section: CorsSection) -> AbstractAsyncContextManager[House]:
    """An API with this section."""
    return open_house(folder, empty, msgspec.structs.replace(CONFIG, cors=section))


def told(reply: Reply) -> list[str]:
    """The fields of CORS in an answer."""
    return [name for name in reply.headers if name.startswith("Access-Control")]


def preflight(origin: str, fields: str = "Authorization, Content-Type") -> dict[str, str]:
    """What a browser asks before a POST."""
    return {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": fields,
    }


async def test_a_browser_may_ask_before_it_posts(open_to_app: House) -> None:
    """With the fields that the API knows."""
    del open_to_app.client.headers["Authorization"]

    reply = await open_to_app.ask(
        "OPTIONS", "/tasks", headers=preflight(APP, "authorization,content-type,idempotency-key")
    )

    assert reply.status == 200
    assert reply.headers["Access-Control-Allow-Origin"] == APP
    assert reply.headers["Access-Control-Allow-Methods"] == "POST"
    assert "Access-Control-Allow-Credentials" not in reply.headers
    assert reply.headers["X-Request-Id"]
    assert reply.headers["Server"] == "taskhub"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("origin", FOREIGN)
async def test_other_origins_learn_nothing(open_to_app: House, origin: str) -> None:
    """No field of CORS at all, whatever they ask; caches are told that it depends."""
    asked = await open_to_app.ask("OPTIONS", "/tasks", headers=preflight(origin))
    read = await open_to_app.ask("GET", "/tasks", headers={"Origin": origin})

    assert asked.status == 403
    assert asked.headers["Content-Type"] == "application/problem+json"
    for reply in (asked, read):
        assert not told(reply)
        assert reply.headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/tasks", 200),
        ("GET", "/tasks?limit=0", 400),
        ("POST", "/tasks", 415),
        ("GET", "/actors", 403),
        ("GET", "/tasks/019aa1d2-8c6e-7b53-9a43-1d3c5a0f9e21", 404),
        ("GET", "/nowhere", 404),
        ("DELETE", "/tasks", 405),
        ("GET", "/health", 200),
    ],
)
async def test_an_application_reads_every_answer(
    open_to_app: House, method: str, path: str, status: int
) -> None:
    """Errors too: else the page shows "CORS error" in place of what went wrong."""
    reply = await open_to_app.ask(method, path, headers={"Origin": APP})

    assert reply.status == status
    assert reply.headers.getall("Access-Control-Allow-Origin") == [APP]
    assert "X-Request-Id" in reply.headers["Access-Control-Expose-Headers"]
    assert reply.headers["X-Request-Id"]


async def test_a_401_is_readable_too(open_to_app: House) -> None:
    """A page must see that its token has ended."""
    del open_to_app.client.headers["Authorization"]

    reply = await open_to_app.ask("GET", "/tasks", headers={"Origin": APP})

    assert (reply.status, reply.headers["Access-Control-Allow-Origin"]) == (401, APP)


async def test_answers_to_others_say_that_it_depends(open_to_app: House) -> None:
    """A cache must not give curl's answer to a page."""
    assert (await open_to_app.ask("GET", "/health")).headers["Vary"] == "Origin"
    assert (await open_to_app.ask("POST", "/tasks", json={"title": "x"})).status == 201


async def test_without_origins_there_is_no_cors(house: House) -> None:
    """The default: no field, and OPTIONS is no method of ours."""
    reply = await house.ask("GET", "/health", headers={"Origin": APP})
    asked = await house.ask("OPTIONS", "/tasks", headers=preflight(APP))

    assert not told(reply)
    assert "Vary" not in reply.headers
    assert asked.status == 405


@pytest.mark.parametrize("field", ASKED)
async def test_every_field_of_ours_may_be_sent(open_to_app: House, field: str) -> None:
    """In the small letters in which browsers ask; and the answer is kept for a while."""
    reply = await open_to_app.ask("OPTIONS", "/tasks", headers=preflight(APP, field.lower()))

    assert reply.status == 200
    assert reply.headers["Access-Control-Allow-Headers"].lower() == field.lower()
    assert int(reply.headers["Access-Control-Max-Age"]) == MAX_AGE


async def test_other_fields_may_not(open_to_app: House) -> None:
    """What we do not know, no page needs."""
    for path in ("/tasks", "/nowhere"):
        reply = await open_to_app.ask("OPTIONS", path, headers=preflight(APP, "x-evil"))
        assert reply.status >= 400
        assert "Access-Control-Allow-Headers" not in reply.headers


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/nowhere"), ("DELETE", "/tasks"), ("HEAD", "/tasks"), ("PUT", "/tasks/x/cancel")],
)
async def test_a_page_may_ask_for_what_is_not_there(
    open_to_app: House, method: str, path: str
) -> None:
    """Else it would never see the 404 or 405 that follows."""
    asked = preflight(APP, "authorization") | {"Access-Control-Request-Method": method}

    reply = await open_to_app.ask("OPTIONS", path, headers=asked)
    foreign = await open_to_app.ask("OPTIONS", path, headers=asked | {"Origin": FOREIGN[0]})

    assert reply.status == 204
    assert reply.headers["Access-Control-Allow-Origin"] == APP
    assert reply.headers["Access-Control-Allow-Methods"] == method
    assert not told(foreign)
    assert foreign.status >= 400


async def test_a_500_and_a_503_are_readable_too(
    open_to_app: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug and a store that is away: the page shows what is wrong, and when to come again."""

    async def broken(*_: object) -> None:
        raise KeyError("secret")

    async def away(*_: object) -> None:
        raise StoreDown

    for trouble, status in ((broken, 500), (away, 503)):
        monkeypatch.setattr(open_to_app.store, "find", trouble)
        reply = await open_to_app.ask("GET", "/tasks", headers={"Origin": APP})
        assert (reply.status, reply.headers["Access-Control-Allow-Origin"]) == (status, APP)
        assert "Retry-After" in reply.headers["Access-Control-Expose-Headers"].split(",")


async def test_metrics_are_for_no_page(open_to_app: House) -> None:
    """They go by address, and a page in an operator's browser has the operator's."""
    read = await open_to_app.ask("GET", "/metrics", headers={"Origin": APP})
    asked = await open_to_app.ask("OPTIONS", "/metrics", headers=preflight(APP))

    assert (read.status, told(read)) == (200, [])
    assert (asked.status, told(asked)) == (405, [])


async def test_a_star_is_every_page_without_cookies(tmp_path: Path, empty_database: Path) -> None:
    """Whoever has a token may call from anywhere; a browser adds nothing of its own."""
    async with opened(tmp_path, empty_database, CorsSection(origins=("*",))) as house:
        asked = await house.ask("OPTIONS", "/tasks", headers=preflight(FOREIGN[0]))
        read = await house.ask("GET", "/nowhere", headers={"Origin": "null"})
        metrics = await house.ask("GET", "/metrics", headers={"Origin": FOREIGN[0]})

    for reply, status in ((asked, 200), (read, 404)):
        assert (reply.status, reply.headers["Access-Control-Allow-Origin"]) == (status, "*")
        assert "Access-Control-Allow-Credentials" not in reply.headers
    assert not told(metrics)


async def test_cookies_are_let_through_where_that_is_wanted(
    tmp_path: Path, empty_database: Path
) -> None:
    """For a proxy that asks for one; only for exact origins."""
    section = CorsSection(origins=(APP,), credentials=True)
    async with opened(tmp_path, empty_database, section) as house:
        asked = await house.ask("OPTIONS", "/tasks", headers=preflight(APP))
        missing = await house.ask("GET", "/nowhere", headers={"Origin": APP})
        foreign = await house.ask("GET", "/tasks", headers={"Origin": FOREIGN[0]})

    for reply in (asked, missing):
        assert reply.headers["Access-Control-Allow-Origin"] == APP
        assert reply.headers.getall("Access-Control-Allow-Credentials") == ["true"]
    assert not told(foreign)
