"""What only a server has: several writers, a death of its own, users, and numbers in order."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg.conninfo import make_conninfo
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool
from taskhub.audit import Audit
from taskhub.errors import StoreDown
from taskhub.finding import TaskQuery
from taskhub.ports import Cancel, Create, Created, Prune, Renew, Requeue
from taskhub.store.postgres import PostgresStore
from taskhub.store.postgres.session import Address, Connection, Session
from taskhub.store.postgres.texts import spoken
from taskhub.store.schema import metadata
from uuid_utils import uuid7

from tests.conformance.store.backend import Hands, Maker
from tests.conformance.store.postgres import PostgresBackend, PostgresMaker
from tests.conformance.store.test_trouble import begin, clerks
from tests.conformance.store.world import LEASE, World
from tests.postgres_server import IS_HERE, NOT_HERE
from tests.waiting import turns, until

pytestmark = pytest.mark.skipif(not IS_HERE, reason=NOT_HERE)

WRITERS = 4
TASKS = 2_000
WRITER = "taskhub-writer"


@pytest.fixture
def maker(makers: dict[str, Maker]) -> PostgresMaker:
    """The server and its databases."""
    found = makers["postgres"]
    assert isinstance(found, PostgresMaker)
    return found


@pytest.fixture
def backend(maker: PostgresMaker, tmp_path: Path) -> PostgresBackend:
    """A database with the newest schema."""
    return maker.migrated("taskhub", tmp_path)


@asynccontextmanager
async def opened(backend: PostgresBackend, number: int = 1) -> AsyncIterator[list[World]]:
    """So many stores on it, by the server's clock, as so many processes would have them."""
    async with AsyncExitStack() as stack:
        worlds = [World(backend, Hands(), backend.store()) for _ in range(number)]
        for world in worlds:
            await world.store.open()
            stack.push_async_callback(world.store.close)
        yield worlds


def create(world: World) -> Create:
    """A new task that nobody else makes, due long ago for any clock."""
    return Create(item=world.task(id=str(uuid7())))


async def test_sixteen_claimers_of_four_processes_take_each_task_once(
    backend: PostgresBackend,
) -> None:
    """They skip what another one takes, and leave nothing."""
    async with opened(backend) as (world,):
        for _ in range(4):
            await world.do(*(create(world) for _ in range(TASKS // 4)))
    with clerks("claim", "postgres", backend.place, 4) as started:
        begin(started)
        said = await asyncio.gather(
            *(asyncio.to_thread(clerk.communicate, timeout=60) for clerk in started)
        )

    taken = [out.split() for out, _ in said]
    assert all(taken), "one has taken nothing: nobody was in its way"
    assert len(set(chain(*taken))) == sum(map(len, taken)) == TASKS
    rows = backend.rows("Tasks")
    assert {(row["Status"], row["Fence"], row["Attempts"]) for row in rows} == {("Done", 1, 1)}
    assert len(backend.rows("Events")) == 3 * TASKS


async def test_numbers_of_events_have_no_holes_and_appear_in_order(
    backend: PostgresBackend,
) -> None:
    """Whoever reads up to a number has all before it, however many write."""
    async with opened(backend, WRITERS) as worlds:
        writing = [asyncio.ensure_future(_write(world)) for world in worlds]
        while not all(one.done() for one in writing):
            rows = await asyncio.to_thread(backend.rows, "Events")
            assert [row["Seq"] for row in rows] == list(range(1, len(rows) + 1))
        await asyncio.gather(*writing)

    assert len(backend.rows("Events")) == WRITERS * 60


async def _write(world: World) -> None:
    for _ in range(20):
        await world.do(*(create(world) for _ in range(3)))


async def test_a_server_that_dies_loses_nothing_that_was_told(
    maker: PostgresMaker, backend: PostgresBackend
) -> None:
    """Killed in the midst of work and started again: each store goes on by itself."""
    told: list[str] = []
    async with opened(backend, 2) as worlds:
        writing = [asyncio.ensure_future(_until_down(world, told)) for world in worlds]
        await until(lambda: len(told) >= 40)
        await asyncio.to_thread(maker.server.kill)
        await asyncio.gather(*writing)
        with pytest.raises(StoreDown):
            await worlds[0].store.find(TaskQuery())
        with pytest.raises(StoreDown):
            await asyncio.to_thread(worlds[0].store.renew, Renew(held=[], lease=LEASE))
        await asyncio.to_thread(maker.server.start)

        nothing = Renew(held=[], lease=LEASE)
        for world in worlds:
            await answered(partial(world.store.find, TaskQuery()))
            await answered(partial(world.one, create(world)))
            await answered(partial(asyncio.to_thread, world.store.renew, nothing))
            assert len((await world.store.find(TaskQuery())).items) >= 20

    stored = {row["Id"] for row in backend.rows("Tasks")}
    assert [id_ for id_ in told if id_ not in stored] == []


async def answered(ask: Callable[[], Awaitable[object]]) -> None:
    """Ask until there is an answer: for a moment after a failure nobody calls the server."""
    async with asyncio.timeout(10):
        while True:
            try:
                await ask()
            except StoreDown:
                await turns()
            else:
                return


async def _until_down(world: World, told: list[str]) -> None:
    while True:
        try:
            result = await world.one(create(world))
        except StoreDown:
            return
        assert isinstance(result, Created)
        told.append(result.item.id)


async def test_a_server_that_is_frozen_holds_nobody_for_ever(
    backend: PostgresBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes what it is sent and never answers: its connection is given up, and another made."""
    monkeypatch.setattr(Connection, "patience", 0.3)
    async with opened(backend) as (world,):
        await world.do(create(world))
        writer = backend.ask("SELECT pid FROM pg_stat_activity WHERE application_name = %s", WRITER)
        os.kill(writer, signal.SIGSTOP)
        try:
            assert isinstance(await world.one(create(world)), Created)
        finally:
            os.kill(writer, signal.SIGCONT)


async def test_who_may_read_and_write_rows_needs_no_other_right(backend: PostgresBackend) -> None:
    """The owner of the tables migrates; what runs may be somebody else."""
    for right in RIGHTS:
        backend.run(right)
    less = PostgresBackend(make_conninfo(backend.place, user="rows_only"))
    async with opened(less) as (world,):
        await world.do(create(world), Audit(message="seen", actor="test"))
        (lease,) = await world.claim()
        await world.finish(lease)
        now = datetime.now(UTC)
        await world.do(Prune(tasks_before=now, events_before=now, audit_before=now, limit=10))
        assert await less.store().migrate() == []

    assert less.rows("Tasks") == []


RIGHTS = (
    "CREATE ROLE rows_only LOGIN",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO rows_only",
    "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO rows_only",
)
"""As docs/postgresql.md has them."""


async def test_leases_are_by_the_clock_of_the_server(backend: PostgresBackend) -> None:
    """Hosts may think of the time what they like."""
    async with opened(backend) as (world,):
        await world.do(create(world))
        await world.claim(lease=60.0)

    (row,) = backend.rows("Tasks")
    assert abs(row["LeaseUntil"] - row["StartedAt"] / 1e6 - 60.0) < 0.001
    assert row["StartedAt"] > row["CreatedAt"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"user": "nobody"}, "user or password"),
        ({"dbname": "nothing"}, "no such database"),
        ({"host": "/nowhere"}, "does not answer"),
    ],
)
async def test_who_cannot_connect_is_told_why_without_the_password(
    backend: PostgresBackend, changed: dict[str, str], said: str
) -> None:
    """A mistake in the configuration is not an outage, and no secret is shown for it."""
    place = make_conninfo(backend.place, **changed)
    store = PostgresStore(Address(place, password="hush-hush"))

    for attempt in (store.open, store.schema, store.migrate):
        with pytest.raises(StoreDown) as told:
            await attempt()
        assert said in told.value.detail
        assert "hush-hush" not in told.value.reason + repr(store) + repr(
            Address(place, "hush-hush")
        )


async def test_an_address_that_is_none_is_not_repeated() -> None:
    """The driver's words would hold a part of it."""
    store = PostgresStore(Address("postgresql://x/y?hush=hush"))

    with pytest.raises(StoreDown) as told:
        await store.open()

    assert "hush" not in told.value.reason


async def test_who_loses_in_a_deadlock_tries_again(backend: PostgresBackend) -> None:
    """Two transactions wait for each other's lock; the server gives one up, we do not."""
    first, second = _session(backend), _session(backend)
    meeting = threading.Barrier(2, timeout=10)
    try:
        async with asyncio.timeout(30):
            tries = await asyncio.gather(
                asyncio.to_thread(_cross, first, (1, 2), meeting),
                asyncio.to_thread(_cross, second, (2, 1), meeting),
            )
    finally:
        first.close()
        second.close()

    assert sorted(tries) == [1, 2]
    assert first.retried + second.retried == 1


def _session(backend: PostgresBackend) -> Session:
    return Session(Address(backend.place), "test", lock_timeout=20)


def _cross(session: Session, locks: tuple[int, int], meeting: threading.Barrier) -> int:
    """Take two locks; the other one takes them the other way round. How many tries that took."""
    tries = 0

    def work(connection: Connection) -> int:
        nonlocal tries
        tries += 1
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [locks[0]])
        if tries == 1:
            meeting.wait()
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [locks[1]])
        return tries

    return session.transaction(work)


async def test_a_task_that_begins_anew_sees_the_end_of_its_parent_that_is_being_written(
    backend: PostgresBackend,
) -> None:
    """It would wait for ever: who ends the parent does not see yet that somebody waits."""
    async with opened(backend) as (world,):
        (parent,) = await world.add()
        (lease,) = await world.claim()
        (child,) = await world.add(after=(parent,))
        await world.do(Cancel(id=child))
        backend.run("UPDATE Waits SET EndedAs = 'Waived'")
        ending = psycopg.connect(backend.place)
        with closing(ending):
            ending.execute(spoken("UPDATE Tasks SET Status = 'Done' WHERE Id = ?"), [parent])
            again = asyncio.ensure_future(world.do(Requeue(id=child)))
            await until(lambda: again.done() or bool(backend.ask(WAITING)))
            ending.commit()
        await again

        assert [one.item.id for one in await world.claim()] == [child]
    assert lease.item.id == parent


WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@pytest.mark.parametrize("known", [False, True], ids=["no statistics", "statistics"])
def test_a_claim_reads_no_more_than_it_takes(backend: PostgresBackend, *, known: bool) -> None:
    """Whatever the server thinks of how many tasks wait."""
    backend.run(
        "INSERT INTO Tasks (Id, Title, Type, Queue, Priority, MaxAttempts, TimeoutSeconds, RunAt, "
        "CreatedAt, UpdatedAt, CreatedBy, Payload) "
        "SELECT i, 't', 't', 'q', 0, 1, 1, 1, 1, 1, '', '1' FROM generate_series(1, 3000) AS i"
    )
    if known:
        backend.run("ANALYZE Tasks")
    values = {"owner": "o", "until": 1.0, "now": 1, "rows": '["1","2"]'}
    with closing(psycopg.connect(backend.place)) as line:
        text = "EXPLAIN " + backend.store().statements["claim"]
        plan = " ".join(str(row[0]) for row in line.execute(text.encode(), values))

    assert "Tasks_pkey" in plan
    assert "Seq Scan" not in plan
    assert "Tasks_Status" not in plan


def test_the_migrations_lead_to_the_metadata(backend: PostgresBackend) -> None:
    """As on SQLite: what is declared is what was made."""
    place = backend.place.replace("postgresql:", "postgresql+psycopg:")
    engine = create_engine(place, poolclass=NullPool)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
