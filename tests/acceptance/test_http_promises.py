"""The API's promises on a whole installation: keys, waiting, crashes, a locked database."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import aiohttp

from tests.acceptance.installation import Installation, token

KEY = {"Idempotency-Key": "one-of-a-kind"}


async def exact(hub: Installation, body: Any, **headers: str) -> tuple[int, bytes, str]:
    """A new task: status, the body's very bytes, and whether it is a replay."""
    fields = {"Authorization": f"Bearer {token()}", **headers}
    async with aiohttp.request("POST", f"{hub.url}/tasks", json=body, headers=fields) as answer:
        replayed = answer.headers.get("Idempotency-Replayed", "")
        return answer.status, await answer.read(), replayed


async def test_a_key_outlives_the_process_that_took_it(hub: Installation) -> None:
    """The client heard nothing and asks again: another process gives the very same answer."""
    await hub.start()
    status, body, _ = await exact(hub, {"title": "x"}, **KEY)
    assert status == 201

    await hub.kill("tree/api-1")
    again = await hub.until(lambda: exact(hub, {"title": "x"}, **KEY))

    assert again == (201, body, "true")


async def test_one_request_takes_a_task_from_wish_to_result(hub: Installation) -> None:
    """`Prefer: wait` hears the bell of the worker's process through the event server."""
    await hub.start()

    status, task = await hub.request(
        "POST", "/tasks", {"title": "x", "payload": {"seconds": 0.1}}, Prefer="wait=50"
    )

    assert (status, task["status"]) == (201, "Done")


async def test_whoever_dies_no_accepted_task_is_lost(hub: Installation) -> None:
    """Four clients post while the API is killed again and again; each 201 is there afterwards."""
    await hub.start()
    stop = asyncio.Event()
    clients = [asyncio.create_task(_post_until(hub, stop)) for _ in range(4)]

    for _ in range(4):
        await hub.until(lambda: _is_up(hub))
        await hub.kill("tree/api-1")
    await hub.until(lambda: _is_up(hub))
    stop.set()
    accepted = [id_ for ids in await asyncio.gather(*clients) for id_ in ids]

    assert accepted
    assert {task["status"] for task in await hub.all_ended(accepted)} == {"Done"}


async def _is_up(hub: Installation) -> bool:
    status, _ = await hub.request("GET", "/health")
    return status == 200


async def _post_until(hub: Installation, stop: asyncio.Event) -> list[str]:
    """Post on, whatever breaks; the ids of what was accepted."""
    accepted: list[str] = []
    while not stop.is_set():
        try:
            accepted.append((await hub.post(payload={"seconds": 0}))["id"])
        except (aiohttp.ClientError, OSError):
            await asyncio.wait([asyncio.ensure_future(stop.wait())], timeout=0.02)
    return accepted


async def test_a_locked_database_is_told_and_heals(hub: Installation) -> None:
    """Another program holds the file: 503 with the time to come back, `/ready` red, then 201."""
    hub.configure("[store]\nlock_timeout = 0.3\n")
    await hub.start()
    path = next(hub.folder.rglob("*.db"))
    thief = sqlite3.connect(path, isolation_level=None)
    thief.execute("BEGIN IMMEDIATE")

    status, problem = await hub.request("POST", "/tasks", {"title": "x"})
    ready = await hub.until(lambda: _ready(hub, 503))
    health = await hub.request("GET", "/health")
    thief.execute("ROLLBACK")
    thief.close()

    assert (status, problem["type"]) == (503, "urn:taskhub:problem:store-locked")
    assert {part["name"]: part["state"] for part in ready["parts"]}["store"] == "failed"
    assert health == (200, "ok")
    assert (await hub.post())["status"] == "Pending"
    await hub.until(lambda: _ready(hub, 200))


async def _ready(hub: Installation, wanted: int) -> Any:
    """The parts, once `/ready` answers with this status."""
    status, told = await hub.request("GET", "/ready")
    return told if status == wanted else None
