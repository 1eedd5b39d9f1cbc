"""Restarts one role after the other under load, as a deploy does, and counts what it has cost.

`python -m tests.acceptance.rolling 50` restarts each role 50 times and prints the figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import tempfile
import time
import uuid
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from tests.acceptance.installation import Installation, installed, separate, token
from tests.valkey import ValkeyServer
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

CLIENTS, EVERY = 4, 0.03
"""So many clients post, each again so many seconds after its answer."""
SECONDS = (*(0.0, 0.01, 0.1) * 3, 1.2)
"""What their tasks take: some are longer than the grace time, which is 1 s here."""
BETWEEN = 20
"""Answers between two restarts of a role: each meets a system at work."""

DEEDS = """
import asyncio, os
from taskhub import Job, handler

ENDS = os.open("{ends}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

@handler("note", attempts=1)
async def note(job: Job, seconds: float) -> None:
    await asyncio.sleep(seconds)
    os.write(ENDS, f"{{job.task.id}}\\n".encode())
"""


class Figures(msgspec.Struct):
    """What the restarts have cost; all but the first three should be 0."""

    restarts: int = 0
    accepted: int = 0
    put_off: int = 0
    """Answers 503: an API that stops takes nothing new; the client asked again."""
    refused: int = 0
    """Connections that nobody took."""
    cut_off: int = 0
    """Connections that ended before their answer."""
    lost: int = 0
    """Accepted tasks that are not done in the end."""
    doubled: int = 0
    """Tasks whose handler came to its end twice."""
    attempts: int = 0
    """Tasks that were charged a second attempt."""


class Clients:
    """They post without a pause; what was put off is asked for again, under its key."""

    def __init__(self, port: int, figures: Figures) -> None:
        self._url, self.figures = f"http://127.0.0.1:{port}/tasks", figures
        self.ids: list[str] = []
        self._ends = asyncio.Event()

    async def more(self) -> None:
        """Return after so many further answers."""
        wanted = len(self.ids) + BETWEEN
        await until(lambda: len(self.ids) >= wanted, 60.0)

    @asynccontextmanager
    async def posting(self) -> AsyncIterator[None]:
        """All of them at work; each finishes the task that it has begun."""
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._run(http))
            try:
                yield
            finally:
                self._ends.set()

    async def _run(self, http: aiohttp.ClientSession) -> None:
        while not self._ends.is_set():
            seconds = SECONDS[len(self.ids) % len(SECONDS)]
            await self._insist(
                http, {"title": "x", "type": "note", "payload": {"seconds": seconds}}
            )
            await _pause(EVERY)

    async def _insist(self, http: aiohttp.ClientSession, task: dict[str, Any]) -> None:
        fields = {"Authorization": f"Bearer {token()}", "Idempotency-Key": uuid.uuid4().hex}
        while True:
            try:
                async with http.post(self._url, json=task, headers=fields) as answer:
                    body = json.loads(await answer.text())
            except aiohttp.ClientConnectorError:
                self.figures.refused += 1
            except aiohttp.ClientError:
                self.figures.cut_off += 1
            else:
                if answer.status == 201:
                    self.figures.accepted += 1
                    self.ids.append(body["id"])
                    return
                assert answer.status == 503, body
                self.figures.put_off += 1
            await _pause(0.05)


async def _pause(seconds: float) -> None:
    passed = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(seconds, passed.set_result, None)
    await passed


async def roll(hub: Installation, times: int) -> Figures:
    """Restart api, worker and scheduler so many times each while clients post; the figures."""
    figures, ends = Figures(), hub.folder / "ends"
    with socket.create_server(("127.0.0.1", hub.port), backlog=1_024) as listener:
        async with ValkeyServer(hub.folder) as server:
            work = f"{hub.handlers(DEEDS.format(ends=ends))}\nconcurrency = 64"
            hub.configure(separate(hub.folder, server.url, work))
            hub.config.write_text(hub.config.read_text().replace("grace = 15", "grace = 1"))
            hub.adopts = listener.fileno()
            roles = {"api": hub, "worker": hub.another(), "scheduler": hub.another()}
            await hub.start("api")
            await asyncio.gather(*(roles[role].start(role) for role in ("worker", "scheduler")))
            await hub.until(lambda: _is_known(hub))
            clients = Clients(hub.port, figures)
            async with clients.posting(), asyncio.TaskGroup() as group:
                for role, each in roles.items():
                    group.create_task(_restarts(role, each, times, clients))
            await _settle(hub, clients.ids, ends, figures)
            await asyncio.gather(*(each.stop() for each in roles.values()))
    return figures


async def _is_known(hub: Installation) -> bool:
    """Whether the API takes the type: it looks for new names four times a second at most."""
    _, types = await hub.request("GET", "/types")
    return "note" in {item["name"] for item in types["items"]}


async def _restarts(role: str, each: Installation, times: int, clients: Clients) -> None:
    for _ in range(times):
        await clients.more()
        assert await each.stop() == 0, each.output()
        await each.start(role)
        clients.figures.restarts += 1


def batched(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """So many at a time as one may well wait for."""
    return (ids[start : start + 100] for start in range(0, len(ids), 100))


async def _settle(hub: Installation, ids: Sequence[str], ends: Path, figures: Figures) -> None:
    """Wait for the end of everything that was accepted, and compare."""
    tasks = [task for some in batched(ids) for task in await hub.all_ended(some)]
    noted = Counter(ends.read_text().split())
    figures.lost = sum(task["status"] != "Done" or not noted[task["id"]] for task in tasks)
    figures.doubled = sum(count - 1 for count in noted.values())
    figures.attempts = sum(task["attempts"] != 1 for task in tasks)


async def _main(times: int) -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        async with installed(Path(folder)) as hub:
            figures = await roll(hub, times)
    sys.stdout.write(
        f"{msgspec.json.encode(figures).decode()} in {time.monotonic() - began:.0f} s\n"
    )


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[2])
    asyncio.run(_main(int(sys.argv[1])))
