"""A whole installation on a topic of Service Bus (the tests' AMQP peer): killed, and back again."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from tests.acceptance.installation import Installation
from tests.servicebus.server import ServiceBusPeer

SUBSCRIPTIONS = {
    "api-1": {"subjects": ["bell"]},
    "worker-1": {"subjects": ["bell"]},
    "work": {"subjects": ["work"]},
}
QUICK = {"seconds": 0}


@pytest.fixture
def namespace() -> Iterator[ServiceBusPeer]:
    """The namespace that somebody has made."""
    if not all(map(find_spec, ("proton", "azure"))):
        pytest.skip("no python-qpid-proton: scripts/setup builds it where gcc is")
    with ServiceBusPeer(SUBSCRIPTIONS) as peer:
        yield peer


async def says(hub: Installation, status: int, state: str) -> bool:
    """Whether /ready says this of the events."""
    code, ready = await hub.request("GET", "/ready")
    return (code, ready["parts"][1]["state"]) == (status, state)


async def test_tasks_end_while_the_service_goes_and_comes_back(
    hub: Installation, namespace: ServiceBusPeer
) -> None:
    """Each process finds it again by itself; the rows were the truth all the while."""
    hub.configure(f'[events]\nurl = "{namespace.url}"\n')
    signed = {"ServiceBus__ConnectionString": namespace.connection_string}
    await hub.start(environ=signed)
    await hub.until(lambda: says(hub, 200, "ok"))
    tasks = [await hub.post(payload=QUICK) for _ in range(5)]
    await hub.all_ended(task["id"] for task in tasks)
    await namespace.until("work", waiting=0, locked=0, dead=0)
    assert namespace.tell()["work"]["completed"] >= 5

    namespace.kill()
    tasks += [await hub.post(payload=QUICK) for _ in range(5)]
    await hub.all_ended(task["id"] for task in tasks)
    await hub.until(lambda: says(hub, 200, "degraded"))
    namespace.start()
    await hub.until(lambda: says(hub, 200, "ok"))
    tasks.append(await hub.post(payload=QUICK))
    ended = await hub.all_ended(task["id"] for task in tasks)
    await namespace.until("work", waiting=0, locked=0, dead=0)
    await hub.stop()

    assert {(task["status"], task["attempts"]) for task in ended} == {("Done", 1)}
    assert hub.told("ActorRestarting") == []
    assert "SharedAccessKey" not in "".join(map(str, hub.lines()))
