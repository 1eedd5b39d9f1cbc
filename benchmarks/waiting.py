"""How long after the end of a task `?wait=` and `Prefer: wait=` are answered, over a whole TaskHub.

Usage: python -m benchmarks.waiting [TASKS] [OTHERS]

One task after the other: first alone, then while so many others wait for tasks of their own.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks import machine
from benchmarks.installation import TaskHub, token

LATER = 3_600.0  # seconds: tasks that are waited for and do not end


async def waited(client: aiohttp.ClientSession, *, prefer: bool) -> float:
    """Milliseconds from the end of a task, as the store tells it, to the whole answer."""
    body = {"title": "wait for it", "type": "simulate", "payload": {"seconds": 0.05}}
    headers = {"Prefer": "wait=30"} if prefer else {}
    async with client.post("/tasks", json=body, headers=headers) as answer:
        task: dict[str, Any] = await answer.json()
    if not prefer:
        async with client.get(f"/tasks/{task['id']}?wait=30") as answer:
            task = await answer.json()
    now = time.time()
    assert task["status"] == "Done", task
    return (now - datetime.fromisoformat(task["finishedAt"]).timestamp()) * 1_000


async def crowd(client: aiohttp.ClientSession, count: int) -> list[asyncio.Task[None]]:
    """So many who wait meanwhile."""

    async def one() -> None:
        body = {"title": "not yet", "delaySeconds": LATER}
        async with client.post("/tasks", json=body) as answer:
            task = await answer.json()
        with suppress(asyncio.CancelledError):
            while True:
                await (await client.get(f"/tasks/{task['id']}?wait=60")).release()

    tasks = [asyncio.create_task(one()) for _ in range(count)]
    await asyncio.sleep(2.0)
    return tasks


def said(name: str, found: list[float]) -> None:
    """A line of the table."""
    p50, p99 = (machine.quantile(found, share) for share in (0.5, 0.99))
    print(f"{name:32} {p50:8.1f} {p99:8.1f} {max(found):8.1f}")


async def measure(hub: TaskHub, tasks: int, others: int) -> None:
    """All ways of waiting, alone and in company."""
    headers = {"Authorization": f"Bearer {token()}"}
    base = f"http://127.0.0.1:{hub.port}"
    unlimited = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(base, headers=headers, connector=unlimited) as client:
        for _ in range(20):
            await waited(client, prefer=False)
        print(f"{'ms after the end':32} {'p50':>8} {'p99':>8} {'most':>8}")
        for prefer, name in ((False, "?wait="), (True, "Prefer: wait=")):
            said(name, [await waited(client, prefer=prefer) for _ in range(tasks)])
        company = await crowd(client, others)
        found = [await waited(client, prefer=False) for _ in range(tasks)]
        said(f"?wait= beside {others} others", found)
        for one in company:
            one.cancel()
        await asyncio.gather(*company)


def main() -> None:
    """Measure and print."""
    tasks, others = (*map(int, sys.argv[1:]), *(500, 500)[len(sys.argv) - 1 :])
    with tempfile.TemporaryDirectory() as folder, TaskHub(Path(folder)) as hub:
        asyncio.run(measure(hub, tasks, others))


if __name__ == "__main__":
    main()
