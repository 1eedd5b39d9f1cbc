"""What the doctor says of the event server: real ones, with passwords and limits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from taskhub.cli.doctor import events as doctor
from taskhub.cli.doctor.finding import FAIL, OK, WARN, Finding
from taskhub.config.sections import Config, EventsSection, RedisSection, Secret

from tests.valkey import ValkeyServer

PASSWORD = "a password, and a canary"


def config(url: str, password: str = "") -> Config:
    """A configuration that names this server."""
    return Config(events=EventsSection(url=url), redis=RedisSection(password=Secret(password)))


async def found(config: Config, folder: Path) -> dict[str, Finding]:
    """The findings by their names; the doctor has a loop of its own, so it gets a thread."""
    findings = await asyncio.to_thread(lambda: list(doctor.look(config, folder)))
    return {finding.name: finding for finding in findings}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the embedded server would stand."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def test_a_server_that_answers(folder: Path) -> None:
    """With its version, and that it throws nothing away."""
    async with ValkeyServer(folder) as valkey:
        findings = await found(config(valkey.url), folder)

    assert {name: finding.state for name, finding in findings.items()} == {
        "event server": OK, "its memory": OK, "its clients": OK,
    }  # fmt: skip
    assert "valkey" in findings["event server"].detail


@pytest.mark.parametrize(("password", "state"), [("", FAIL), ("another", FAIL), (PASSWORD, OK)])
async def test_the_password_is_tried_and_never_said(
    folder: Path, password: str, state: str
) -> None:
    """A wrong one looks like an outage to most clients."""
    async with ValkeyServer(folder, "--requirepass", PASSWORD) as valkey:
        findings = await found(config(valkey.url, password), folder)

    assert findings["event server"].state == state
    assert PASSWORD not in repr(findings)
    assert ("redis.password" in findings["event server"].fix) == (state == FAIL)


async def test_a_server_that_throws_things_away_is_doubtful(folder: Path) -> None:
    """Counts of rate limits would vanish, and limits with them."""
    settings = ("--maxmemory", "20mb", "--maxmemory-policy", "allkeys-lru")
    async with ValkeyServer(folder, *settings) as valkey:
        finding = (await found(config(valkey.url), folder))["its memory"]

    assert finding.state == WARN
    assert "noeviction" in finding.fix


async def test_a_server_that_is_nearly_full_is_doubtful(folder: Path) -> None:
    """At its limits it takes no hints, and no process of ours."""
    async with ValkeyServer(folder, "--maxmemory", "100kb", "--maxclients", "1") as valkey:
        findings = await found(config(valkey.url), folder)

    assert (findings["its memory"].state, findings["its clients"].state) == (WARN, WARN)
    assert "maxclients" in findings["its clients"].fix


@pytest.mark.parametrize(
    ("told", "took", "state"),
    [
        ({"redis_version": "6.0.16"}, 0.001, WARN),
        ({"redis_version": "7.4.1"}, 0.001, OK),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.0"}, 0.2, WARN),
        ({}, 0.001, OK),
    ],
)
def test_an_old_or_slow_server_is_doubtful(told: dict[str, str], took: float, state: str) -> None:
    """What streams need; what each bell costs."""
    assert doctor._version(told, took).state == state


async def test_a_server_that_is_away(folder: Path) -> None:
    """Tasks run all the same, and later: the advice says so."""
    finding = (await found(config("unix:///nobody.sock"), folder))["event server"]

    assert finding.state == FAIL
    assert finding.detail.startswith("the event server does not answer")


@pytest.mark.parametrize("url", ["embedded", "local"])
async def test_what_starts_with_taskhub_needs_not_to_run(folder: Path, url: str) -> None:
    """The doctor is also asked before the first start."""
    assert (await found(config(url), folder))["event server"].state == OK
