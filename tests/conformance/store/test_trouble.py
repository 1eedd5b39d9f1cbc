"""When things around the store go wrong: it says so, keeps its promises, and heals by itself."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from taskhub.audit import Audit
from taskhub.errors import SchemaNewer, SchemaOlder, StoreDown, StoreFull, StoreLocked
from taskhub.finding import Page, TaskQuery
from taskhub.model import TaskId
from taskhub.ports import Create, Created, Renew, SchemaState, Store
from taskhub.schedules.schedule import Overlap
from taskhub.schedules.writes import SaveSchedule
from taskhub.search import parse

from tests.conformance.store.backend import Backend, Hands, Maker
from tests.conformance.store.backends import BACKENDS, SqliteBackend
from tests.conformance.store.timetable import definition
from tests.conformance.store.world import LEASE, World
from tests.waiting import turns

ROOT = Path(__file__).parents[3]
AUDIT = Audit(message="heartbeat", actor="test")
SEARCH = TaskQuery(where=parse("images"))


# ---- the schema ----------------------------------------------------------------------------


async def test_an_empty_database_is_not_opened_but_migrated(empty: Backend) -> None:
    """Opening says what is missing and makes nothing; migrating makes everything, once."""
    store = empty.store()

    assert (await store.schema()).found is None
    with pytest.raises(SchemaOlder):
        await store.open()
    newest = (await store.schema()).newest
    assert await store.migrate() == list((await store.schema()).missing) or [newest]
    assert await store.schema() == SchemaState(newest, newest, ())
    assert await store.migrate() == []
    await store.open()
    await store.close()


async def test_a_newer_schema_is_refused_in_one_line(backend: Backend) -> None:
    """An old version must not write into what it does not know."""
    backend.run("UPDATE alembic_version SET version_num = '9999'")
    store = backend.store()

    for attempt in (store.open, store.migrate):
        with pytest.raises(SchemaNewer) as refused:
            await attempt()
        assert "\n" not in refused.value.detail
    assert (await store.schema()).found == "9999"


async def test_two_processes_start_at_once_on_an_empty_database(kind: str, empty: Backend) -> None:
    """Both come up; one of them has done the work."""
    with clerks("migrate", kind, empty.place, 3) as started:
        begin(started)
        results = [clerk.communicate(timeout=60) for clerk in started]

    assert [clerk.returncode for clerk in started] == [0, 0, 0], results
    newest = (await empty.store().schema()).newest
    assert sorted(out.strip() for out, _ in results)[:2] == ["", ""]
    assert max(out.strip() for out, _ in results).endswith(newest)


@contextmanager
def clerks(job: str, kind: str, place: str, count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """So many processes of `clerk.py`, gone at the end."""
    command = [sys.executable, "-m", "tests.conformance.store.clerk", job, kind, place]
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        for _ in range(count)
    ]
    try:
        yield started
    finally:
        for clerk in started:
            clerk.kill()
            clerk.communicate()


def begin(started: Sequence[subprocess.Popen[str]]) -> None:
    """Let those begin together that wait for it."""
    for clerk in started:
        assert clerk.stdout is not None
        assert clerk.stdout.readline() == "ready\n"
    for clerk in started:
        assert clerk.stdin is not None
        clerk.stdin.write("go\n")
        clerk.stdin.flush()


# ---- sudden death --------------------------------------------------------------------------


async def test_kill_loses_no_row_that_was_acknowledged(kind: str, backend: Backend) -> None:
    """Two processes write, both are killed in the midst of it, three times over."""
    promised: list[str] = []
    for _ in range(3):
        with clerks("create", kind, backend.place, 2) as started:
            for clerk in started:
                assert clerk.stdout is not None
                promised += [clerk.stdout.readline() for _ in range(20)]
            for clerk in started:
                clerk.kill()
            promised += [line for clerk in started for line in clerk.communicate()[0].split("\n")]

    ids = [line.strip() for line in promised if len(line.strip()) == 36]
    stored = {row["Id"] for row in backend.rows("Tasks")}
    assert len(ids) >= 120
    assert [task for task in ids if task not in stored] == []


async def test_schedulers_that_are_killed_fire_each_due_time_once(
    kind: str, backend: Backend
) -> None:
    """Two race through a thousand seconds; four times both are killed in the midst of a tick."""
    seconds, kills = (1_000, 4) if BACKENDS[kind].share == 1 else (600, 2)
    first = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=seconds)
    asked = definition("tick", cron="* * * * * *", time_zone="UTC", overlap=Overlap.CANCEL)
    store = backend.store()
    await store.open()
    await store.commit([SaveSchedule(definition=asked, next_at=first, by="olga")])
    await store.close()
    said: list[str] = []
    for is_killed in (*[True] * kills, False):
        with clerks("fire", kind, backend.place, 2) as started:
            begin(started)
            for clerk in started if is_killed else ():
                assert clerk.stdout is not None
                said += [clerk.stdout.readline() for _ in range(30)]
                clerk.kill()
            said += [line for clerk in started for line in clerk.communicate()[0].split("\n")]

    fired = [datetime.fromisoformat(line) for text in said if len(line := text.strip()) == LONG]
    assert len(fired) == len(set(fired)) > 60 * kills
    rows, tasks = backend.rows("ScheduleRuns"), backend.rows("Tasks")
    start = int(first.timestamp()) * 1_000_000
    assert sorted(row["DueAt"] for row in rows) == [start + n * 1_000_000 for n in range(len(rows))]
    assert len(rows) > seconds
    assert {row["TaskId"] for row in rows} == {task["Id"] for task in tasks}
    assert len(tasks) == len(rows)


LONG = len("2026-01-01T00:00:00+00:00")


# ---- others hold the database, or the disk is full -------------------------------------------


async def _impatient(backend: Backend) -> Store:
    store = backend.store(lock_timeout=0.2)
    await store.open()
    return store


async def test_a_locked_database_is_told_and_heals(backend: Backend) -> None:
    """Writes and renewals say so within their time, reads go on, and afterwards all is well."""
    store = await _impatient(backend)
    try:
        with backend.held():
            with pytest.raises(StoreLocked):
                await store.commit([AUDIT])
            with pytest.raises(StoreLocked):
                await asyncio.to_thread(store.renew, Renew(held=[], lease=LEASE))
            assert (await store.find(TaskQuery())).items == []
        await store.commit([AUDIT])
        store.renew(Renew(held=[], lease=LEASE))
    finally:
        await store.close()

    assert len(backend.rows("Audit")) == 1


async def test_a_write_waits_for_a_short_lock(backend: Backend) -> None:
    """Somebody holds the database for a moment: nobody needs to know."""
    store = backend.store()
    await store.open()
    try:
        with backend.held():
            commit = asyncio.ensure_future(store.commit([AUDIT]))
            await turns()
            assert not commit.done()
        assert len((await commit).results) == 1
    finally:
        await store.close()


async def test_a_stop_is_not_held_up_by_a_lock(backend: Backend) -> None:
    """Closing does not wait for whoever holds the database; the write says what was in its way."""
    store = backend.store(lock_timeout=3_600)
    await store.open()
    with backend.held():
        commit = asyncio.ensure_future(store.commit([AUDIT]))
        await turns()
        await store.close()
        with pytest.raises(StoreLocked):
            await commit


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can only be mounted by root, and not in every container")
    yield place
    subprocess.run(["umount", str(place)], check=True)


async def test_a_full_disk_is_told_and_heals(small_disk: Path, makers: dict[str, Maker]) -> None:
    """507 until there is room again; what was stored stays, and reads never stop."""
    backend = makers["sqlite"].migrated("taskhub", small_disk)
    assert isinstance(backend, SqliteBackend)
    store = await _impatient(backend)
    world = World(backend, Hands(), store)
    payload = msgspec.Raw(b'"' + b"x" * 10_000 + b'"')
    try:
        stored = await _until_full(world, payload)
        with pytest.raises(StoreFull):
            await world.add(9, payload=payload)
        assert len((await store.find(TaskQuery(limit=500))).items) == stored > 5

        grow = ["mount", "-o", "remount,size=4m", str(small_disk)]
        await asyncio.to_thread(subprocess.run, grow, check=True)
        await world.add(9, payload=payload)
    finally:
        await store.close()

    assert len(backend.rows("Tasks")) == stored + 9
    with closing(sqlite3.connect(backend.path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def _until_full(world: World, payload: msgspec.Raw) -> int:
    for stored in range(1_000):
        try:
            await world.add(payload=payload)
        except StoreFull:
            return stored
    raise AssertionError("it never was full")


@pytest.fixture
def file(makers: dict[str, Maker], tmp_path: Path) -> SqliteBackend:
    """What only a file can do is asked of a file."""
    backend = makers["sqlite"].migrated("taskhub", tmp_path)
    assert isinstance(backend, SqliteBackend)
    return backend


async def test_a_broken_file_is_told_and_heals(file: SqliteBackend) -> None:
    """A database that cannot be read is down, not a crash; put right, it works again by itself."""
    store = await _impatient(file)
    path = file.path
    try:
        await store.commit([AUDIT])
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            good = path.read_bytes()
        path.write_bytes(b"no database" * 1_000)
        with pytest.raises(StoreDown):
            await store.commit([AUDIT])
        path.write_bytes(good)
        path.with_name(path.name + "-wal").write_bytes(b"")
        await store.commit([AUDIT])
    finally:
        await store.close()


async def test_readers_follow_a_file_that_was_replaced(file: SqliteBackend) -> None:
    """Else whoever has just been told `created` is told `no such task`, until a restart."""
    hands = Hands()
    world = World(file, hands, file.store(hands))
    await world.store.open()
    try:
        await _replaced(world, file.path)
    finally:
        await world.store.close()


async def _replaced(world: World, path: Path) -> None:
    await world.add(2)
    assert len((await world.store.find(TaskQuery())).items) == 2
    with closing(sqlite3.connect(path)) as connection, closing(sqlite3.connect(f"{path}-")) as copy:
        connection.backup(copy)
    await world.add(1)

    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink()
    with pytest.raises(StoreDown):
        await world.store.find(TaskQuery())
    path.with_name(path.name + "-").rename(path)
    with pytest.raises(StoreDown):
        await world.store.commit([AUDIT])
    await world.add(3)

    assert len((await world.store.find(TaskQuery())).items) == 5


# ---- callers that give up --------------------------------------------------------------------


async def test_a_cancelled_caller_does_not_cancel_the_commit(world: World) -> None:
    """A client that hangs up loses its answer, never a neighbour's row, nor its own."""
    item = world.task()
    with world.backend.held():
        commit = asyncio.ensure_future(world.store.commit([Create(item=item)]))
        await turns()
        commit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await commit

    (later,) = await world.do(Create(item=world.task()))

    assert isinstance(later, Created)
    assert (await world.item(item.id)).id == item.id


@pytest.mark.parametrize("patience", range(8))
async def test_cancelled_readers_leave_their_connections_whole(world: World, patience: int) -> None:
    """Clients hang up at any moment while they wait for a page; the next one is served."""
    ids = await world.add(20)
    readers = _readers(world, ids)
    await turns(patience)
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)

    assert len((await world.store.find(TaskQuery())).items) == 20
    assert len(await world.store.get(ids)) == 20


def _readers(world: World, ids: list[TaskId]) -> list[asyncio.Future[Any]]:
    """Many who ask at once, each in one of the ways to read."""
    asked = [
        (world.store.find(TaskQuery()), world.store.get(ids), world.store.find(SEARCH))
        for _ in range(7)
    ]
    return [asyncio.ensure_future(each) for several in asked for each in several]


async def test_readers_end_with_the_store(world: World) -> None:
    """Whoever still waits for a page is told so, and nothing is left open behind it."""
    readers = _readers(world, [])
    await turns(1)
    await world.store.close()

    answers = await asyncio.gather(*readers, return_exceptions=True)

    assert all(isinstance(answer, StoreDown | Page | list) for answer in answers), answers
    with pytest.raises(StoreDown):
        await world.store.find(TaskQuery())


async def test_a_store_can_be_closed_twice_and_opened_again(world: World) -> None:
    """No thread and no connection stays behind: the suite looks for both after each test."""
    await world.store.close()
    await world.store.close()
    await world.store.open()

    assert await world.add(1)


async def test_closing_waits_for_what_was_asked_before(world: World) -> None:
    """A stop loses nothing that was accepted."""
    commits = [asyncio.ensure_future(world.store.commit([AUDIT])) for _ in range(20)]
    await turns(1)

    await world.store.close()

    assert all(commit.done() for commit in commits) or await asyncio.gather(*commits)
    assert len(world.backend.rows("Audit")) == 20


async def test_renewals_from_many_threads_do_not_disturb_each_other(world: World) -> None:
    """The keeper's thread and an impatient other one share a connection, one after the other."""
    lease = await world.running()
    held_leases = [(lease.item.id, lease.fence)]
    lost: list[object] = []

    def renew() -> None:
        for _ in range(20):
            lost.extend(world.store.renew(Renew(held=held_leases, lease=LEASE)).lost)

    threads = [threading.Thread(target=renew) for _ in range(3)]
    for thread in threads:
        thread.start()
    await world.add(5)
    for thread in threads:
        await asyncio.to_thread(thread.join)

    assert lost == []
