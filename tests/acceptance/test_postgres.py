"""The main road on PostgreSQL: a whole tree on a real server, which dies and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.acceptance.command_line import taskhub
from tests.acceptance.installation import Installation
from tests.postgres_server import IS_HERE, NOT_HERE, PostgresServer

pytestmark = pytest.mark.skipif(not IS_HERE, reason=NOT_HERE)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server for all tests of this module."""
    with PostgresServer.running() as running:
        yield running


async def test_a_task_goes_from_post_to_done_and_a_dead_server_loses_none(
    hub: Installation, server: PostgresServer
) -> None:
    """The schema is made at the start; killed and started again, all goes on by itself."""
    hub.configure(f'[store]\nurl = "{server.database("hub", "template0")}"\n')
    await hub.start()
    done = await hub.ended((await hub.post(payload={"seconds": 0}))["id"])
    assert (done["status"], done["attempts"], done["result"]) == ("Done", 1, {"waited": 0})

    told = [(await hub.post(payload={"seconds": 0}))["id"] for _ in range(20)]
    await asyncio.to_thread(server.kill)
    status, problem = await hub.request("POST", "/tasks", {"title": "x"})
    assert (status, problem["type"].rpartition(":")[2]) == (503, "store-down")
    await asyncio.to_thread(server.start)

    async def accepted() -> bool:
        status, _ = await hub.request("POST", "/tasks", {"title": "after"})
        return status == 201

    assert await hub.until(accepted)
    assert {task["status"] for task in await hub.all_ended(told)} == {"Done"}
    assert await hub.stop() == 0


async def test_the_schema_of_a_server_is_made_and_told(
    hub: Installation, server: PostgresServer
) -> None:
    """The commands for a database work on it as on a file."""
    store = ("--set", f"store.url={server.database('commands', 'template0')}")

    empty = await taskhub("db", "status", *store, folder=hub.folder)
    made = await taskhub("db", "ensure", *store, folder=hub.folder)
    status = await taskhub("db", "status", *store, folder=hub.folder)

    assert (empty.code, made.code, status.code) == (1, 0, 0), made
    assert empty.out.startswith("empty")
    assert status.out.endswith("the newest\n")
