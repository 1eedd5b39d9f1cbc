"""The access log: who asked what, and what came of it; never what stood in the path."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from taskhub.config.sections import CorsSection
from taskhub.obs.logs import LogListener
from taskhub.obs.telemetry import RequestServed

from tests.unit.http.house import CONFIG, House, open_house, tuned

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Kept:
    """A sink that keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        self.lines.append(line)


@pytest.fixture
async def noisy(tmp_path: Path, empty_database: Path) -> AsyncIterator[House]:
    """An API with its access log on, and an application that may call."""
    config = msgspec.structs.replace(
        tuned(CONFIG, access_log=True), cors=CorsSection(origins=("https://app.example.com",))
    )
    async with open_house(tmp_path, empty_database, config) as house:
        yield house


def last(house: House) -> RequestServed:
    """What was told of the last answer."""
    told: RequestServed = house.said(RequestServed)[-1]
    return told


def test_it_is_off_by_default() -> None:
    """A line for each request costs more than the request."""
    assert CONFIG.http.access_log is False


async def test_without_it_nothing_is_looked_up(house: House) -> None:
    """The metrics need none of it."""
    await house.create()

    assert (last(house).is_access, last(house).address, last(house).subject) == (False, "", "")


async def test_a_line_has_all_that_an_operator_asks_for(noisy: House) -> None:
    """Who, from where, what, how it ended, how long and how large it was, and two ids."""
    reply = await noisy.ask(
        "POST",
        "/tasks",
        json={"title": "x"},
        headers={"X-Request-Id": "r-1", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"},
    )
    kept = Kept()
    LogListener("taskhub-api", "api-1", kept, "info")(last(noisy))

    line = msgspec.json.decode(kept.lines[0])
    assert (line["Method"], line["Route"], line["Status"]) == ("POST", "/tasks", 201)
    assert (line["Address"], line["Subject"]) == ("127.0.0.1", "alice")
    assert (line["RequestId"], line["TraceId"]) == ("r-1", TRACE)
    assert line["Bytes"] == len(reply.body)
    assert line["DurationMs"] > 0
    assert line["@l"] == "Information"


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/tasks/secret-in-the-path", "/tasks/{id}", 404),
        ("GET", "/secret-in-the-path", "", 404),
        ("DELETE", "/tasks?secret-in-the-path", "", 405),
        ("GET", "/tasks?q=secret-in-the-path", "/tasks", 200),
        ("OPTIONS", "/tasks", "", 200),
    ],
)
async def test_what_stood_in_the_path_is_never_written(
    noisy: House, method: str, path: str, route: str, status: int
) -> None:
    """Templates only: paths hold what clients like to hide in them, tokens too."""
    asked = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    await noisy.ask(method, path, headers=asked)

    told = last(noisy)
    assert (told.method, told.route, told.status) == (method, route, status)
    assert told.is_access
    assert told.address == "127.0.0.1"
    assert "secret" not in repr(told)


async def test_what_is_no_request_has_its_line_too(noisy: House) -> None:
    """Scanners are what an operator looks for."""
    await noisy.raw(b"nonsense\r\n\r\n")

    told = last(noisy)
    assert (told.method, told.route, told.status, told.address) == ("", "", 400, "127.0.0.1")


async def test_it_is_switched_on_and_off_while_it_runs(house: House) -> None:
    """A reload replaces the configuration, nothing else."""
    for access_log in (True, False):
        house.config = tuned(house.config, access_log=access_log)
        await house.ask("GET", "/health")
        assert last(house).is_access is access_log
