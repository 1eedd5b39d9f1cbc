"""The store actor: group commit without a timer, trouble as a state, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from taskhub.actors.store import BATCH, StoreActor
from taskhub.audit import Audit
from taskhub.errors import SchemaOlder, StoreDown, StoreLocked
from taskhub.kernel.actor import ChildSpec, Context
from taskhub.kernel.events import ActorRestarting
from taskhub.kernel.mailbox import ActorFailed, MailboxClosed
from taskhub.kernel.supervisor import RestartLimitExceeded
from taskhub.messages import Publish, Put
from taskhub.model import EventType
from taskhub.obs.telemetry import Committed, EventsDropped, StateChanged, TasksFollowed
from taskhub.ports import Cancel, Changed, Create, Created, Finish, Refused, Result, Touched, Write
from taskhub.ports import Committed as Commit
from taskhub.store.sqlite import SqliteStore

from tests.actors.workshop import Stage, Workshop, running, task
from tests.waiting import turns, until

NOTE = Audit(message="a note", actor="tests")


class Watched(SqliteStore):
    """The real store; a test sees its commits, can hold them up, and can make them fail."""

    def __init__(self, path: Path, lock_timeout: float = 2.0) -> None:
        super().__init__(path, lock_timeout)
        self.sizes = list[int]()
        self.go = asyncio.Event()
        self.go.set()
        self.bug: Exception | None = None

    async def commit(self, writes: Sequence[Write]) -> Commit:
        self.sizes.append(len(writes))
        await self.go.wait()
        bug, self.bug = self.bug, None
        if bug is not None:
            raise bug
        return await super().commit(writes)


@pytest.fixture
def shop(tmp_path: Path, empty_database: Path) -> Workshop:
    """A workshop on such a store; its actor is not started."""
    shop = Workshop(tmp_path, empty_database)
    shop.store = Watched(shop.path)
    return shop


def watched(shop: Workshop) -> Watched:
    """Its store, as what it is."""
    assert isinstance(shop.store, Watched)
    return shop.store


def asked(shop: Workshop, *writes: Write) -> asyncio.Future[Sequence[Result]]:
    """A put that waits for its answer."""
    return Put(*writes).sent_to(shop.box)


# ---- batches ----


async def test_what_comes_while_a_commit_runs_is_one_commit(shop: Workshop) -> None:
    """The batch grows by itself: no timer delays a lone write, no write pays for another's."""
    async with running([shop.store_spec()]):
        watched(shop).go.clear()
        first = asked(shop, NOTE)
        await turns()
        rest = [asked(shop, NOTE, NOTE) for _ in range(20)]
        await turns()
        watched(shop).go.set()

        await asyncio.gather(first, *rest)

        assert watched(shop).sizes == [1, 40]
        assert [event.writes for event in shop.said(Committed)] == [1, 40]


async def test_each_put_gets_its_own_answers_in_their_order(shop: Workshop) -> None:
    """Answers are cut to the puts, also where a put has none and one write is refused."""
    one, two = task(), task()
    async with running([shop.store_spec()]):
        watched(shop).go.clear()
        asks = [
            asked(shop, Create(item=one), NOTE),
            asked(shop),
            asked(shop, Create(item=one)),
            asked(shop, Create(item=two)),
        ]
        await turns()
        watched(shop).go.set()
        answers = await asyncio.gather(*asks)

    assert answers[0] == [Created(one), Touched(1)]
    assert answers[1] == []
    assert [type(answer) for answer in answers[2]] == [Refused]
    assert answers[3] == [Created(two)]


async def test_one_transaction_takes_a_limited_number_of_puts(shop: Workshop) -> None:
    """The others' answers must not wait for a batch without end."""
    shop.box.limit = 4 * BATCH
    async with running([shop.store_spec()]):
        await asyncio.gather(*(asked(shop, NOTE) for _ in range(BATCH + 1)))

    assert watched(shop).sizes == [BATCH, 1]


async def test_an_asker_who_hangs_up_cancels_no_write(shop: Workshop) -> None:
    """A client may go at any moment: what was asked for is done, and the others are answered."""
    item = task()
    async with running([shop.store_spec()]):
        watched(shop).go.clear()
        hung_up, other = asked(shop, Create(item=item)), asked(shop, NOTE)
        await turns()
        hung_up.cancel()
        watched(shop).go.set()

        assert await other == [Touched(1)]
        assert await shop.rows([item.id]) == [item]


# ---- trouble ----


async def test_trouble_fails_the_batch_and_is_a_state_until_a_commit_succeeds(
    tmp_path: Path, empty_database: Path
) -> None:
    """Another program holds the database: askers hear it by name, the actor lives on."""
    shop = Workshop(tmp_path, empty_database, lock_timeout=0.05)
    async with running([shop.store_spec()]) as stage:
        other = shop.locked()
        asks = [asked(shop, NOTE) for _ in range(3)]
        for ask in asks:
            with pytest.raises(StoreLocked):
                await ask
        assert (shop.health.state, shop.health.detail) == ("failed", StoreLocked().detail)
        other.close()

        assert await shop.put(NOTE) == [Touched(1)]

        assert (shop.health.state, shop.health.detail) == ("ok", "")
        failed, healed = shop.said(StateChanged)
        assert (failed.state, healed.state) == ("failed", "ok")
        assert failed.detail == f"{StoreLocked().detail} (database is locked)"
        assert stage.restarts("store") == 0


async def test_a_store_that_is_not_there_yet_is_waited_for(shop: Workshop) -> None:
    """Start order does not matter: who asks meanwhile is told at once, and later it heals."""
    away = shop.path.with_suffix(".away")
    shop.path.rename(away)
    shop.path.mkdir()  # no database can be opened here
    async with running([shop.store_spec()]) as stage:
        with pytest.raises(StoreDown):
            await shop.put(NOTE)
        assert shop.health.state == "failed"
        shop.path.rmdir()
        away.rename(shop.path)
        await until(lambda: shop.health.state == "ok")

        assert await shop.put(NOTE) == [Touched(1)]
        assert stage.restarts("store") == 0


async def test_a_stop_ends_the_wait_for_a_store(shop: Workshop) -> None:
    """It is no crash, and who still asks is told that nobody will answer."""
    shop.path.unlink()
    shop.path.mkdir()
    stage = Stage([shop.store_spec()])
    await until(lambda: shop.health.state == "failed")
    ask = asked(shop, NOTE)

    await stage.stop()

    with pytest.raises((MailboxClosed, StoreDown)):
        await ask
    assert stage.restarts("store") == 0


async def test_a_schema_that_does_not_fit_is_no_trouble_that_passes(
    shop: Workshop,
) -> None:
    """Only an operator can mend it: the supervisor gives up in the end."""
    shop.sql("DROP TABLE alembic_version")
    stage = Stage([shop.store_spec()])

    with pytest.raises(RestartLimitExceeded) as failure:
        await stage.task

    assert isinstance(failure.value.__cause__, SchemaOlder)


# ---- what is told outside ----


async def test_a_full_publisher_costs_events_and_no_task(shop: Workshop) -> None:
    """The rows are there; what was dropped is counted."""
    shop.outbox.limit = 1
    async with running([shop.store_spec()]):
        ids = [await shop.create() for _ in range(3)]

        assert len(await shop.rows(ids)) == 3
        assert shop.said(EventsDropped) == [EventsDropped(count=1, reason="full")] * 2


async def test_the_bell_has_a_kind_for_each_reason_to_look(shop: Workshop) -> None:
    """Workers look for work, waiting clients for ends, reapers for cancels; listeners for all."""
    async with running([shop.store_spec()]):
        ended, running_, waiting = [await shop.create() for _ in range(3)]
        leases = {lease.item.id: lease for lease in (await shop.claim(limit=2)).leases}
        fence = leases[ended].fence
        await shop.put(Finish(id=ended, fence=fence, status=task().status.DONE))
        await shop.put(Finish(id=running_, fence=99, status=task().status.DONE))
        assert isinstance((await shop.put(Cancel(id=running_)))[0], Changed)
        await shop.put(Cancel(id=waiting))
        await shop.put(NOTE)

    heard = await rung(shop)
    assert [kinds for _, kinds in heard] == [
        {"work"},
        {"work"},
        {"work"},
        {"told"},  # a claim: only who follows events wants to hear of it
        {"ended"},
        {"cancel"},
        {"ended"},
    ]
    assert [types for types, _ in heard][3:] == [
        [EventType.STARTED, EventType.STARTED],
        [EventType.DONE],
        [],
        [EventType.CANCELLED],
    ]


async def test_without_a_publisher_in_its_process_it_only_stores(shop: Workshop) -> None:
    """Whoever polls finds the rows."""
    ctx = Context("store")
    actor = StoreActor(shop.box, shop.store, None, shop.health, shop.told.append)
    run = asyncio.create_task(actor.run(ctx))
    task_id = await shop.create()
    row = await shop.row(task_id)
    shop.box.close()
    await run

    assert row.id == task_id
    assert not shop.said(EventsDropped)


async def test_an_end_that_lets_a_task_go_rings_for_work(shop: Workshop) -> None:
    """Idle workers of other processes look at once, not with their next look a second later."""
    async with running([shop.store_spec()]):
        parent = await shop.create()
        await shop.put(Create(item=task(after=(parent,), on_parent_failure="fail")))
        (lease,) = (await shop.claim(limit=2)).leases
        await shop.put(Finish(id=parent, fence=lease.fence, status=task().status.DONE))

    heard = await rung(shop)
    assert heard[-1] == ([EventType.DONE], {"ended", "work"})
    assert shop.said(TasksFollowed) == [TasksFollowed(let_go=1, failed=0, cancelled=0)]


async def test_new_tasks_for_later_wake_no_worker(shop: Workshop) -> None:
    """Each of them would ask for a claim that finds nothing; the scheduler learns when to ring."""
    now, later = task(), task(delay=60.0)
    async with running([shop.store_spec()]):
        await shop.put(Create(item=later))
        await shop.put(Create(item=task(delay=9.0)), Create(item=now))
        await shop.put(Cancel(id=later.id))

    heard = [kinds for _, kinds in await rung(shop)]
    assert heard == [{"later"}, {"later", "work"}, {"ended"}]


async def rung(shop: Workshop) -> list[tuple[list[EventType], set[str]]]:
    """What lies in the publisher's mailbox."""
    shop.outbox.close()
    messages: list[Publish] = await shop.outbox.take(1024)
    return [([event.type for event in m.events], set(m.kinds)) for m in messages]


# ---- its own end ----


async def test_a_stop_commits_what_is_queued(shop: Workshop) -> None:
    """It stops last, so that every accepted request is on disk."""
    items = [task() for _ in range(5)]
    async with running([shop.store_spec()]) as stage:
        watched(shop).go.clear()
        asks = [asked(shop, Create(item=item)) for item in items]
        await turns()
        stage.ctx.stopping.set()
        await turns()
        watched(shop).go.set()

        assert await asyncio.gather(*asks) == [[Created(item)] for item in items]
    with sqlite3.connect(shop.path) as reader:
        assert reader.execute("SELECT count(*) FROM Tasks").fetchone() == (5,)
    reader.close()


async def test_a_crash_fails_what_it_has_in_hand_and_serves_what_is_queued(
    shop: Workshop,
) -> None:
    """Whether the first was stored is unknown; the second waits for the next run."""
    async with running([shop.store_spec()]) as stage:
        watched(shop).bug = ZeroDivisionError()
        watched(shop).go.clear()
        in_hand = asked(shop, NOTE)
        await turns()
        queued = asked(shop, NOTE)
        watched(shop).go.set()

        with pytest.raises(ActorFailed):
            await in_hand
        assert await queued == [Touched(1)]
        assert [type(e) for e in stage.events if isinstance(e, ActorRestarting)] == [
            ActorRestarting
        ]


async def test_a_restart_keeps_what_is_queued(shop: Workshop) -> None:
    """An operator's restart of the actor loses no request."""
    async with running([shop.store_spec()]) as stage:
        restart = asyncio.create_task(stage.supervisor.restart("store"))
        await turns(1)
        asks = [asked(shop, NOTE) for _ in range(3)]
        await restart

        assert await asyncio.gather(*asks) == [[Touched(1)]] * 3


async def test_a_cancelled_actor_answers_who_waits(shop: Workshop) -> None:
    """No time left: the commit may have happened, so the asker must look again."""
    spec = shop.store_spec()
    spec = ChildSpec(spec.name, spec.build, spec.inbox, stop_timeout=0.01)
    async with running([spec]) as stage:
        watched(shop).go.clear()
        ask = asked(shop, NOTE)
        await turns()
        stage.ctx.stopping.set()

        with pytest.raises(ActorFailed):
            await ask
