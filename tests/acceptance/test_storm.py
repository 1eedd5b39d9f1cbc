"""Any process may die at any moment: what was answered with 201 exists, ends, and counts once."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.installation import PATIENCE, Installation, separate
from tests.acceptance.processes import below, gone
from tests.valkey import ValkeyServer
from tests.waiting import until

KILLS = 12
BETWEEN = 60  # answers to get between two kills: so each is met by a system at work
CLIENTS = 4
VICTIMS = ("root", "tree/worker-1", "tree/api-1", "tree/events-server")

DAMAGES = (
    "DELETE FROM Tasks WHERE Title = 'client-0-1'",
    "UPDATE Tasks SET Status = 'Failed' WHERE Title = 'client-0-1'",
    "UPDATE Tasks SET Attempts = MaxAttempts + 1 WHERE Title = 'client-0-1'",
    "UPDATE Tasks SET Result = '{}' WHERE Title = 'client-0-1'",
    "INSERT INTO Events (At, Type, TaskId) SELECT 1, 'TaskDone', min(Id) FROM Tasks",
)
"""What the check of a database must not be blind to."""

DEEDS = """
import asyncio, os, random
from taskhub import Job, handler

STARTS = os.open("starts", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

@handler("mark", attempts=30)
async def mark(job: Job) -> dict[str, int]:
    os.write(STARTS, f"{job.task.id} {job.fence} {job.attempt}\\n".encode())
    await asyncio.sleep(random.uniform(0, 0.1))
    return {"attempt": job.attempt, "fence": job.fence}
"""


class Clients:
    """Post as fast as answers come; an answer that is lost is asked for again, under its key."""

    def __init__(self, hub: Installation) -> None:
        self.ids: dict[str, str] = {}
        """By title, which is the key too."""
        self.tries = 0
        self._hub, self._ends = hub, asyncio.Event()

    async def run(self, name: str) -> None:
        """One client."""
        number = 0
        while not self._ends.is_set():
            number += 1
            await self._insist(f"{name}-{number}")

    @asynccontextmanager
    async def posting(self) -> Any:
        """All of them at work; each finishes the task that it has begun."""
        async with asyncio.TaskGroup() as group:
            for name in range(CLIENTS):
                group.create_task(self.run(f"client-{name}"))
            try:
                yield
            finally:
                self._ends.set()

    async def more(self, count: int) -> None:
        """Return after so many further answers."""
        wanted = len(self.ids) + count
        await until(lambda: len(self.ids) >= wanted, PATIENCE, "no answers any more")

    async def _insist(self, title: str) -> None:
        async def post() -> str | None:
            self.tries += 1
            body = {"title": title, "type": "mark"}
            headers = {"Idempotency-Key": title}
            status, task = await self._hub.request("POST", "/tasks", body, **headers)
            assert status in {201, 422, 503}, (status, task)
            return task["id"] if status == 201 else None

        self.ids[title] = await self._hub.until(post)


async def test_a_storm_of_kills_loses_nothing_and_counts_everything_once(
    hub: Installation,
) -> None:
    """Root, worker, API and event server, in random order, under load."""
    chance = random.Random()
    hub.configure(f"[work]\n{hub.handlers(DEEDS)}\n")
    await hub.start()
    clients, killed = Clients(hub), Counter[str]()

    async with clients.posting():
        for victim in _victims(chance):
            await clients.more(BETWEEN)
            await _kill(hub, victim)
            killed[victim] += 1
        await clients.more(BETWEEN)
    database = hub.folder / "data/taskhub.db"
    await until(lambda: not _unended(database), PATIENCE, "some tasks have not ended")
    assert await hub.stop() == 0

    assert set(killed) == set(VICTIMS)
    assert len(hub.lines()) == len(hub.output().splitlines()), "no raw text of a crash"
    assert clients.tries > len(clients.ids), "some answers were lost: it was a storm"
    _check(database, hub.folder / "starts", clients.ids)
    for number, damage in enumerate(DAMAGES):
        copy = hub.folder / f"damaged-{number}.db"
        shutil.copy(database, copy)
        with closing(sqlite3.connect(copy)) as connection:
            assert connection.execute(damage).rowcount == 1
            connection.commit()
        with pytest.raises(AssertionError):
            _check(copy, hub.folder / "starts", clients.ids)


async def test_a_rolling_restart_of_every_service_costs_no_attempt(
    hub: Installation, tmp_path: Path
) -> None:
    """The gentle storm: SIGTERM for one after the other under load, as an upgrade does it."""
    async with ValkeyServer(tmp_path) as valkey:
        hub.configure(separate(tmp_path, valkey.url, hub.handlers(DEEDS)))
        services = [(hub, "api"), (hub.another(), "worker"), (hub.another(), "worker")]
        await asyncio.gather(*(process.start(unit) for process, unit in services))
        clients = Clients(hub)

        async with clients.posting():
            for process, unit in services:
                await clients.more(BETWEEN)
                assert await process.stop() == 0
                await process.start(unit)
            await clients.more(BETWEEN)
        database = tmp_path / "shared.db"
        await until(lambda: not _unended(database), PATIENCE, "some tasks have not ended")
        await hub.close()

    rows = _ask(database, "SELECT Id, Status, Attempts FROM Tasks")
    assert {row[0] for row in rows} == set(clients.ids.values())
    assert {row[1:] for row in rows} == {("Done", 1)}
    for process, _ in services:
        assert process.told("ActorUnstopped") == []
        assert process.told("ActorRestarting") == []


def _victims(chance: random.Random) -> Iterator[str]:
    """Each kind as often, in random order."""
    victims = list(VICTIMS) * (KILLS // len(VICTIMS))
    chance.shuffle(victims)
    yield from victims


async def _kill(hub: Installation, victim: str) -> None:
    """End it by SIGKILL; the root is started again when its tree has gone, as systemd does it."""
    if victim != "root":
        await hub.kill(victim)
        return
    assert hub.process is not None
    tree = below(hub.process.pid)
    await hub.stop(signal.SIGKILL)
    await gone(tree)
    await hub.start()


def _ask(database: Path, question: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(question).fetchall()


def _unended(database: Path) -> list[tuple[Any, ...]]:
    return _ask(database, "SELECT 1 FROM Tasks WHERE Status IN ('Pending', 'Processing') LIMIT 1")


def _check(database: Path, starts: Path, ids: dict[str, str]) -> None:
    rows = _ask(database, "SELECT Title, Id, Status, Attempts, MaxAttempts, Result FROM Tasks")
    done = _ask(database, "SELECT TaskId, count(*) FROM Events WHERE Type='TaskDone' GROUP BY 1")
    began = [line.split() for line in starts.read_text().splitlines()]

    assert {row[0]: row[1] for row in rows} == ids, "each answer is a row, each row an answer"
    assert len(rows) == len(ids), "and no key has made two"
    assert Counter(row[2] for row in rows) == {"Done": len(ids)}
    assert all(1 <= row[3] <= row[4] for row in rows)
    assert dict(done) == dict.fromkeys(ids.values(), 1), "one outcome each"
    assert max(Counter((id_, fence) for id_, fence, _ in began).values()) == 1
    assert _ask(database, "PRAGMA integrity_check") == [("ok",)]
    finished = {(row[1], row[5]) for row in rows}
    told = {(id_, f'{{"attempt":{n},"fence":{fence}}}') for id_, fence, n in began}
    assert finished <= told, "what is stored is what a handler that began has returned"
