"""Idempotency keys over several API processes, and over deaths between commit and answer."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import aiohttp

from tests.acceptance.installation import PATIENCE, Installation, separate, token
from tests.valkey import ValkeyServer
from tests.waiting import until

RACERS = 50
NEW = b'{"title":"once","delaySeconds":3600}'

Exact = tuple[int, str, bytes, str]
"""Of an answer: status, Location, the body's very bytes, whether it is a replay."""


async def post(url: str, key: str, **headers: str) -> Exact:
    """A new task under a key."""
    fields = {
        "Authorization": f"Bearer {token()}",
        "Content-Type": "application/json",
        "Idempotency-Key": f'"{key}"',
        **headers,
    }
    async with aiohttp.request("POST", f"{url}/tasks", data=NEW, headers=fields) as answer:
        seen = answer.headers
        replayed = seen.get("Idempotency-Replayed", "")
        return answer.status, seen.get("Location", ""), await answer.read(), replayed


def ids(database: Path) -> list[str]:
    """Every task in the file."""
    with closing(sqlite3.connect(database)) as connection:
        return [id_ for (id_,) in connection.execute("SELECT Id FROM Tasks")]


async def test_racers_over_two_api_processes_make_one_task_and_hear_one_answer(
    hub: Installation, tmp_path: Path
) -> None:
    """Whoever comes while the first is in flight waits for its commit, in either process."""
    async with ValkeyServer(tmp_path) as valkey:
        hub.configure(separate(tmp_path, valkey.url))
        other = hub.another()
        other.url = f"http://127.0.0.1:{other.port}"
        await asyncio.gather(hub.start("api"), other.start("api"))

        for race in range(5):
            asked = [post(api.url, f"race-{race}") for _ in range(RACERS) for api in (hub, other)]
            answers = await asyncio.gather(*asked)

            status, location, body, _ = answers[0]
            assert status == 201
            assert {answer[:3] for answer in answers} == {(status, location, body)}
            assert [answer[3] for answer in answers].count("") == 1
            assert len(ids(tmp_path / "shared.db")) == race + 1
        await hub.close()


async def test_a_death_between_commit_and_answer_costs_no_second_task(hub: Installation) -> None:
    """The client heard nothing: what it is told when it asks again is what was stored."""
    await hub.start()
    database = hub.folder / "data/taskhub.db"
    asked = asyncio.ensure_future(post(hub.url, "cut", Prefer="wait=60"))
    await until(lambda: ids(database), PATIENCE, "nothing was stored")

    await hub.kill("tree/api-1", signal.SIGKILL)
    (cut,) = await asyncio.gather(asked, return_exceptions=True)
    status, location, body, replayed = await hub.until(lambda: post(hub.url, "cut"))
    again = await post(hub.url, "cut", Prefer="wait=60")

    assert isinstance(cut, aiohttp.ClientError)
    (stored,) = ids(database)
    assert (status, location, replayed) == (201, f"/tasks/{stored}", "true")
    assert again == (status, location, body, replayed)
