"""The main road on PostgreSQL: a whole tree on a real server, which dies and comes back."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from taskhub.cli.doctor import postgres as doctor
from taskhub.cli.doctor.finding import Finding
from taskhub.config.sections import Config, StoreSection

from tests.acceptance.command_line import taskhub
from tests.acceptance.installation import Installation
from tests.postgres_server import IS_HERE, NOT_HERE, PostgresServer

HEALTHY = {
    "database": "ok",
    "database server": "ok",
    "connections": "ok",
    "durability": "warn",  # the tests' own server flushes nothing
    "transactions": "ok",
    "dead rows": "ok",
    "database clock": "ok",
    "indexes": "ok",
}

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

    seen = await taskhub("doctor", "--json", *store, folder=hub.folder)

    assert (empty.code, made.code, status.code) == (1, 0, 0), made
    assert empty.out.startswith("empty")
    assert status.out.endswith("the newest\n")
    states = {check["name"]: check["state"] for check in json.loads(seen.out)["checks"]}
    assert HEALTHY.items() <= states.items(), seen.out


def found(url: str) -> dict[str, Finding]:
    """What the doctor says of a database."""
    config = Config(store=StoreSection(url=url))
    return {finding.name: finding for finding in doctor.look(config, is_newest=True)}


def test_the_doctor_finds_what_hurts_a_server(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index that somebody dropped, a transaction that nobody ends, rows that nobody vacuums."""
    url = server.database("hurt", "hub")
    monkeypatch.setattr(doctor, "LONG", -1.0)
    monkeypatch.setattr(doctor, "MANY", 0)
    monkeypatch.setattr(doctor, "PROCESS", 1_000)
    with closing(psycopg.connect(url, application_name="report")) as stranger:
        stranger.execute('DROP INDEX "Schedules_Due"')
        stranger.execute('DELETE FROM "Events"')
        stranger.execute("SELECT pg_stat_force_next_flush()")
        stranger.commit()
        stranger.execute("SELECT 1")
        findings = found(url)

    hurt = {name for name, finding in findings.items() if finding.state != "ok"}
    assert hurt == {"connections", "durability", "transactions", "dead rows", "indexes"}
    assert "Schedules_Due" in findings["indexes"].detail
    assert "(report of postgres)" in findings["transactions"].detail
    assert all(finding.fix for finding in findings.values() if finding.state != "ok")


async def test_a_store_moves_to_a_server_and_is_the_same_there(
    hub: Installation, server: PostgresServer
) -> None:
    """Once: what is filled is not filled again."""
    made = await taskhub("db", "ensure", folder=hub.folder)
    url = server.database("moved", "template0")
    ends = ("--from", "sqlite:///data/taskhub.db", "--to", url)
    with closing(sqlite3.connect(hub.folder / "data/taskhub.db")) as file, file:
        file.execute("INSERT INTO Queues VALUES ('nächtlich', 1, 2, '')")

    looked = await taskhub("db", "copy", *ends, "--dry-run", folder=hub.folder)
    copied = await taskhub("db", "copy", *ends, folder=hub.folder)
    again = await taskhub("db", "copy", *ends, folder=hub.folder)

    assert (made.code, looked.code, copied.code, again.code) == (0, 0, 0, 1), copied
    assert re.search(r"^Queues +1 +0$", looked.out, re.MULTILINE)
    assert re.search(r"^Queues +1 +[0-9a-f]{32}$", copied.out, re.MULTILINE)
    assert "not empty, and no half of a copy: 1 rows in Queues\n" in again.err
    with closing(psycopg.connect(url)) as there:
        assert there.execute('SELECT * FROM "Queues"').fetchall() == [("nächtlich", 1, 2, "")]
