"""The pool at work: how much it claims, what it runs, and what becomes of outcomes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from taskhub import Job, handler
from taskhub.actors import pool as pool_module
from taskhub.attempts import Ended
from taskhub.config.sections import QueueSection, RetentionSection
from taskhub.errors import StoreLocked
from taskhub.messages import Stop
from taskhub.model import Retry, Status, TaskId, TaskItem
from taskhub.obs.telemetry import (
    Complained,
    HandlerRaised,
    LeaseLost,
    SchedulesDeclared,
    StaleFinish,
    StateChanged,
    TaskCancelled,
    TaskFailed,
    TaskProcessed,
    TaskRetrying,
    TaskStarted,
)
from taskhub.ports import Cancel, Claim, Create, Finish, Takeover
from taskhub.schedules.schedule import Definition, Source
from taskhub.work.attempt import Attempt

from tests.actors.pooling import ME, Gate, Pooling
from tests.actors.workshop import OTHER, Workshop, task
from tests.waiting import turns, until

DONE, FAILED, PENDING = Status.DONE, Status.FAILED, Status.PENDING
CANCELLED, PROCESSING = Status.CANCELLED, Status.PROCESSING


@pytest.fixture
def shop(tmp_path: Path, empty_database: Path) -> Workshop:
    """A workshop whose store actor is started with the pool."""
    return Workshop(tmp_path, empty_database)


@pytest.fixture
def gate() -> Gate:
    """Where the handlers `job` wait."""
    return Gate()


@pytest.fixture
def pooling(shop: Workshop, gate: Gate) -> Pooling:
    """A pool of two slots; its `job` waits at the gate."""

    @handler("job")
    async def job(n: int = 0) -> str:
        await gate.wait(n)
        return "done"

    return Pooling(shop, job)


@pytest.fixture
def no_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool that looks only when it is rung for."""
    monkeypatch.setattr(pool_module, "POLL", 3_600.0)


@pytest.fixture
def quick_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool that need not be rung for."""
    monkeypatch.setattr(pool_module, "POLL", 0.01)


async def test_what_its_modules_declare_is_known_when_it_is_ready(
    shop: Workshop, pooling: Pooling
) -> None:
    """And what they declared in their last version is gone; the log says so once."""
    pooling.schedules = {"deeds": [Definition(name="nightly", cron="@daily", title="x")]}
    async with pooling.open():
        found = await shop.store.schedule("nightly")
        assert found is not None
        assert (found.source, found.place) == (Source.CODE, "deeds")
        assert [told.added for told in shop.said(SchedulesDeclared)] == [("nightly",)]
        pooling.schedules = {"deeds": []}
    async with pooling.open():
        assert await shop.store.schedule("nightly") is None
        assert [told.removed for told in shop.said(SchedulesDeclared)] == [(), ("nightly",)]


def raw(value: msgspec.Raw | None) -> bytes:
    """The text of a JSON value."""
    return bytes(value or b"")


async def of_status(shop: Workshop, ids: list[TaskId], status: Status) -> list[TaskId]:
    """Those of these tasks that are in a status."""
    return [row.id for row in await shop.rows(ids) if row.status is status]


# ---- claiming ----


async def test_nothing_begins_before_the_whole_process_is_ready(
    shop: Workshop, pooling: Pooling, gate: Gate, quick_poll: None
) -> None:
    """A handler that kills its process sooner would look like a process that cannot start."""
    pooling.opening.clear()
    async with pooling.open():
        ids = [await shop.create() for _ in range(5)]  # each a commit that a claim could share
        assert {row.attempts for row in await shop.rows(ids)} == {0}

        pooling.opening.set()
        gate.open()
        await shop.until_status(ids, Status.DONE)


async def test_a_stop_before_the_process_is_ready_is_a_stop(pooling: Pooling) -> None:
    """Whoever is slow to start must not hold up the end."""
    pooling.opening.clear()
    async with pooling.open():
        pass

    assert not pooling.holdings.attempts


async def test_while_tasks_are_long_it_claims_by_free_slots_alone(
    shop: Workshop, pooling: Pooling, gate: Gate, quick_poll: None
) -> None:
    """What it cannot start at once is left for others."""
    async with pooling.open():
        ids = await shop.create_many(6)
        await gate.has(2)
        pooling.ring()
        await shop.create_many(1)  # a commit later: all claims of before are answered

        assert await of_status(shop, ids, PROCESSING) == ids[:2]
        gate.open()
        await shop.until_status(ids, DONE)


async def test_while_tasks_are_brisk_it_claims_as_many_again_and_no_more(
    shop: Workshop, pooling: Pooling, gate: Gate, no_poll: None
) -> None:
    """A slot that comes free is filled without a commit's delay; a crash strands few."""
    pooling.holdings.average = 0.001
    async with pooling.open():
        ids = await shop.create_many(10)
        pooling.ring()
        await gate.has(2)
        await shop.create_many(1)

        assert await of_status(shop, ids, PROCESSING) == ids[:4]
        assert pooling.started() == ids[:2]
        gate.open()
        await shop.until_status(ids, DONE)
        assert gate.at_once == 2


async def test_what_waits_behind_long_tasks_is_given_back_for_others(
    shop: Workshop, pooling: Pooling, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks were brisk and are so no more: nobody waits here while another worker is idle."""
    monkeypatch.setattr(pool_module, "STALL", 0.05)
    monkeypatch.setattr(pool_module, "POLL", 0.01)
    pooling.holdings.average = 0.001
    async with pooling.open():
        ids = await shop.create_many(4)
        await shop.until_status(ids, PROCESSING)

        rows = await shop.until_status(ids[2:], PENDING)

        assert [row.attempts for row in rows] == [0, 0]
        gate.open()
        assert [row.attempts for row in await shop.until_status(ids, DONE)] == [1] * 4
        assert sorted(gate.came) == [0, 1, 2, 3]


async def test_a_bell_is_a_reason_to_look(
    shop: Workshop, pooling: Pooling, gate: Gate, no_poll: None
) -> None:
    """An idle system starts a task when it is told, not when it polls."""
    gate.open()
    async with pooling.open():
        await shop.heard(StateChanged, 0)
        for _ in range(2):
            task_id = await shop.create()
            await turns()
            pooling.ring()
            await shop.until_status([task_id], DONE)


async def test_a_bell_that_was_left_out_because_a_stop_lay_there_is_heard(
    shop: Workshop, pooling: Pooling, gate: Gate, no_poll: None
) -> None:
    """Ringers add no bell to a mailbox that is not empty: whatever lies there stands for it."""
    gate.open()
    async with pooling.open():
        task_id = await shop.create()
        pooling.inbox.post(Stop((), "cancel"))
        await shop.until_status([task_id], DONE)


async def test_without_any_bell_tasks_are_found_by_polling(
    shop: Workshop, pooling: Pooling, gate: Gate, quick_poll: None
) -> None:
    """Losing the event server costs latency, never a task."""
    gate.open()
    async with pooling.open():
        await shop.until_status(await shop.create_many(5), DONE)


async def test_it_takes_only_types_it_knows_and_queues_it_serves(
    shop: Workshop, pooling: Pooling, gate: Gate, quick_poll: None
) -> None:
    """A task of a type that nobody here knows waits, it never fails for that; queues may change."""
    gate.open()
    pooling.configure(queues=("mail",))
    async with pooling.open():
        unknown = await shop.create("unheard-of", queue="mail")
        other = await shop.create(queue="images")
        mine = await shop.create(queue="mail")
        await shop.until_status([mine], DONE)
        assert await of_status(shop, [unknown, other], PENDING) == [unknown, other]

        pooling.configure(queues=("images",))
        await shop.until_status([other], DONE)
        assert [info.name for info in await shop.store.types()] == ["job"]


async def test_a_change_of_the_concurrency_is_obeyed_while_it_runs(
    shop: Workshop, pooling: Pooling, gate: Gate, quick_poll: None
) -> None:
    """Up: more are started. Down: nobody is stopped, but nobody follows either."""
    async with pooling.open():
        ids = await shop.create_many(12)
        await gate.has(2)
        pooling.configure(concurrency=5)
        await gate.has(5)
        pooling.configure(concurrency=1)
        await until(lambda: pooling.pools[-1]._running.size == 1)
        gate.at_once = 0
        gate.open()

        await shop.until_status(ids, DONE)

        assert gate.at_once <= 1
        assert len(gate.came) == 12


async def test_trouble_while_claiming_is_waited_out(
    shop: Workshop, pooling: Pooling, gate: Gate, quick_poll: None
) -> None:
    """A locked database is no crash; when it is free again tasks go on."""
    shop.store._writing._timeout = 0.05
    gate.open()
    async with pooling.open() as stage:
        ids = await shop.create_many(3)
        other = shop.locked()
        await until(lambda: shop.health.state == "failed")
        other.close()

        await shop.until_status(ids, DONE)

        assert stage.restarts("pool") == 0


async def test_it_gets_ready_while_the_store_is_in_trouble(
    tmp_path: Path, empty_database: Path, gate: Gate, quick_poll: None
) -> None:
    """Its types cannot be made known yet: that holds up nobody's start."""
    shop = Workshop(tmp_path, empty_database, lock_timeout=0.05)

    @handler("job")
    async def job() -> None: ...

    other = shop.locked()
    async with Pooling(shop, job).open() as stage:
        assert stage.ctx.is_ready.is_set()
        with pytest.raises(StoreLocked):
            await shop.create()
        other.close()
        await until(lambda: shop.health.state == "ok")
        await shop.until_status([await shop.create()], DONE)
        assert stage.restarts("pool") == 0


# ---- running ----


async def test_an_attempt_is_told_of_from_its_start_to_its_outcome(
    shop: Workshop, quick_poll: None
) -> None:
    """One line a transition, and what its handler returned is on the task."""

    @handler("job")
    async def job(job: Job) -> dict[str, int]:
        if job.attempt == 1:
            raise Retry("not yet", in_seconds=0)
        return {"attempt": job.attempt}

    async with Pooling(shop, job).open():
        task_id = await shop.create()
        (row,) = await shop.until_status([task_id], DONE)
        await shop.heard(TaskProcessed, 2)

    assert raw(row.result) == b'{"attempt":2}'
    told = [e for e in shop.told if getattr(e, "task_id", None) == task_id]
    assert [type(event) for event in told] == [
        TaskStarted,
        TaskProcessed,
        TaskRetrying,
        TaskStarted,
        TaskProcessed,
    ]
    assert [e.result for e in shop.said(TaskProcessed)] == ["failed", "success"]
    assert [e.attempt for e in shop.said(TaskStarted)] == [1, 2]


async def test_tasks_that_come_back_at_once_are_not_mixed_up_with_their_next_attempt(
    shop: Workshop, quick_poll: None
) -> None:
    """The outcome and the next claim may be one transaction: then the new lease is known before
    the old one is forgotten.
    """

    @handler("job")
    async def job(job: Job, n: int) -> None:
        if job.attempt < 5:
            raise Retry("again", in_seconds=0)

    pooling = Pooling(shop, job)
    pooling.configure(concurrency=8)
    async with pooling.open():
        ids = await shop.create_many(60)
        rows = await shop.until_status(ids, DONE)
        await until(lambda: not pooling.holdings.attempts)

    assert [row.attempts for row in rows] == [5] * 60
    assert (shop.said(StaleFinish), shop.said(LeaseLost)) == ([], [])
    assert pooling.started() == []


async def test_a_result_is_kept_as_its_handler_or_the_configuration_says(shop: Workshop) -> None:
    """The handler goes first, also where it says: as long as the task."""

    @handler("brief", keep_result=60)
    def brief() -> int:
        return 1

    @handler("lasting", keep_result=0)
    def lasting() -> int:
        return 2

    @handler("usual")
    def usual() -> int:
        return 3

    pooling = Pooling(shop, brief, lasting, usual)
    retention = RetentionSection(results_days=1.0)
    pooling.config = msgspec.structs.replace(pooling.config, retention=retention)
    async with pooling.open():
        ids = [await shop.create(kind) for kind in ("brief", "lasting", "usual")]
        pooling.ring()
        items = await shop.until_status(ids, DONE)

    assert [lasted(item) for item in items] == [60, None, 86_400]


def lasted(item: TaskItem) -> int | None:
    """For how many seconds its result is kept."""
    if item.result_expires_at is None or item.finished_at is None:
        return None
    return round((item.result_expires_at - item.finished_at).total_seconds())


async def test_progress_is_written_while_the_handler_runs(
    shop: Workshop, gate: Gate, quick_poll: None
) -> None:
    """Clients see how far it is."""

    @handler("job")
    async def job(job: Job) -> None:
        job.progress(0.5, "half")
        await gate.wait()

    async with Pooling(shop, job).open():
        task_id = await shop.create()
        await until(lambda: shop.sql("SELECT Progress FROM Tasks")[0][0])

        assert raw((await shop.row(task_id)).progress) == b'{"fraction":0.5,"text":"half"}'
        gate.open()


async def test_an_outcome_that_cannot_be_stored_becomes_a_failure(
    shop: Workshop, pooling: Pooling, quick_poll: None
) -> None:
    """Its neighbours of the same batch are stored; the task says why."""

    async def instead(attempt: Attempt) -> Ended:
        text = b"\xff" if raw(attempt.lease.item.payload) == b'{"n": 1}' else b"1"
        return Finish(id=attempt.id, fence=attempt.lease.fence, status=DONE, result=text)

    async with pooling.open():
        pooling.main.instead = instead
        ids = await shop.create_many(2)
        (failed,) = await shop.until_status(ids[1:], FAILED)

        assert (failed.error or "").startswith("the outcome could not be stored: Unicode")
        await shop.until_status(ids[:1], DONE)
        assert [event.task_id for event in await shop.heard(TaskFailed)] == ids[1:]


async def test_when_not_even_the_failure_can_be_stored_the_lease_ends_and_others_go_on(
    shop: Workshop, pooling: Pooling, gate: Gate, quick_poll: None
) -> None:
    """It is not tried for ever: the sweep will decide; the operator reads which task it is."""
    gate.open()
    shop.sql(
        "CREATE TRIGGER poison BEFORE UPDATE ON Tasks WHEN NEW.Title = 'poison'"
        " AND NEW.Status <> 'Processing' BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    async with pooling.open():
        poison = await shop.create(title="poison")
        ids = await shop.create_many(4)

        await shop.until_status(ids, DONE)
        (told,) = await shop.heard(Complained)

        assert poison in told.text
        await until(lambda: not pooling.holdings.attempts)
        assert (await shop.row(poison)).status is PROCESSING


async def test_a_bug_of_a_lane_is_one_attempt_s_failure(
    shop: Workshop, pooling: Pooling, gate: Gate, quick_poll: None
) -> None:
    """The slot comes back, the attempt is counted, nobody else hears of it."""

    async def instead(attempt: Attempt) -> Ended:
        raise ZeroDivisionError("ours")

    async with pooling.open() as stage:
        pooling.main.instead = instead
        task_id = await shop.create(max_attempts=1)
        (row,) = await shop.until_status([task_id], FAILED)
        pooling.main.instead = None
        gate.open()
        await shop.until_status(await shop.create_many(3), DONE)

        assert row.error == "ZeroDivisionError: ours"
        assert "raise ZeroDivisionError" in shop.said(HandlerRaised)[0].trace
        assert (stage.restarts("pool"), pooling.holdings.running) == (0, set())


async def test_a_handler_that_cancels_its_own_task_has_failed(
    shop: Workshop, quick_poll: None
) -> None:
    """A stranger's cancellation must not keep a slot and a lease for ever."""

    @handler("job")
    async def job(job: Job) -> None:
        if job.attempt == 1:
            current = asyncio.current_task()
            assert current is not None
            current.cancel()
            await asyncio.Event().wait()

    async with Pooling(shop, job).open():
        task_id = await shop.create()
        await shop.heard(TaskRetrying)
        shop.sql("UPDATE Tasks SET RunAt = 0")  # no need to wait for its pause
        (row,) = await shop.until_status([task_id], DONE)

    assert row.attempts == 2


# ---- stopping one attempt ----


async def test_a_cancel_stops_the_handler(
    shop: Workshop, pooling: Pooling, gate: Gate, quick_poll: None
) -> None:
    """The reaper tells of it; the flag in the row makes the end Cancelled."""
    async with pooling.open():
        task_id = await shop.create()
        await gate.has(1)
        await shop.put(Cancel(id=task_id))
        pooling.inbox.post(Stop([task_id, TaskId("unknown")], "cancel"))

        await shop.until_status([task_id], CANCELLED)

        assert gate.stopped == [0]
        assert [event.task_id for event in await shop.heard(TaskCancelled)] == [task_id]


async def test_a_task_cancelled_while_it_waits_for_a_slot_never_starts(
    shop: Workshop, pooling: Pooling, gate: Gate, no_poll: None
) -> None:
    """It was claimed ahead: nothing says that it has started."""
    pooling.holdings.average = 0.001
    async with pooling.open():
        ids = await shop.create_many(4)
        pooling.ring()
        await shop.until_status(ids, PROCESSING)
        await shop.put(Cancel(id=ids[3]))
        pooling.inbox.post(Stop([ids[3]], "cancel"))
        await turns()
        gate.open()

        await shop.until_status(ids[:3], DONE)
        await shop.until_status(ids[3:], CANCELLED)

        assert sorted(gate.came) == [0, 1, 2]
        assert ids[3] not in [event.task_id for event in shop.said(TaskStarted)]


async def test_a_handler_whose_lease_is_lost_is_stopped_and_writes_nothing(
    shop: Workshop, pooling: Pooling, gate: Gate, no_poll: None
) -> None:
    """Somebody else has the task: this one's outcome would be a lie."""
    async with pooling.open():
        task_id = await shop.create()
        pooling.ring()
        await gate.has(1)
        await shop.put(Takeover(owner=ME, started=[]))
        await shop.claim(OTHER)
        before = await shop.row(task_id)
        pooling.inbox.post(Stop([task_id], "lost"))
        await shop.heard(LeaseLost)
        await until(lambda: not pooling.holdings.attempts)

        assert await shop.row(task_id) == before
        assert gate.stopped == [0]
        assert pooling.started() == []


async def test_an_outcome_under_an_old_fence_is_told_and_dropped(
    shop: Workshop, pooling: Pooling, gate: Gate, no_poll: None
) -> None:
    """A late worker changes nothing."""
    async with pooling.open():
        task_id = await shop.create()
        pooling.ring()
        await gate.has(1)
        await shop.put(Takeover(owner=ME, started=[]))
        await shop.claim(OTHER)
        gate.open()

        assert [e.task_id for e in await shop.heard(StaleFinish)] == [task_id]

        row = await shop.row(task_id)
        assert (row.status, row.result) == (PROCESSING, None)
        assert not shop.said(TaskProcessed)


async def test_trouble_while_settling_loses_no_outcome(
    tmp_path: Path, empty_database: Path, gate: Gate, quick_poll: None
) -> None:
    """Handlers have done their work: their outcomes are kept until the store takes them."""
    shop = Workshop(tmp_path, empty_database, lock_timeout=0.05)
    runs = list[int]()

    @handler("job")
    async def job(n: int) -> int:
        runs.append(n)
        await gate.wait()
        return n

    pooling = Pooling(shop, job)
    async with pooling.open():
        ids = await shop.create_many(2)
        await gate.has(2)
        other = shop.locked()
        gate.open()
        await until(lambda: shop.health.state == "failed")
        assert [row.attempt.id for row in pooling.holdings.ended] == ids
        other.close()

        await shop.until_status(ids, DONE)
        await until(lambda: not pooling.holdings.ended)

    assert sorted(runs) == [0, 1]
    assert not shop.said(StaleFinish)


# ---- suspects ----


async def suspects(shop: Workshop, count: int) -> list[TaskId]:
    """Tasks that ran in a worker that died."""
    items = [task("job", {"n": 100 + n}) for n in range(count)]
    claim = Claim(owner=OTHER, limit=count, lease=15.0, types=["job"])
    await shop.put(*(Create(item=item) for item in items), claim)  # before our pool sees them
    await shop.put(Takeover(owner=OTHER))
    return [item.id for item in items]


async def test_what_a_lane_of_its_own_has_in_hand_has_not_started_until_that_says_so(
    shop: Workshop, gate: Gate
) -> None:
    """It may wait there for a process; should ours die, it has lost nothing."""

    @handler("apart")
    async def apart() -> None:
        await gate.wait()

    pooling = Pooling(shop, apart)
    pooling.apart = ("apart",)
    async with pooling.open():
        await shop.create("apart")
        await gate.has(1)
        assert pooling.started() == []
        gate.open()


async def test_suspects_run_one_at_a_time_in_their_lane_while_others_go_on(
    shop: Workshop, pooling: Pooling, gate: Gate, quick_poll: None
) -> None:
    """With one slot in all: a suspect has a slot of its own and takes nobody else's."""
    pooling.configure(concurrency=1)
    alone = Gate()

    async def instead(attempt: Attempt) -> Ended:
        await alone.wait()
        return Finish(id=attempt.id, fence=attempt.lease.fence, status=DONE, result=b'"alone"')

    async with pooling.open():
        pooling.suspects.instead = instead
        suspected = await suspects(shop, 3)
        await alone.has(1)
        ids = await shop.create_many(2)
        await gate.has(1)

        gate.open()
        await shop.until_status(ids, DONE)
        assert len(await of_status(shop, suspected, PROCESSING)) == 1
        alone.open()
        rows = await shop.until_status(suspected, DONE)

    assert {raw(row.result) for row in rows} == {b'"alone"'}
    assert (alone.at_once, gate.at_once) == (1, 1)


async def test_a_queue_of_one_at_a_time_goes_on_without_a_poll_between(
    shop: Workshop, pooling: Pooling, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit keeps to one at once, not to one a second."""
    pooling.configure(limits={"default": QueueSection(concurrency=1)})

    async with pooling.open():
        ids = await shop.create_many(5)
        await gate.has(1)
        monkeypatch.setattr(pool_module, "POLL", 3_600.0)
        gate.open()
        await shop.until_status(ids, DONE)

    assert gate.at_once == 1


@pytest.mark.parametrize("others", [0, 2])
async def test_suspects_follow_each_other_without_a_poll_between(
    shop: Workshop, pooling: Pooling, gate: Gate, monkeypatch: pytest.MonkeyPatch, *, others: int
) -> None:
    """A worker that died leaves as many as it ran: at one a second they would wait for a minute."""

    async def instead(attempt: Attempt) -> Ended:
        monkeypatch.setattr(pool_module, "POLL", 3_600.0)  # from the first one on
        return Finish(id=attempt.id, fence=attempt.lease.fence, status=DONE, result=b'"alone"')

    async with pooling.open():
        pooling.suspects.instead = instead
        ids = await shop.create_many(others)
        await gate.has(others)
        suspected = await suspects(shop, 5)

        await shop.until_status(suspected, DONE)
        assert len(await of_status(shop, ids, PROCESSING)) == others
        gate.open()


async def test_a_suspect_need_not_wait_until_all_others_have_ended(
    shop: Workshop, pooling: Pooling, gate: Gate, quick_poll: None
) -> None:
    """All slots are taken by long tasks; the suspects' lane is free."""
    async with pooling.open():
        ids = await shop.create_many(2)
        await gate.has(2)
        suspected = await suspects(shop, 1)

        await gate.has(3)

        assert await of_status(shop, [*ids, *suspected], PROCESSING) == [*ids, *suspected]
        gate.open()
