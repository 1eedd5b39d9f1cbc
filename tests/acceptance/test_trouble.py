"""A locked database, a full disk, too much at once: said at once, healed alone, nothing lost."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.acceptance.installation import PATIENCE, Installation, token
from tests.waiting import until

DEEDS = """
import asyncio, pathlib
from taskhub import Job, handler

@handler("until", timeout=600)
async def until(job: Job, place: str) -> str:
    with open(f"{place}.starts", "a") as starts:
        starts.write(f"{job.attempt}\\n")
    while not pathlib.Path(place).exists():
        await asyncio.sleep(0.02)
    return "done"

@handler("weigh")
async def weigh(text: str) -> int:
    return len(text)
"""


@contextmanager
def holding(database: Path) -> Iterator[None]:
    """Another program in a transaction of its own, which knows nothing of our locks."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


class Answer:
    """A whole answer: status, header fields, body."""

    def __init__(self, status: int, headers: Any, body: Any) -> None:
        self.status, self.headers, self.body = status, headers, body


async def ask(hub: Installation, method: str, path: str, body: Any = None) -> Answer:
    """One request on a connection of its own."""
    fields = {"Authorization": f"Bearer {token()}"}
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, f"{hub.url}{path}", json=body, headers=fields) as answer,
    ):
        body = await (answer.json if "json" in answer.content_type else answer.text)()
        return Answer(answer.status, answer.headers, body)


async def create(hub: Installation, **body: Any) -> Answer:
    """Try to create a task."""
    return await ask(hub, "POST", "/tasks", {"title": "x", "payload": {"seconds": 0}, **body})


def is_problem(answer: Answer, status: int, code: str) -> bool:
    """Whether it says what is wrong as every error does, and when to come again."""
    return (
        answer.status == status
        and answer.headers["Content-Type"] == "application/problem+json"
        and answer.headers["Retry-After"].isdigit()
        and answer.body["type"].endswith(f":{code}")
    )


async def state(hub: Installation, part: str) -> tuple[int, str]:
    """The status of /ready and the state of one part."""
    ready = await ask(hub, "GET", "/ready")
    return ready.status, {row["name"]: row["state"] for row in ready.body["parts"]}[part]


async def is_well(hub: Installation) -> bool:
    """Whether the store can be written again, by what the API says of itself."""
    return await state(hub, "store") == (200, "ok")


async def test_a_database_that_another_program_holds_is_a_503_and_heals_by_itself(
    hub: Installation,
) -> None:
    """What was running meanwhile ends while nothing can be written; its outcome is kept."""
    hub.configure(f"[store]\nlock_timeout = 0.2\n[work]\nlease = 3600\n{hub.handlers(DEEDS)}\n")
    await hub.start()
    place = hub.folder / "go"
    running = await hub.post(type="until", payload={"place": str(place)})
    await until((hub.folder / "go.starts").exists, PATIENCE)

    with holding(hub.folder / "data/taskhub.db"):
        refused = await create(hub)
        ready = await state(hub, "store")
        health = await ask(hub, "GET", "/health")
        read = await ask(hub, "GET", f"/tasks/{running['id']}")
        place.touch()
        await hub.until(lambda: _told(hub, "worker-1", "failed"))
    await hub.until(lambda: is_well(hub))

    assert is_problem(refused, 503, "store-locked")
    assert ready == (503, "failed")
    assert (health.status, health.body) == (200, "ok")
    assert (read.status, read.body["status"]) == (200, "Processing")
    done = await hub.ended(running["id"])
    assert (done["status"], done["attempts"]) == ("Done", 1)
    assert (hub.folder / "go.starts").read_text() == "1\n"
    assert (await create(hub)).status == 201
    assert hub.told("ActorRestarting") == []


async def _told(hub: Installation, unit: str, state: str, *, stuffed: Path | None = None) -> bool:
    """Whether a process has told this state of its store; meanwhile a disk stays full."""
    if stuffed is not None:
        _stuff(stuffed)
    changes = [line for line in hub.told("StateChanged") if line["unit"] == unit]
    return any((line["Part"], line["State"]) == ("store", state) for line in changes)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "taskhub-test", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


async def test_a_full_disk_is_a_507_and_everything_goes_on_when_there_is_room(
    hub: Installation, small_disk: Path
) -> None:
    """What was accepted is kept, what was running ends, nothing has to be restarted."""
    hub.configure(
        f'[store]\nurl = "sqlite:///{small_disk}/taskhub.db"\n'
        f"[work]\nlease = 3600\nconcurrency = 2\n{hub.handlers(DEEDS)}\n"
    )
    await hub.start()
    place = hub.folder / "go"
    running = await hub.post(type="until", payload={"place": str(place)})
    await until((hub.folder / "go.starts").exists, PATIENCE)

    accepted, refused = await _fill(hub, small_disk)
    ready = await state(hub, "store")
    place.touch()
    await hub.until(lambda: _told(hub, "worker-1", "failed", stuffed=small_disk))
    read = await ask(hub, "GET", f"/tasks/{accepted[0]}")
    (small_disk / "stuff").unlink()
    await hub.until(lambda: is_well(hub))

    assert is_problem(refused, 507, "store-full")
    assert ready == (503, "failed")
    assert (read.status, read.body["id"]) == (200, accepted[0])
    assert (await create(hub)).status == 201
    done = await hub.all_ended([running["id"], *accepted])
    assert {(task["status"], task["attempts"]) for task in done} == {("Done", 1)}
    assert (hub.folder / "go.starts").read_text() == "1\n"
    assert hub.told("ActorRestarting") == []
    assert await hub.stop() == 0
    with closing(sqlite3.connect(small_disk / "taskhub.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def _fill(hub: Installation, disk: Path) -> tuple[list[str], Answer]:
    """Create tasks until one is refused, in ever less room; the ids, and the refusal."""
    accepted: list[str] = []
    while True:
        answer = await create(hub, type="weigh", payload={"text": "x" * 2_000})
        if answer.status != 201:
            return accepted, answer
        accepted.append(answer.body["id"])
        _stuff(disk)


def _stuff(disk: Path) -> None:
    """Another program that takes every byte that is free."""
    with (disk / "stuff").open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4_096))


async def test_more_than_can_wait_is_a_503_at_once(hub: Installation) -> None:
    """While the store can do nothing, what is too much is refused before anything is answered."""
    hub.configure("[limits]\nmailbox = 4\n[store]\nlock_timeout = 3600\n")
    await hub.start()
    with holding(hub.folder / "data/taskhub.db"):
        asked = {asyncio.create_task(create(hub)) for _ in range(20)}
        waiting = asked
        while len(waiting) > 8:  # at most 4 are in the store's hands, and 4 wait for it
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    answers = await asyncio.gather(*asked)

    accepted = [answer for answer in answers if answer.status == 201]
    assert 1 <= len(accepted) <= 8
    assert all(is_problem(answer, 503, "busy") for answer in answers if answer not in accepted)
    await hub.all_ended(answer.body["id"] for answer in accepted)
