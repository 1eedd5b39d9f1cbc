"""Who follows events sees each of them once and in order, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from itertools import groupby
from operator import itemgetter
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.acceptance.installation import Installation, Task, token
from tests.waiting import until

CROWD = 1_000
VICTIMS = ("tree/api-1", "tree/worker-1", "tree/events-server")

Row = tuple[int, str, str]
"""Seq, type, task."""


class Follower:
    """A client of the API: it connects again after each cut, with the last id that it has."""

    def __init__(self, hub: Installation) -> None:
        self._hub, self._last = hub, "0"
        self.seen: list[Row] = []
        self.connections = 0

    async def run(self) -> None:
        """Until it is cancelled."""
        async with aiohttp.ClientSession() as http:
            while True:
                with suppress(aiohttp.ClientError):
                    await self._listen(http)

    async def _listen(self, http: aiohttp.ClientSession) -> None:
        headers = {"Authorization": f"Bearer {token()}", "Last-Event-ID": self._last}
        async with http.get(f"{self._hub.url}/events", headers=headers) as answer:
            self.connections += answer.status == 200
            while answer.status == 200 and (line := (await answer.content.readline()).decode()):
                name, _, value = line.strip().partition(": ")
                if name == "id":
                    self._last = value
                if name == "data":
                    self._keep(json.loads(value))

    def _keep(self, data: Task) -> None:
        assert str(data["seq"]) == self._last
        self.seen.append((data["seq"], data["type"], data["id"]))


@asynccontextmanager
async def following(hub: Installation) -> AsyncIterator[Follower]:
    """A follower, while the block runs."""
    follower = Follower(hub)
    task = asyncio.create_task(follower.run())
    try:
        yield follower
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def command(hub: Installation) -> AsyncIterator[list[Row]]:
    """`taskhub events` beside it, and what it has printed by now."""
    seen: list[Row] = []
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "taskhub", "events", "--json", "--after", "0"),
        env={**os.environ, "TASKHUB_URL": hub.url, "TASKHUB_TOKEN": token()},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    reading = asyncio.create_task(_read(process.stdout, seen))
    try:
        yield seen
    finally:
        process.terminate()
        await process.wait()
        await reading


async def _read(out: asyncio.StreamReader, seen: list[Row]) -> None:
    while text := await out.readline():
        data = json.loads(text)
        seen.append((data["seq"], data["type"], data["id"]))


def happened(hub: Installation) -> list[Row]:
    """What the table says."""
    with closing(sqlite3.connect(hub.folder / "data/taskhub.db")) as connection:
        return connection.execute("SELECT Seq, Type, TaskId FROM Events ORDER BY Seq").fetchall()


async def _posted(hub: Installation) -> Task | None:
    try:
        return await hub.post(payload={"seconds": 0.05})
    except AssertionError:
        return None  # nobody can take it at this moment


async def test_a_follower_sees_every_event_once_and_in_order_through_kills(
    hub: Installation,
) -> None:
    """The API, a worker and the event server are killed under it; the table is what is true."""
    await hub.start()
    async with following(hub) as follower, command(hub) as printed:
        ids = [(await hub.post(payload={"seconds": 0.05}))["id"] for _ in range(10)]
        for victim in VICTIMS:
            await hub.kill(victim)
            ids += [(await hub.until(lambda: _posted(hub)))["id"] for _ in range(10)]
        await hub.all_ended(ids)
        truth = happened(hub)
        await until(lambda: len(follower.seen) >= len(truth) <= len(printed), 30)

    assert follower.seen == truth
    assert printed == truth
    assert follower.connections > 1
    assert {task for _, _, task in truth} == set(ids)
    by_task = sorted(truth, key=itemgetter(2, 0))
    for _, rows in groupby(by_task, key=itemgetter(2)):
        types = [kind for _, kind, _ in rows]
        assert (types[0], types[-1], types.count("TaskDone")) == ("TaskCreated", "TaskDone", 1)


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as this machine allows, for us and for what we start."""
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < 2 * CROWD:
        pytest.skip(f"this machine allows {hard} open files, a crowd needs {2 * CROWD}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * CROWD), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("many_files")
async def test_a_thousand_listeners_of_one_process_each_hear_of_every_end_once(
    hub: Installation,
) -> None:
    """Nobody is refused, nobody is dropped, and nobody hears anything twice."""
    await hub.start()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        ears = [await _ear(hub, stack) for _ in range(CROWD)]
        ids = [(await hub.post(payload={"seconds": 0}))["id"] for _ in range(3)]
        heard = [group.create_task(_ends(ear, len(ids))) for ear in ears]
    assert {tuple(sorted(task.result())) for task in heard} == {tuple(sorted(ids))}


async def _ear(hub: Installation, stack: AsyncExitStack) -> asyncio.StreamReader:
    """A bare connection that follows the ends of tasks."""
    where = urlsplit(hub.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    stack.callback(writer.close)
    request = "GET /events?event=TaskDone HTTP/1.1\r\nHost: crowd\r\nAuthorization: Bearer "
    writer.write(f"{request}{token()}\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    return reader


async def _ends(ear: asyncio.StreamReader, count: int) -> list[str]:
    """The tasks of the first events that come."""
    found: list[str] = []
    while len(found) < count:
        line = (await ear.readline()).decode()
        assert line, "the stream has ended"
        if line.startswith("data: "):
            found.append(json.loads(line.removeprefix("data: "))["id"])
    return found
