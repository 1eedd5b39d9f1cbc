"""A server that says what a test wants, and a client of it that does not wait long."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from taskhub.client import Retries, TaskHub

from tests.unit.client.server import Server, running

QUICK = Retries(attempts=5, first=0.001, longest=0.01)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this machine needs for its own way out is nobody's matter here."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """On a port of its own."""
    async with running() as told:
        yield told


@pytest.fixture
async def hub(server: Server) -> AsyncIterator[TaskHub]:
    """With a token, and short pauses."""
    async with TaskHub(server.url, "a.b.c", retries=QUICK) as client:
        yield client
