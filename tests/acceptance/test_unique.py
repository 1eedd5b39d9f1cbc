"""Unique tasks over several API processes and a worker: one runs, however many ask."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.acceptance.installation import Installation, separate
from tests.valkey import ValkeyServer

RACERS = 100
SYNC = """
from taskhub import Unique, handler

@handler("sync", unique=Unique(by=("customer",)))
def sync(customer: int) -> int:
    return customer
"""


def rows(database: Path) -> list[tuple[Any, ...]]:
    """Which tasks there are."""
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT Id, Title FROM Tasks").fetchall()


async def test_a_hundred_racers_over_two_api_processes_make_one_row(
    hub: Installation, tmp_path: Path
) -> None:
    """All others are shown that row, with 200; so are the items of batches that race with them."""
    async with ValkeyServer(tmp_path) as valkey:
        hub.configure(separate(tmp_path, valkey.url))
        other = hub.another()
        other.url = f"http://127.0.0.1:{other.port}"
        await asyncio.gather(hub.start("api"), other.start("api"))

        for race in range(3):
            body = {"title": f"race {race}", "unique": {"key": f"{race}"}, "delaySeconds": 3600}
            alone = [
                api.request("POST", "/tasks", body)
                for _ in range(RACERS // 2)
                for api in (hub, other)
            ]
            many = [
                api.request("POST", "/tasks/batch", {"tasks": [body] * 5}) for api in (hub, other)
            ]
            answers = await asyncio.gather(*alone, *many)

            items = [item for _, answer in answers[RACERS:] for item in answer["items"]]
            seen = [(status, answer["id"]) for status, answer in answers[:RACERS]]
            seen += [(item["status"], item["id"]) for item in items]
            made = {id_ for id_, title in rows(tmp_path / "shared.db") if title == body["title"]}
            assert {id_ for _, id_ in seen} == made
            assert len(made) == 1
            assert sorted(status for status, _ in seen) == [200] * (RACERS + 9) + [201]
        await hub.close()


async def test_a_type_whose_handler_says_so_is_unique_until_it_is_done(hub: Installation) -> None:
    """The worker registers it, the API keeps it; after the end the next one may come."""
    hub.configure(f"[work]\n{hub.handlers(SYNC)}\n")
    await hub.start()
    body = {"title": "x", "type": "sync", "payload": {"customer": 7}, "delaySeconds": 1}

    first = await hub.request("POST", "/tasks", body)
    second = await hub.request("POST", "/tasks", body)
    done = await hub.ended(first[1]["id"])
    third = await hub.request("POST", "/tasks", body)

    assert (first[0], second[0], third[0]) == (201, 200, 201)
    assert (second[1]["id"], done["result"]) == (first[1]["id"], 7)
