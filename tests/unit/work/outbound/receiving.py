"""A real receiver for tests, a place to call from, and names that stand for what a test says."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from ssl import SSLContext
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from taskhub.config.sections import Config, OutboundSection, Secret
from taskhub.obs.telemetry import Telemetry
from taskhub.ports import Finish
from taskhub.work.outbound.calls import Calls
from taskhub.work.outbound.http_task import http_handler
from taskhub.work.outbound.sending import Request, Sender

from tests.unit.work.making import attempt, running

HERE = ("127.0.0.0/8",)
Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Receiver:
    """Keeps what comes; what it answers is the test's."""

    def __init__(self, answering: Answering | None = None) -> None:
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self._answering = answering
        self._server = TestServer(web.Application())
        self._server.app.router.add_route("*", "/{tail:.*}", self._receive)

    @property
    def url(self) -> str:
        return f"{self._server.scheme}://127.0.0.1:{self._server.port}"

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        return await self._answering(request) if self._answering else web.Response(text="thanks")

    @asynccontextmanager
    async def up(self, context: SSLContext | None = None) -> AsyncIterator[Receiver]:
        """Listen as long as the block lasts, over TLS if there is a context."""
        await self._server.start_server(ssl=context)
        try:
            yield self
        finally:
            await self._server.close()


@asynccontextmanager
async def sender(*allowed: str) -> AsyncIterator[Sender]:
    """Something to send with."""
    made = Sender(lambda: allowed)
    try:
        yield made
    finally:
        await made.close()


def request(url: str, **more: Any) -> Request:
    """A POST of a few bytes."""
    given: dict[str, Any] = {"method": "POST", "headers": {}, "own": {}, "body": b"x"}
    return Request(**{**given, "url": url, "timeout": 5.0, **more})


class Place:
    """Runs `http` tasks under a configuration that a test may change."""

    def __init__(self, calls: Calls | None = None, *allowed: str, secret: str = "") -> None:
        self.said: list[Telemetry] = []
        outbound = OutboundSection(allow=allowed, secret=Secret(secret))
        self.config = msgspec.structs.replace(Config(), outbound=outbound)
        self.calls = calls or Calls(lambda: self.config, self.said.append)

    async def run(self, payload: Any, **more: Any) -> Finish:
        with running(http_handler(self.calls)) as runner:
            ended = await runner.run(attempt("http", payload, **more))
        assert isinstance(ended, Finish)
        return ended


@asynccontextmanager
async def place(*allowed: str, secret: str = "") -> AsyncIterator[Place]:
    """A place that is closed in the end."""
    made = Place(None, *allowed, secret=secret)
    try:
        yield made
    finally:
        await made.calls.close()


@contextmanager
def names(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> Iterator[list[str]]:
    """Every name stands for these addresses: the first answer, then the second ...; those asked."""
    asked: list[str] = []

    def look_up(host: str, port: int, *_: Any) -> list[Any]:
        found = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        return [
            (socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port))
            for a in found
        ]

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", look_up)
        yield asked
