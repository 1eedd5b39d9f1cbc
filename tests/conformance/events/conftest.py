"""The buses under test: a new backend adds its name to `buses`, and the suite is its."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pytest
from taskhub.bus import EventBus
from taskhub.config.sections import Secret
from taskhub.events.local import LocalBus
from taskhub.events.redis_line import Patience
from taskhub.events.redis_pubsub import RedisBus
from taskhub.model import Event, EventType, TaskId

from tests.servicebus.server import ServiceBusPeer
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


SUBSCRIPTIONS = {"one": {}, "two": {}, "three": {}, "work": {"subjects": ["work"], "lock": 5.0}}


@pytest.fixture(scope="package")
def namespace() -> Iterator[ServiceBusPeer | None]:
    """The tests' peer of Service Bus, a process that tests share; None: it cannot be had here.

    Who wants it asks before the first test, so that it is not taken for what one left behind.
    """
    if not all(map(find_spec, ("proton", "azure"))):
        yield None
        return
    with ServiceBusPeer(SUBSCRIPTIONS) as peer:
        yield peer


@pytest.fixture
def peer(namespace: ServiceBusPeer | None) -> ServiceBusPeer:
    """The same, running and empty."""
    if namespace is None:
        pytest.skip("no python-qpid-proton: scripts/setup builds it where gcc is")
    namespace.tell(empty=True, refuses="")
    return namespace


@pytest.fixture
def mortal(namespace: ServiceBusPeer | None) -> Iterator[ServiceBusPeer]:
    """One that a test may kill."""
    if namespace is None:
        pytest.skip("no python-qpid-proton: scripts/setup builds it where gcc is")
    with ServiceBusPeer(SUBSCRIPTIONS) as peer:
        yield peer


@pytest.fixture
def make_service_bus(peer: ServiceBusPeer) -> Callable[[], EventBus]:
    """Makes buses of processes; each has a subscription of its own."""
    from taskhub.events.servicebus import ServiceBus
    from taskhub.events.servicebus_line import Address
    from taskhub.events.servicebus_line import Patience as Waits

    key = Secret(peer.connection_string)
    address = Address.parse(peer.url, key, "taskhub-test")
    names = iter(("one", "two", "three"))
    return lambda: ServiceBus(address, "taskhub:events", next(names), Waits(pace=0.0))


@pytest.fixture(params=["local", "redis", "servicebus"])
def make_bus(request: pytest.FixtureRequest) -> Callable[[], EventBus]:
    """Makes one process's bus; all that one test makes are connected."""
    if request.param == "local":
        bus = LocalBus()  # its processes are one
        return lambda: bus
    if request.param == "servicebus":
        return request.getfixturevalue("make_service_bus")
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
