"""The buses under test: a new backend adds its name to `buses`, and the suite is its."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from taskhub.bus import EventBus
from taskhub.events.local import LocalBus
from taskhub.events.redis_line import Patience
from taskhub.events.redis_pubsub import RedisBus
from taskhub.model import Event, EventType, TaskId

from tests.valkey import ValkeyServer

SHORT = Patience(connect=0.5, command=0.5, quiet=0.1, echo=0.3)
"""Limits of tests that freeze the server: what is noticed late is noticed all the same."""

CREATED = Event(
    EventType.CREATED,
    TaskId("0199b3c4-0000-7000-8000-000000000001"),
    "Resize images",
    datetime(2025, 9, 28, 22, 17, 17, tzinfo=UTC),
)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ValkeyServer]:
    """A running server without a password."""
    async with ValkeyServer(tmp_path) as server:
        yield server


@pytest.fixture(params=["local", "redis"])
def make_bus(request: pytest.FixtureRequest) -> Callable[[], EventBus]:
    """Makes one process's bus; all that one test makes are connected."""
    if request.param == "local":
        bus = LocalBus()  # its processes are one
        return lambda: bus
    server: ValkeyServer = request.getfixturevalue("server")
    return lambda: RedisBus(server.url)


@pytest.fixture
async def publishing(make_bus: Callable[[], EventBus]) -> AsyncIterator[EventBus]:
    """The bus of a process that publishes."""
    bus = make_bus()
    await bus.open()
    yield bus
    await bus.close()


@pytest.fixture
async def listening(make_bus: Callable[[], EventBus]) -> AsyncIterator[EventBus]:
    """The bus of a process that listens."""
    bus = make_bus()
    await bus.open()
    yield bus
    await bus.close()


@pytest.fixture
async def redis_bus(server: ValkeyServer) -> AsyncIterator[RedisBus]:
    """A bus that loses patience soon."""
    bus = RedisBus(server.url, patience=SHORT)
    await bus.open()
    yield bus
    await bus.close()
