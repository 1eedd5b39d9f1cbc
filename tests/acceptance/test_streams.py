"""New work through a Redis stream: a whole installation, an operator's server, real kills."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.acceptance.installation import Installation
from tests.valkey import ValkeyServer

STREAM = "{taskhub:events}:work"
QUICK = {"title": "x", "payload": {"seconds": 0}}


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[ValkeyServer]:
    """The operator's event server."""
    async with ValkeyServer(tmp_path, "--hz", "10") as valkey:
        yield valkey


def streams(valkey: ValkeyServer) -> str:
    """The section that names it."""
    return f'[events]\nurl = "{valkey.url.replace("unix", "unix+streams")}"\n'


@asynccontextmanager
async def looking(valkey: ValkeyServer) -> AsyncIterator[Redis]:
    """Somebody who looks at the stream."""
    async with Redis(unix_socket_path=str(valkey.socket)) as client:
        yield client


async def is_empty(client: Redis) -> bool:
    """Whether nothing is in flight."""
    return await client.xlen(STREAM) == 0


async def metric(hub: Installation, name: str) -> float:
    """The value of one series."""
    _, text = await hub.request("GET", "/metrics")
    (value,) = [line.rpartition(" ")[2] for line in str(text).splitlines() if name in line]
    return float(value)


async def test_two_workers_share_the_work_and_a_killed_one_leaves_no_hint(
    hub: Installation, valkey: ValkeyServer
) -> None:
    """The stream is as long as what is in flight, also where a worker dies or the server is new."""
    units = '[units]\ntree = ["store", "publisher", "heartbeat", "unit:worker*2", "unit:api"]\n'
    hub.configure(streams(valkey) + units)
    await hub.start()
    async with looking(valkey) as client:
        tasks = [await hub.post(payload={"seconds": 0.05}) for _ in range(30)]
        await hub.kill("tree/worker-1")
        tasks += [await hub.post(payload={"seconds": 0}) for _ in range(30)]
        ended = await hub.all_ended(task["id"] for task in tasks)
        await hub.until(lambda: is_empty(client))
        await hub.until(lambda: _joined(client, 3))  # the killed one, its successor, the other
    await valkey.kill()
    tasks = [await hub.post(payload={"seconds": 0}) for _ in range(10)]
    await valkey.start()
    tasks += [await hub.post(payload={"seconds": 0}) for _ in range(10)]
    ended += await hub.all_ended(task["id"] for task in tasks)
    async with looking(valkey) as client:
        await hub.until(lambda: _joined(client, 2))
        ended.append(await hub.ended((await hub.post(payload={"seconds": 0}))["id"]))
        await hub.until(lambda: is_empty(client))

    assert {task["status"] for task in ended} == {"Done"}
    assert [line["ActorId"] for line in hub.told("ActorRestarting")] == ["tree/worker-1"]


async def _joined(client: Redis, count: int) -> bool:
    """Whether so many workers take hints."""
    if not await client.exists(STREAM):
        return False
    return len(await client.xinfo_consumers(STREAM, "taskhub")) >= count


async def test_more_work_than_the_workers_keep_up_with_is_refused(
    hub: Installation, valkey: ValkeyServer
) -> None:
    """What was taken in stays; when the workers have caught up new tasks are taken in again."""
    limits = "[work]\nconcurrency = 1\n[limits]\nbacklog = 4\n"
    hub.configure(streams(valkey) + limits)
    await hub.start()
    async with looking(valkey) as client:
        first = await hub.post(payload={"seconds": 3_600})
        await hub.started(first["id"])
        waiting: list[str] = []

        async def refused() -> tuple[int, dict[str, str]] | None:
            status, body = await hub.request("POST", "/tasks", QUICK)
            if status == 201:
                waiting.append(body["id"])
            return None if status == 201 else (status, body)

        status, body = await hub.until(refused)
        lag = await metric(hub, 'taskhub_work_hints{state="waiting"')
        await hub.request("POST", f"/tasks/{first['id']}/cancel")
        ended = await hub.all_ended(waiting)
        await hub.until(lambda: is_empty(client))
        await hub.until(lambda: _taken_in(hub))

    assert (status, body["type"]) == (503, "urn:taskhub:problem:backlog")
    assert lag >= 4
    assert {task["status"] for task in ended} == {"Done"}


async def _taken_in(hub: Installation) -> bool:
    """Whether a new task is."""
    status, _ = await hub.request("POST", "/tasks", QUICK)
    return status == 201
