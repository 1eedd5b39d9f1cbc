"""Browser applications: allowed origins may call and read errors, others learn nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from taskhub.config.sections import CorsSection

from tests.unit.http.house import CONFIG, House, open_house

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
    config = msgspec.structs.replace(CONFIG, cors=CorsSection(origins=(APP,)))
    async with open_house(tmp_path, empty_database, config) as house:
        yield house


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


@pytest.mark.parametrize("origin", FOREIGN)
async def test_other_origins_learn_nothing(open_to_app: House, origin: str) -> None:
    """No field of CORS at all, whatever they ask; caches are told that it depends."""
    asked = await open_to_app.ask("OPTIONS", "/tasks", headers=preflight(origin))
    read = await open_to_app.ask("GET", "/tasks", headers={"Origin": origin})

    assert asked.status == 403
    assert asked.headers["Content-Type"] == "application/problem+json"
    for reply in (asked, read):
        assert not [name for name in reply.headers if name.startswith("Access-Control")]
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

    assert not [name for name in reply.headers if name.startswith("Access-Control")]
    assert "Vary" not in reply.headers
    assert asked.status == 405
