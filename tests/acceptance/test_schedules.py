"""Schedules in real processes: schedulers are killed at the tick, and each second fires once."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from tests.acceptance.installation import Installation, separate
from tests.valkey import ValkeyServer
from tests.waiting import until

EACH_SECOND = """
[[schedules]]
name = "tick"
cron = "* * * * * *"
overlap = "cancel"
"""
KILLS = 4


DEEDS = """
from taskhub import handler, schedule

@schedule("* * * * * *", payload={"n": 7})
@handler("beat")
def beat(n: int) -> int:
    return n
"""


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """What is in the database; nothing before it is there."""
    if not path.exists():
        return []
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        return connection.execute(query).fetchall()


def _is_past(tick: int) -> bool:
    return time.time() >= tick


async def test_schedulers_are_killed_at_the_tick_and_each_second_fires_once(
    hub: Installation,
) -> None:
    """Two of them on one database; in turn each dies with the second that it is about to fire."""
    path = hub.folder / "shared.db"

    def fired() -> list[tuple[Any, ...]]:
        return rows(path, "SELECT DueAt, TaskId FROM ScheduleRuns ORDER BY DueAt")

    async with ValkeyServer(hub.folder) as server:
        hub.configure(separate(hub.folder, server.url) + EACH_SECOND)
        await hub.start("scheduler")
        two = (hub, hub.another())
        await two[1].start("scheduler")
        await until(fired)
        for number in range(KILLS):
            await until(partial(_is_past, int(time.time()) + 1))
            await two[number % 2].stop(signal.SIGKILL)
            await two[number % 2].start("scheduler")
        seen = len(fired())
        await until(lambda: len(fired()) > seen)
        assert [await each.stop() for each in two] == [0, 0]

    found = fired()
    first = found[0][0]
    assert [due for due, _ in found] == [first + 1_000_000 * n for n in range(len(found))]
    assert len(found) >= KILLS
    tasks = rows(path, "SELECT Id, CreatedBy FROM Tasks")
    assert {task for _, task in found} == {task for task, _ in tasks}
    assert len(found) == len(tasks)
    assert {by for _, by in tasks} == {"schedule:tick"}


async def test_what_code_and_the_configuration_declare_runs_in_a_whole_tree(
    hub: Installation,
) -> None:
    """Their results are there over the API; a pause holds, and a reload takes one away."""
    work = f"[work]\n{hub.handlers(DEEDS)}\n"
    hub.configure(work + EACH_SECOND)
    await hub.start()

    async def last(name: str) -> Any:
        status, told = await hub.request("GET", f"/schedules/{name}")
        done = status == 200 and told["lastTask"] and told["lastTask"]["status"] == "Done"
        return told if done else None

    beat, tick = await hub.until(lambda: last("beat")), await hub.until(lambda: last("tick"))
    assert (beat["source"], beat["place"], beat["lastTask"]["result"]) == ("code", "deeds", 7)
    assert (tick["source"], tick["words"]) == ("config", "Every second (UTC)")

    assert (await hub.request("POST", "/schedules/beat/pause"))[0] == 200
    _, runs = await hub.request("GET", "/schedules/beat/runs?limit=1")
    hub.configure(work)
    hub.send(signal.SIGHUP)

    async def is_gone() -> bool:
        return (await hub.request("GET", "/schedules/tick"))[0] == 404

    await hub.until(is_gone)
    assert await hub.kill("tree/worker-1")
    await hub.until(lambda: hub.pid("tree/worker-1"))
    status, made = await hub.request("POST", "/schedules/beat/run")
    assert (status, (await hub.ended(made["taskId"]))["status"]) == (201, "Done")
    _, after = await hub.request("GET", "/schedules/beat/runs?limit=2")
    assert after["items"][0]["manual"]
    assert after["items"][1] == runs["items"][0] | {"status": after["items"][1]["status"]}
    assert await hub.stop() == 0
