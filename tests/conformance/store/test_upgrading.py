"""A database of the first version, with work in it, becomes one of this version and goes on."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from taskhub.audit import AuditQuery
from taskhub.model import Status
from taskhub.ports import EventQuery
from taskhub.store import migrations
from taskhub.store.migrations import upgrade

from tests.conformance.store.backend import Backend, Hands, Maker
from tests.conformance.store.sides import KINDS
from tests.conformance.store.world import FOREIGN, World, new_id

DIALECTS = {"sqlite": "sqlite", "postgres": "postgresql"}
PAYLOAD = '{"name": "Zoë",  "seconds": 0.05}'
PENDING, HELD, DONE = (new_id(1_000_000, number) for number in range(3))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The name of the back end under test."""
    name: str = request.param
    return name


@pytest.fixture
def make(kind: str, makers: dict[str, Maker], tmp_path: Path) -> Callable[[str], Backend]:
    """Makes databases without a schema."""
    maker = makers[kind]
    return lambda name: maker.empty(name, tmp_path / name)


def first(kind: str) -> str:
    """The SQL that makes the schema of the first version."""
    text = io.StringIO()
    config = upgrade._config(text)
    config.attributes["dialect"] = DIALECTS[kind]
    command.upgrade(config, "0001", sql=True)
    return text.getvalue()


def by_hand(kind: str, backend: Backend, script: str) -> None:
    """What a DBA does with a script."""
    if kind == "sqlite":
        Path(backend.place).parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(backend.place)) as file:
            file.executescript(script)
        return
    with closing(psycopg.connect(backend.place, autocommit=True)) as server:
        server.execute(script.encode())


def old(kind: str, backend: Backend) -> None:
    """The schema of the first version, with tasks in each state and what belongs to them."""
    by_hand(kind, backend, first(kind))
    for id_, status, more in (
        (PENDING, "Pending", {}),
        (HELD, "Processing", {"LeaseOwner": FOREIGN, "LeaseUntil": 0.0, "Fence": 1, "Attempts": 1}),
        (DONE, "Done", {"Result": "[1.50]", "FinishedAt": 2, "Fence": 1, "Attempts": 1}),
    ):
        insert(backend, "Tasks", Id=id_, Status=status, **(TASK | more))
        insert(backend, "Events", At=1, Type="TaskCreated", TaskId=id_, Seq=int(id_[-1]) + 1)
    insert(backend, "Audit", Id=1, At=1, Message="seen", Actor="x", TaskId=None)
    key = {"RequestHash": "h", "TaskId": DONE, "ExpiresAt": 9, "Answer": b"\0\xff"}
    insert(backend, "IdempotencyKeys", Principal="p", Key="k", **key)
    insert(backend, "UniqueKeys", Type="simulate", Key="k", TaskId=PENDING)
    insert(backend, "Types", Name="simulate", Schema="{}", RegisteredBy="w", RegisteredAt=1)
    insert(backend, "Queues", Name="other", Paused=1, UpdatedAt=1, UpdatedBy="x")


TASK: dict[str, Any] = {
    "Title": "Résumé",
    "Type": "simulate",
    "Queue": "default",
    "Priority": 0,
    "RunAt": 1,
    "MaxAttempts": 3,
    "TimeoutSeconds": 60.0,
    "CreatedAt": 1,
    "UpdatedAt": 1,
    "CreatedBy": "user-1",
    "Payload": PAYLOAD,
}


def insert(backend: Backend, table: str, **values: Any) -> None:
    """A row as the first version wrote it."""
    places = ", ".join("?" * len(values))
    text = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})"  # noqa: S608 - our words
    backend.run(text, *values.values())


async def test_what_the_first_version_stored_is_there_and_is_done(
    kind: str, make: Callable[[str], Backend]
) -> None:
    """Nothing is lost on the way through all revisions, and work goes on with it."""
    backend = make("old")
    old(kind, backend)
    store = backend.store()
    assert await store.migrate() == list(migrations.REVISIONS[1:])

    world = World(backend, Hands(), backend.store(Hands()))
    await world.store.open()
    try:
        done = await world.item(DONE)
        assert (done.title, done.status) == ("Résumé", Status.DONE)
        (lease,) = await world.claim()
        assert (lease.item.id, bytes(lease.item.payload)) == (PENDING, PAYLOAD.encode())
        await world.finish(lease)
        await world.add()
        told = await world.store.events(EventQuery(limit=10))
        assert (told.oldest, told.newest, len(told.items)) == (1, 6, 6)
        assert [entry.message for entry in (await world.store.audit(AuditQuery())).items] == [
            "seen"
        ]
    finally:
        await world.store.close()
    assert {row["Id"]: row["Status"] for row in backend.rows("Tasks")}[HELD] == "Processing"
    assert [row["Status"] for row in backend.rows("IdempotencyKeys")] == [201]


async def test_the_sql_for_a_dba_does_what_a_start_does(
    kind: str, make: Callable[[str], Backend]
) -> None:
    """From nothing and from the first version, on the database itself: not one word differs."""
    started, printed, moved = make("started"), make("printed"), make("moved")
    await started.store().migrate()
    by_hand(kind, printed, upgrade.as_sql(DIALECTS[kind]))
    old(kind, moved)
    by_hand(kind, moved, upgrade.as_sql(DIALECTS[kind], "0001"))

    wanted = described(kind, started)
    assert wanted == described(kind, printed) == described(kind, moved)
    for backend in (printed, moved):
        store = backend.store()
        assert await store.migrate() == []
        await store.open()
        await store.close()
    assert len(moved.rows("Tasks")) == 3


def described(kind: str, backend: Backend) -> list[Any]:
    """Every column, index and trigger of a database."""
    if kind == "sqlite":
        with closing(sqlite3.connect(backend.place)) as file:
            tables = file.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")
            columns = [
                (name, sorted(row[1:] for row in file.execute(f"PRAGMA table_info({name})")))
                for (name,) in tables.fetchall()
            ]
            others = "SELECT sql FROM sqlite_master WHERE type <> 'table' ORDER BY name"
            return [columns, file.execute(others).fetchall()]
    with closing(psycopg.connect(backend.place)) as server:
        return [server.execute(text).fetchall() for text in DESCRIBED]


DESCRIBED = (
    (
        "SELECT table_name, column_name, data_type, character_maximum_length, collation_name, "
        "is_nullable, column_default FROM information_schema.columns "
        "WHERE table_schema = 'public' ORDER BY 1, 2"
    ),
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname",
    "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgname",
    "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
)
