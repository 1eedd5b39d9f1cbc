"""Many tasks at once against real processes: what is stored is stored once, whoever dies."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.acceptance.command_line import taskhub
from tests.acceptance.installation import PATIENCE, Installation, token
from tests.waiting import until

LINES = 15_000


def rows(database: Path, query: str = "SELECT Id FROM Tasks ORDER BY Id") -> list[Any]:
    """What is in the file."""
    with closing(sqlite3.connect(database)) as connection:
        return [value for (value,) in connection.execute(query)]


async def test_a_file_is_stored_once_though_the_api_is_killed_meanwhile(hub: Installation) -> None:
    """The batch whose answer was lost is asked for again under its key; the ids are those stored.

    A second run with the same key stores nothing more, and says the same.
    """
    await hub.start()
    database, file = hub.folder / "data/taskhub.db", hub.folder / "tasks.jsonl"
    file.write_text("".join(f'{{"title":"line {n}","delaySeconds":3600}}\n' for n in range(LINES)))
    environ = {"TASKHUB_URL": hub.url, "TASKHUB_TOKEN": token()}
    words = ("create", "--from", str(file), "--key", "import")

    running = asyncio.ensure_future(taskhub(*words, folder=hub.folder, environ=environ))
    await until(lambda: rows(database), PATIENCE, "nothing was stored")
    await hub.kill("tree/api-1", signal.SIGKILL)
    assert not running.done()
    first = await running
    again = await taskhub(*words, folder=hub.folder, environ=environ)

    assert (first.code, first.err) == (0, f"taskhub: stored {LINES:,} tasks\n")
    assert first.out.splitlines() == rows(database)
    assert rows(database, "SELECT Title FROM Tasks ORDER BY Id") == [
        f"line {n}" for n in range(LINES)
    ]
    assert rows(database, "SELECT count(*) FROM Events WHERE Type = 'TaskCreated'") == [LINES]
    assert (again.code, again.out) == (0, first.out)


async def test_the_tasks_of_a_batch_are_done_and_every_one_has_its_line(hub: Installation) -> None:
    """A thousand lines at once are no more than the log takes."""
    await hub.start()
    tasks = [{"title": f"t{n}", "payload": {"seconds": 0}} for n in range(1_000)]

    status, answer = await hub.request("POST", "/tasks/batch", {"tasks": tasks})
    ids = [item["id"] for item in answer["items"]]
    await until(
        lambda: rows(hub.folder / "data/taskhub.db", UNDONE) == [0], PATIENCE, "not all are Done"
    )
    await hub.stop()

    assert (status, len(ids)) == (201, 1_000)
    created = [line["TaskId"] for line in hub.told("TaskCreated")]
    assert created == ids
    assert {line["TaskId"] for line in hub.told("TaskProcessed")} == set(ids)


UNDONE = "SELECT count(*) FROM Tasks WHERE Status <> 'Done'"
