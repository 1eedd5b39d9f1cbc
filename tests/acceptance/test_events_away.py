"""The event server absent, refusing, dead, frozen, mute or lied to: tasks do not care."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from tests.acceptance.installation import Installation, Task, free_port
from tests.proxy import Proxy
from tests.valkey import ValkeyServer

EVENTS, BELL = "taskhub:events", "taskhub:events:bell"
CANARY = "canary-51c8-canary-51c8"


@asynccontextmanager
async def foreign(socket: Path) -> AsyncIterator[Redis]:
    """A program of somebody else's on the event server."""
    async with Redis(unix_socket_path=str(socket)) as client:
        yield client


@asynccontextmanager
async def listening(client: Redis) -> AsyncIterator[PubSub]:
    """It listens to the events."""
    async with client.pubsub(ignore_subscribe_messages=True) as ear:
        await ear.subscribe(EVENTS)
        yield ear


async def heard(ear: PubSub) -> list[bytes]:
    """What has arrived by now."""
    messages = []
    while message := await ear.get_message(timeout=0):
        messages.append(message["data"])
    return messages


async def is_ready(hub: Installation, status: int, events: str) -> bool:
    """Whether /ready says this of the events."""
    code, ready = await hub.request("GET", "/ready")
    return (code, ready["parts"][1]["state"]) == (status, events)


def outcomes(tasks: list[Task]) -> set[tuple[str, int]]:
    """How they ended, in how many attempts."""
    return {(task["status"], task["attempts"]) for task in tasks}


async def test_with_the_event_server_away_from_the_start_every_task_ends(
    hub: Installation,
) -> None:
    """Polls and sweeps do all that a bell would hurry: new, retried, delayed, cancelled."""
    hub.configure(f'[events]\nurl = "redis://127.0.0.1:{free_port()}/0"\n')
    await hub.start()

    plain = [await hub.post(payload={"seconds": 0}) for _ in range(20)]
    again = await hub.post(type="fail", payload={"times": 1})
    later = await hub.post(payload={"seconds": 0}, delaySeconds=1)
    long = await hub.post(payload={"seconds": 3_600})
    await hub.started(long["id"])
    assert (await hub.request("POST", f"/tasks/{long['id']}/cancel"))[0] == 202

    ended = await hub.all_ended(task["id"] for task in [*plain, later])
    assert outcomes(ended) == {("Done", 1)}
    assert outcomes([await hub.ended(again["id"])]) == {("Done", 2)}
    assert outcomes([await hub.ended(long["id"])]) == {("Cancelled", 1)}
    assert await is_ready(hub, 200, "degraded")
    assert hub.told("ActorRestarting") == []


async def test_a_wrong_password_is_said_loudly_and_stops_no_task(
    hub: Installation, tmp_path: Path
) -> None:
    """A mistake to mend, not a server that is away; the password itself is nowhere."""
    async with ValkeyServer(tmp_path, "--requirepass", "the right one") as valkey:
        hub.configure(f'[events]\nurl = "{valkey.url}"\n[redis]\npassword = "{CANARY}"\n')
        await hub.start()
        done = await hub.ended((await hub.post(payload={"seconds": 0}))["id"])
        await hub.until(lambda: is_ready(hub, 503, "failed"))
        _, ready = await hub.request("GET", "/ready")
        assert await hub.stop() == 0

    said = [line for line in hub.told("StateChanged") if line["State"] == "failed"]
    assert done["status"] == "Done"
    assert {line["unit"] for line in said} == {"tree", "api-1", "worker-1"}
    assert {line["@l"] for line in said} == {"Error"}
    assert all("[redis]" in line["@m"] for line in said)
    assert CANARY not in hub.output() + json.dumps(ready)


async def test_the_embedded_server_killed_and_frozen_while_tasks_flow(hub: Installation) -> None:
    """All end in one attempt each; then everybody listens again, and the bell is heard."""
    await hub.start()
    tasks: list[Task] = []
    for number in (signal.SIGKILL, signal.SIGSTOP):
        before = await hub.kill("tree/events-server", number)
        tasks += [await hub.post(payload={"seconds": 0}) for _ in range(20)]
        await hub.until(lambda before=before: _another(hub, before))
        tasks += [await hub.post(payload={"seconds": 0}) for _ in range(20)]

    ended = await hub.all_ended(task["id"] for task in tasks)
    await hub.until(lambda: is_ready(hub, 200, "ok"))
    async with foreign(hub.folder / "data/events.sock") as client, listening(client) as ear:
        await hub.until(lambda: _ears(client))
        one = await hub.post(payload={"seconds": 0})
        await hub.ended(one["id"])
        seen: list[bytes] = []
        await hub.until(lambda: _hears(ear, seen, 3))

    assert outcomes(ended) == {("Done", 1)}
    assert {json.loads(text)["id"] for text in seen} == {one["id"]}


async def _another(hub: Installation, before: int) -> bool:
    """Whether a new event server has taken the place of that process."""
    return await hub.pid("tree/events-server") not in {None, before}


async def _ears(client: Redis) -> bool:
    """Whether worker and API have both subscribed to the bell."""
    ((_, count),) = await client.pubsub_numsub(BELL)
    return count == 2


async def _hears(ear: PubSub, seen: list[bytes], count: int) -> bool:
    """Whether so many events have arrived, all together."""
    seen += await heard(ear)
    return len(seen) >= count


async def test_an_event_server_that_swallows_everything_holds_up_nobody(
    hub: Installation, tmp_path: Path
) -> None:
    """Connections stand, bytes vanish: posts are answered, tasks end, and nothing is heard."""
    async with ValkeyServer(tmp_path) as valkey, Proxy(valkey.socket) as proxy:
        hub.configure(f'[events]\nurl = "redis://127.0.0.1:{proxy.port}/0"\n')
        await hub.start()
        async with foreign(valkey.socket) as client, listening(client) as ear:
            await hub.until(lambda: _ears(client))
            proxy.black_hole()
            tasks = [await hub.post(payload={"seconds": 0}) for _ in range(50)]
            ended = await hub.all_ended(task["id"] for task in tasks)
            assert await heard(ear) == []
            await hub.until(lambda: is_ready(hub, 200, "degraded"))

            proxy.cut()  # what it has swallowed stays so
            proxy.heal()
            await hub.until(lambda: is_ready(hub, 200, "ok"))
            seen: list[bytes] = []
            late = await hub.post(payload={"seconds": 0})
            await hub.until(lambda: _hears(ear, seen, 3))
            await hub.close()

    assert outcomes(ended) == {("Done", 1)}
    assert {json.loads(text)["id"] for text in seen} == {late["id"]}


async def test_a_foreigner_hears_the_events_and_forging_them_changes_nothing(
    hub: Installation, tmp_path: Path
) -> None:
    """What goes out is exact to the byte; what comes in wakes somebody at most."""
    async with ValkeyServer(tmp_path) as valkey, foreign(valkey.socket) as client:
        hub.configure(f'[events]\nurl = "{valkey.url}"\n')
        await hub.start()
        await hub.until(lambda: _ears(client))
        seen: list[bytes] = []
        async with listening(client) as ear:
            done = await hub.ended((await hub.post("Zoë's “images”", payload={"seconds": 0}))["id"])
            await hub.until(lambda: _hears(ear, seen, 3))
        waiting = await hub.post(delaySeconds=3_600)
        running = await hub.started((await hub.post(payload={"seconds": 3_600}))["id"])
        before = [done, waiting, running]

        await _lie(client, seen, [task["id"] for task in before])
        after = [(await hub.request("GET", f"/tasks/{task['id']}"))[1] for task in before]
        last = await hub.ended((await hub.post(payload={"seconds": 0}))["id"])
        await hub.request("POST", f"/tasks/{running['id']}/cancel")
        await hub.close()

    created = min(json.loads(text)["at"] for text in seen)
    assert set(seen) == {
        _event("TaskCreated", done, created),
        _event("TaskStarted", done, done["startedAt"]),
        _event("TaskDone", done, done["finishedAt"]),
    }
    assert done["createdAt"] <= created <= done["startedAt"]
    assert after == before
    assert outcomes([last]) == {("Done", 1)}
    assert hub.told("ActorRestarting") == []


def _event(kind: str, task: Task, at: str) -> bytes:
    fields = {"type": kind, "id": task["id"], "title": task["title"], "at": at}
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


async def _lie(client: Redis, real: list[bytes], ids: list[str]) -> None:
    """Replays, forgeries, noise; each is delivered to both who listen for bells."""
    kinds = ("TaskCreated", "TaskStarted", "TaskDone", "TaskFailed", "TaskCancelled")
    forged = [json.dumps({"type": kind, "id": id_}).encode() for kind in kinds for id_ in ids]
    noise: list[Any] = [b"", b"\xff\x00", b"work ended cancel", b"x" * 500_000, b"cancel", b"{"]
    for text in [*real, *forged, *noise] * 3:
        await client.publish(EVENTS, text)
        assert await client.publish(BELL, text) == 2
