"""The scheduler: rings when a task becomes due, never in a circle, and counts the queues."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from taskhub.actors.scheduler import DEPTHS, LOOK, Scheduler
from taskhub.errors import StoreDown
from taskhub.kernel.actor import ChildSpec
from taskhub.kernel.mailbox import Mailbox
from taskhub.messages import Publish, Wake
from taskhub.obs.telemetry import Depths, Telemetry
from taskhub.ports import QueueCount
from taskhub.store.sqlite import SqliteStore

from tests.actors.workshop import Stage, Workshop, running
from tests.virtual_clock import pass_time
from tests.waiting import turns, until

WORK = Publish((), frozenset({"work"}))


class Due(SqliteStore):
    """The store's two questions on the virtual clock: tasks are known by when they are due."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"))
        self.times, self.looks, self.counted = list[float](), list[float](), 0
        self.trouble = False

    async def next_due(self) -> float | None:
        now = asyncio.get_running_loop().time()
        self.looks.append(now)
        if self.trouble:
            raise StoreDown
        return max(0.0, min(self.times) - now) if self.times else None

    async def counts(self) -> list[QueueCount]:
        self.counted += 1
        if self.trouble:
            raise StoreDown
        return []


class Scheduling:
    """A running scheduler, its mailboxes, and when it rang."""

    def __init__(self, store: SqliteStore, *, claims: bool = True) -> None:
        self.store, self.claims = store, claims
        self.inbox: Mailbox[Wake] = Mailbox("scheduler", 64)
        self.outbox: Mailbox[Publish] = Mailbox("publisher", 64)
        self.told, self.rung = list[Telemetry](), list[float]()

    def spec(self) -> ChildSpec:
        """As a supervisor starts it."""

        def build() -> Scheduler:
            return Scheduler(self.inbox, self.store, self.outbox, self.fire, self.told.append)

        return ChildSpec("scheduler", build, self.inbox)

    async def fire(self) -> float | None:
        """Be whoever handles schedules: there are none."""
        return None

    async def listen(self) -> None:
        """Be what hears the bell: every process, this scheduler too, and workers that claim."""
        while messages := await self.outbox.take(64):
            assert set(messages) == {WORK}
            self.rung.append(asyncio.get_running_loop().time())
            if self.claims and isinstance(self.store, Due):
                now = asyncio.get_running_loop().time()
                self.store.times = [time for time in self.store.times if time > now]
            self.inbox.post(Wake())

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Stage]:
        """It looks while the block runs."""
        listener = asyncio.create_task(self.listen())
        async with running([self.spec()]) as stage:
            yield stage
        self.outbox.close()
        await listener


@pytest.fixture
def due() -> Due:
    """A store without a task."""
    return Due()


@pytest.mark.virtual_clock
async def test_it_rings_when_a_delayed_task_is_due(due: Due) -> None:
    """Not when it is made, not a second later; one after the other."""
    due.times = [3.0, 10.0, 10.05, 3_600.0]
    scheduling = Scheduling(due)
    async with scheduling.open():
        await pass_time(4_000)

    expected = (3.0, 10.0, 10.05, 3_600.0)
    assert scheduling.rung == [pytest.approx(time, abs=LOOK) for time in expected]
    assert all(rung >= time for rung, time in zip(scheduling.rung, expected, strict=True))


@pytest.mark.virtual_clock
async def test_a_new_task_that_is_due_sooner_is_heard_of(due: Due) -> None:
    """Its creation rings; then the next due time is asked for anew."""
    due.times = [1_000.0]
    scheduling = Scheduling(due)
    async with scheduling.open():
        await pass_time(100)
        due.times.append(101.0)
        scheduling.inbox.post(Wake())
        await pass_time(10)

    assert scheduling.rung == [pytest.approx(101.0, abs=LOOK)]


@pytest.mark.virtual_clock
async def test_tasks_that_nobody_takes_are_rung_for_more_and_more_seldom(due: Due) -> None:
    """Of an unknown type, or all workers are busy. Its own bell comes back to it: it must not ring
    in a circle, for each bell is a claim in every worker.
    """
    due.times = [1.0]
    scheduling = Scheduling(due, claims=False)
    async with scheduling.open():
        await pass_time(600)

    assert scheduling.rung[0] == pytest.approx(1.0)
    assert len(scheduling.rung) < 20
    assert len(due.looks) < 600 / LOOK


@pytest.mark.virtual_clock
async def test_after_a_time_of_overdue_tasks_it_rings_anew(due: Due) -> None:
    """Somebody has taken them meanwhile; the next delayed one is rung for in time."""
    due.times = [1.0]
    scheduling = Scheduling(due, claims=False)
    async with scheduling.open():
        await pass_time(60)
        before = len(scheduling.rung)
        due.times = [70.0]
        scheduling.inbox.post(Wake())
        await pass_time(20)

    assert scheduling.rung[before] == pytest.approx(70.0, abs=0.01)


@pytest.mark.virtual_clock
async def test_bells_under_load_are_looked_at_four_times_a_second(due: Due) -> None:
    """They ring for every task then, and nobody waits for this look."""
    due.times = [math.inf]
    scheduling = Scheduling(due)
    async with scheduling.open():
        for _ in range(1_000):
            if not len(scheduling.inbox):
                scheduling.inbox.post(Wake())
            await pass_time(0.01)

    assert len(due.looks) <= 10 / LOOK + 1


@pytest.mark.virtual_clock
async def test_an_idle_system_is_looked_at_no_more_than_it_is_counted(due: Due) -> None:
    """No poll faster than a second when nothing is to be done."""
    scheduling = Scheduling(due)
    async with scheduling.open():
        await pass_time(100)

    assert len(due.looks) <= 2 * 100 / DEPTHS + 1
    assert due.counted == len(scheduling.told) == pytest.approx(100 / DEPTHS, abs=2)


@pytest.mark.virtual_clock
async def test_trouble_is_waited_out(due: Due) -> None:
    """The workers' own polls go on meanwhile."""
    due.times, due.trouble = [1.0], True
    scheduling = Scheduling(due)
    async with scheduling.open() as stage:
        await pass_time(20)
        due.trouble = False
        await pass_time(DEPTHS + 1)

        assert len(scheduling.rung) == 1
        assert stage.restarts("scheduler") == 0


@pytest.mark.virtual_clock
async def test_a_full_publisher_is_no_crash(due: Due) -> None:
    """A bell is a hint."""
    due.times = [1.0]
    scheduling = Scheduling(due)
    scheduling.outbox.limit = 0
    async with running([scheduling.spec()]) as stage:
        await pass_time(5)
        assert stage.restarts("scheduler") == 0


@pytest.mark.virtual_clock
async def test_a_stop_ends_any_wait_at_once(due: Due) -> None:
    """Its supervisor need not wait for the next due time."""
    due.times = [1_000.0]
    async with Scheduling(due).open():
        await pass_time(10)

    assert asyncio.get_running_loop().time() == pytest.approx(10, abs=LOOK)


async def test_on_a_real_store_it_rings_for_a_delayed_task_and_counts_the_queues(
    workshop: Workshop,
) -> None:
    """The depths are those of the living states, with the age of the one due longest."""
    scheduling = Scheduling(workshop.store)
    await workshop.create(queue="mail", delay=3_600.0)
    async with scheduling.open():
        await until(lambda: scheduling.told)
        assert scheduling.told == [Depths(queues=(("mail", "Pending", 1, 0.0),))]
        await turns()
        assert scheduling.rung == []

        workshop.skipped = 3_600.0
        scheduling.inbox.post(Wake())
        await until(lambda: scheduling.rung)
