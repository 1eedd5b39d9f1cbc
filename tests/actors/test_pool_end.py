"""How a pool ends: by a drain, in a hurry, by a crash, and with a handler that does not stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from taskhub import Job, handler
from taskhub.actors import pool as pool_module
from taskhub.attempts import StopReason
from taskhub.kernel.actor import Context
from taskhub.kernel.mailbox import Mailbox
from taskhub.messages import Put
from taskhub.model import Lease, Status
from taskhub.obs.telemetry import (
    HandlerStubborn,
    StaleFinish,
    TaskProcessed,
    TaskReleased,
    TaskStarted,
)
from taskhub.ports import Claim, Claimed, Register, Renew, Renewed, Takeover, Touched
from taskhub.work.ledger import read_ledger

from tests.actors.pooling import ME, Gate, Pooling
from tests.actors.workshop import Stage, Workshop, task
from tests.waiting import turns, until

DONE, PENDING, PROCESSING = Status.DONE, Status.PENDING, Status.PROCESSING


@pytest.fixture
def shop(tmp_path: Path, empty_database: Path) -> Workshop:
    """A workshop whose store actor is started with the pool."""
    return Workshop(tmp_path, empty_database)


@pytest.fixture
def gate() -> Gate:
    """Where the handlers `job` wait."""
    return Gate()


@pytest.fixture
def pooling(shop: Workshop, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Pooling:
    """A pool of two slots that claims ahead; its `job` waits at the gate."""
    monkeypatch.setattr(pool_module, "POLL", 0.01)

    @handler("job")
    async def job(n: int) -> int:
        await gate.wait(n)
        return n

    pooling = Pooling(shop, job)
    pooling.holdings.average = 0.001
    return pooling


@asynccontextmanager
async def reading(shop: Workshop) -> AsyncIterator[None]:
    """Look at the store when its actor has ended."""
    await shop.store.open()
    try:
        yield
    finally:
        await shop.store.close()


# ---- a drain ----


async def test_a_drain_gives_back_what_waits_and_lets_end_what_runs(
    shop: Workshop, pooling: Pooling, gate: Gate
) -> None:
    """Nothing is cut off, nothing is lost, and no attempt is burned."""
    async with pooling.open() as stage:
        ids = await shop.create_many(6)
        await shop.until_status(ids[:4], PROCESSING)
        stage.ctx.stopping.set()

        given_back = await shop.until_status(ids[2:4], PENDING)
        gate.open()

    assert [row.attempts for row in given_back] == [0, 0]
    async with reading(shop):
        rows = await shop.rows(ids)
    assert [(row.status, row.attempts) for row in rows] == [(DONE, 1)] * 2 + [(PENDING, 0)] * 4
    assert [event.task_id for event in shop.said(TaskReleased)] == ids[2:4]
    assert (sorted(gate.came), gate.stopped) == ([0, 1], [])
    assert (pooling.holdings.attempts, pooling.started()) == ({}, [])


async def test_a_handler_longer_than_the_grace_is_stopped_and_given_back(
    shop: Workshop, pooling: Pooling, gate: Gate
) -> None:
    """It costs no attempt: the stop was not its fault."""
    pooling.configure(grace=0.1)
    async with pooling.open():
        ids = await shop.create_many(2)
        await gate.has(2)

    async with reading(shop):
        rows = await shop.rows(ids)
    assert [(row.status, row.attempts) for row in rows] == [(PENDING, 0)] * 2
    assert sorted(gate.stopped) == [0, 1]
    assert pooling.holdings.attempts == {}


async def test_a_handler_that_ends_in_spite_of_its_stop_has_ended(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done counts."""
    monkeypatch.setattr(pool_module, "POLL", 0.01)

    @handler("job")
    def job(job: Job) -> str:
        while not job.cancelled:
            threading.Event().wait(0.001)
        return "all the same"

    pooling = Pooling(shop, job)
    pooling.configure(grace=0.1)
    async with pooling.open():
        task_id = await shop.create()
        await shop.heard(TaskStarted)

    async with reading(shop):
        assert (await shop.row(task_id)).status is DONE


async def test_a_claim_that_is_answered_after_the_stop_starts_nothing(
    shop: Workshop, pooling: Pooling, gate: Gate
) -> None:
    """Its tasks go back as they came."""
    async with pooling.open() as stage:
        await shop.until_status(await shop.create_many(2), PROCESSING)
        gate.open()
        await until(lambda: not pooling.holdings.attempts)
        other = shop.locked()
        await until(lambda: pooling.pools[-1]._claimed > 0 and len(shop.box) == 0)
        other.execute("UPDATE Tasks SET Status = 'Pending', Attempts = 0, FinishedAt = NULL")
        stage.ctx.stopping.set()
        await turns()
        other.execute("COMMIT")
        other.close()

    assert len(gate.came) == 2
    assert pooling.holdings.attempts == {}
    assert {row[0] for row in shop.sql("SELECT Status FROM Tasks")} == {"Pending"}


async def test_who_is_killed_while_it_drains_blames_nobody(
    shop: Workshop, pooling: Pooling, gate: Gate
) -> None:
    """The ledger is what a successor reads: from the moment of their stop they are innocent."""
    pooling.configure(grace=0.1)
    blamed = list[object]()

    @handler("stopped")
    async def stopped() -> None:
        try:
            await gate.wait()
        finally:
            blamed.append(read_ledger(pooling.ledger_path))

    pooling.registry = type(pooling.registry).of(stopped)
    async with pooling.open():
        await shop.create("stopped")
        await gate.has(1)
        assert len(pooling.started()) == 1

    assert blamed == [[]]


async def test_a_stop_at_once_leaves_tasks_to_whoever_takes_over_for_free(
    shop: Workshop, pooling: Pooling, gate: Gate
) -> None:
    """A second SIGTERM: there is no time to write anything, and no task is to blame."""
    async with pooling.open() as stage:
        ids = await shop.create_many(4)
        await shop.until_status(ids, PROCESSING)
        await gate.has(2)
        stage.task.cancel()
        await asyncio.wait({stage.task})
        stage.task = asyncio.create_task(turns())  # its end was asked for

    assert sorted(gate.stopped) == [0, 1]
    assert list(pooling.holdings.attempts) == ids, "their lock must not be given back"
    async with reading(shop):
        await shop.store.commit([Takeover(owner=ME, started=pooling.started())])
        rows = await shop.rows(ids)
    assert [(row.status, row.attempts) for row in rows] == [(PENDING, 0)] * 4


# ---- a handler that does not stop ----


async def test_with_a_handler_that_does_not_stop_the_process_is_replaced_last_of_all(
    shop: Workshop, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can end a thread: the others are given back or end first, its lease is kept."""
    monkeypatch.setattr(pool_module, "POLL", 0.01)
    free = threading.Event()

    @handler("deaf", timeout=0.05)
    def deaf() -> None:
        free.wait(60)

    @handler("job")
    async def job(n: int) -> None:
        await gate.wait(n)

    pooling = Pooling(shop, deaf, job, stop_grace=0.05)
    pooling.holdings.average = 0.001
    async with pooling.open() as stage:
        stubborn = await shop.create("deaf", timeout_seconds=0.05, priority=1)
        ids = await shop.create_many(4)
        await gate.has(1)
        (told,) = await shop.heard(HandlerStubborn)
        await shop.until_status(ids[1:], PENDING)
        assert not pooling.retired.is_set()

        gate.open()
        await pooling.retired.wait()

        assert (told.task_id, told.reason) == (stubborn, "ignores its timeout")
        assert (await shop.row(ids[0])).status is DONE
        assert list(pooling.holdings.attempts) == [stubborn]
        assert pooling.started() == [stubborn], "whoever takes over must know it"
        assert gate.came == [0]
        await stage.stop()
        free.set()


async def test_a_pool_that_crashes_with_such_a_handler_still_replaces_its_process(
    shop: Workshop, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only a death can end is remembered."""
    monkeypatch.setattr(pool_module, "POLL", 0.01)
    free = threading.Event()

    @handler("deaf")
    def deaf() -> None:
        free.wait(60)

    pooling = Pooling(shop, deaf, stop_grace=0.05)
    async with pooling.open() as stage:
        stubborn = await shop.create("deaf", timeout_seconds=0.05)
        pooling.dies_at = HandlerStubborn
        await pooling.retired.wait()

        assert list(pooling.holdings.attempts) == [stubborn]
        await stage.stop()
        free.set()


# ---- a crash ----


async def test_a_crash_loses_nothing_and_runs_nothing_twice(
    shop: Workshop, pooling: Pooling, gate: Gate
) -> None:
    """Its successor in the same process goes on with what waits and what has ended."""
    async with pooling.open() as stage:
        ids = await shop.create_many(8)
        await shop.until_status(ids[:4], PROCESSING)
        pooling.dies_at = TaskProcessed
        gate.open()

        rows = await shop.until_status(ids, DONE)
        await until(lambda: not pooling.holdings.attempts)

        assert stage.restarts("pool") == 1
    assert [row.attempts for row in rows] == [1] * 8
    assert sorted(gate.came) == list(range(8))
    assert pooling.started() == []


async def test_what_runs_when_the_pool_crashes_is_stopped_and_begins_anew(
    shop: Workshop, pooling: Pooling, gate: Gate
) -> None:
    """It is given back, not run beside itself; no attempt is lost."""
    runs = list[Renew]()
    real = pooling.renew

    def renew(write: Renew) -> Renewed:
        runs.append(write)
        if len(runs) == 1:
            raise ZeroDivisionError
        return real(write)

    pooling.renew = renew
    pooling.configure(lease=1.0)
    async with pooling.open() as stage:
        ids = await shop.create_many(4)
        await until(lambda: stage.restarts("pool") == 1)
        await gate.has(4)
        gate.open()

        rows = await shop.until_status(ids, DONE)

    assert [row.attempts for row in rows] == [1] * 4
    assert gate.at_once == 2
    assert sorted(gate.stopped) == [0, 1]


async def test_outcomes_whose_answer_a_crash_has_lost_are_not_stored_twice(
    shop: Workshop, pooling: Pooling, gate: Gate
) -> None:
    """The successor asks again; the fence knows."""
    async with pooling.open():
        ids = await shop.create_many(2)
        await gate.has(2)
        pooling.dies_at = TaskProcessed
        gate.open()
        await shop.until_status(ids, DONE)
        await until(lambda: not pooling.holdings.attempts)

        told = [event.task_id for event in shop.said(StaleFinish)]
        assert set(told) <= set(ids)
        ended = shop.sql("SELECT count(*) FROM Events WHERE Type = 'TaskDone'")
        assert ended == [(2,)]


async def test_leases_that_were_on_their_way_to_a_pool_that_died_are_not_lost(
    shop: Workshop, pooling: Pooling
) -> None:
    """The store answers a claim after the crash: the successor finds them waiting."""
    box: Mailbox[Put] = Mailbox("store", 8)
    shop.box = box
    dying = asyncio.Event()
    run = asyncio.create_task(_until(pooling, dying))
    registering = (await box.take())[0]
    assert isinstance(registering.writes[0], Register)
    registering.answer([Touched(1)])
    claiming = (await box.take())[0]
    assert isinstance(claiming.writes[0], Claim)
    dying.set()
    with pytest.raises(ExceptionGroup):
        await run

    lease = Lease(item=task("job", {"n": 1}), fence=1)
    claiming.answer([Claimed([lease]), Claimed([])])
    await turns()

    assert [attempt.lease for attempt in pooling.holdings.waiting] == [lease]
    assert list(pooling.holdings.attempts) == [lease.item.id]
    pooling.ledger.close()


async def _until(pooling: Pooling, dying: asyncio.Event) -> None:
    """A pool that dies of a bug when it is told to."""
    pool = pooling.spec().build()
    assert pool is pooling.pools[-1]

    async def watch() -> None:
        await dying.wait()
        raise ZeroDivisionError

    pooling.pools[-1]._renewal.watch = watch  # type: ignore[method-assign]
    await pool.run(Context("pool"))


async def test_a_store_that_has_ended_for_good_does_not_hold_up_a_stop(
    shop: Workshop, pooling: Pooling, gate: Gate
) -> None:
    """Its outcomes cannot be written any more: the death of the process frees them."""
    async with pooling.open() as stage:
        await shop.create_many(2)
        await gate.has(2)
        shop.box.close()
        gate.open()
        await stage.stop()

    assert len(pooling.holdings.attempts) == 2
    assert isinstance(stage, Stage)
    assert StopReason.LOST not in {each.reason for each in pooling.holdings.attempts.values()}
