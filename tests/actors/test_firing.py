"""What the scheduler does about schedules: due times become tasks, missed ones by their policy."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from taskhub.actors import firing as module
from taskhub.actors.firing import AGAIN, BATCH, SOON, Firing
from taskhub.actors.scheduler import Scheduler
from taskhub.kernel.actor import ChildSpec
from taskhub.kernel.mailbox import Mailbox
from taskhub.messages import Publish, Wake
from taskhub.model import DEFAULTS_KEY, Status, TypeInfo
from taskhub.obs.telemetry import ScheduleBroken, ScheduleFired, SchedulesDeclared, SchedulesSeen
from taskhub.ports import Finish, Register
from taskhub.schedules.schedule import (
    Definition,
    Misfire,
    Overlap,
    Reason,
    RunOutcome,
    RunQuery,
    Schedule,
    ScheduleQuery,
    Source,
)
from taskhub.schedules.writes import SaveSchedule

from tests.actors.workshop import Workshop, running
from tests.waiting import until

HOUR = timedelta(hours=1)


class House:
    """A firing beside a store, and what its configuration declares."""

    def __init__(self, workshop: Workshop) -> None:
        self.shop = workshop
        self.declared: list[Definition] = []
        self.firing = self.another()

    def another(self) -> Firing:
        """One more, as another process has it."""
        shop = self.shop
        return Firing(shop.box, shop.store, lambda: self.declared, shop.told.append)

    def now(self) -> datetime:
        """By the store's clock."""
        return datetime.now(UTC) + timedelta(seconds=self.shop.skipped)

    async def made(self, name: str = "nightly", due: float = 0.0, **fields: Any) -> None:
        """A schedule that is next due so many seconds from now."""
        write = SaveSchedule(
            definition=defined(name, **fields),
            next_at=self.now() + timedelta(seconds=due),
            by="olga",
        )
        await self.shop.put(write)

    async def all_looks(self) -> int:
        """Look until nothing is due any more; how often it was."""
        looks = 1
        while await self.firing.look() in (0.0, SOON):
            looks += 1
        return looks

    async def schedule(self, name: str = "nightly") -> Schedule:
        """As it is now."""
        found = await self.shop.store.schedule(name)
        assert found is not None
        return found

    async def runs(self, name: str = "nightly") -> list[tuple[RunOutcome, Reason]]:
        """What became of its due times, oldest first."""
        page = await self.shop.store.runs(RunQuery(schedule=name, limit=1_000))
        return [(run.outcome, run.reason) for run in reversed(page.items)]


def defined(name: str, **fields: Any) -> Definition:
    """A schedule that is due each hour."""
    return Definition(**({"name": name, "cron": "@hourly", "title": name, "type": "job"} | fields))


@pytest.fixture
def house(workshop: Workshop) -> House:
    """One on the workshop's store."""
    return House(workshop)


async def test_without_schedules_there_is_nothing_to_wait_for(house: House) -> None:
    """A look is one short question."""
    assert await house.firing.look() is None
    assert house.shop.told == [] or not house.shop.said(ScheduleFired)


async def test_a_due_time_becomes_a_task_of_its_type(house: House) -> None:
    """What the schedule does not say, the type does; who made it is the schedule."""
    defaults = {"queue": "night", "timeoutSeconds": 7, "maxAttempts": 2}
    types = [TypeInfo("job", {DEFAULTS_KEY: defaults}), TypeInfo("odd", {DEFAULTS_KEY: 5})]
    await house.shop.put(Register(types=types))
    await house.made(due=-0.5, priority=3)

    wait = await house.firing.look()

    last = (await house.schedule()).last
    assert wait == 0.0
    assert last is not None
    row = await house.shop.row(last.task_id)
    assert (row.type, row.queue, row.timeout_seconds, row.max_attempts) == ("job", "night", 7, 2)
    assert (row.priority, row.created_by, row.title) == (3, "schedule:nightly", "nightly")
    assert row.run_at == last.due_at < row.created_at
    (told,) = house.shop.said(ScheduleFired)
    assert (told.schedule, told.outcome, told.task_id) == ("nightly", "fired", row.id)
    assert 0.4 < told.late < 30
    wait = await house.firing.look()
    assert wait is not None
    assert 0 < wait <= 3_600


async def test_what_the_schedule_says_comes_before_its_type(house: House) -> None:
    """Also where nobody knows the type, or its defaults are odd: the task is made and waits."""
    await house.shop.put(Register(types=[TypeInfo("odd", {DEFAULTS_KEY: 5})]))
    await house.made("a", type="odd", queue="q", timeout_seconds=9.0, max_attempts=1)
    await house.made("b", type="nobody")

    await house.all_looks()

    for name, expected in (("a", ("q", 9.0, 1)), ("b", ("default", 60.0, 5))):
        last = (await house.schedule(name)).last
        assert last is not None
        row = await house.shop.row(last.task_id)
        assert (row.queue, row.timeout_seconds, row.max_attempts) == expected


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [
        (Misfire.SKIP, [(RunOutcome.SKIPPED, Reason.MISSED)]),
        (Misfire.ONCE, [(RunOutcome.FIRED, Reason.MISSED)]),
        (Misfire.ALL, [(RunOutcome.FIRED, Reason.MISSED)] * 250),
    ],
)
async def test_after_a_long_sleep_the_policy_decides(
    house: House, misfire: Misfire, expected: list[tuple[RunOutcome, Reason]]
) -> None:
    """In transactions of bounded size, and the next due time lies ahead."""
    half_past = house.now().replace(minute=30, second=0, microsecond=0)
    house.shop.skipped += (half_past + HOUR - house.now()).total_seconds()
    slept = 249.5 * 3_600
    await house.made(due=-slept, misfire=misfire, overlap=Overlap.CANCEL)

    looks = await house.all_looks()

    assert await house.runs() == expected
    assert looks == len(expected) // BATCH + 2
    next_at = (await house.schedule()).next_at
    assert next_at is not None
    assert next_at > house.now()


async def test_many_schedules_that_are_due_at_once_are_handled_in_shares(house: House) -> None:
    """Midnight: those that are due longest first."""
    for number in range(BATCH + 20):
        await house.made(f"s{number:03d}", due=-1.0)

    assert await house.firing.look() == 0.0
    assert len(house.shop.said(ScheduleFired)) == BATCH
    assert await house.firing.look() == 0.0
    assert len(house.shop.said(ScheduleFired)) == BATCH + 20


async def test_one_that_has_missed_much_holds_up_no_other(house: House) -> None:
    """A month of missed minutes, and one that is due just now."""
    await house.made("hog", cron="* * * * *", due=-30 * 86_400.0, misfire=Misfire.ALL)
    await house.made(due=-0.1)

    await house.firing.look()

    assert await house.runs() == [(RunOutcome.FIRED, "")]
    assert len(await house.runs("hog")) == BATCH // 2


async def test_two_schedulers_share_what_is_due(house: House) -> None:
    """Whoever comes second looks again soon; no due time is handled twice."""
    await house.made(due=-20 * 3_600, misfire=Misfire.ALL, overlap=Overlap.CANCEL)
    other = house.another()

    waits = await asyncio.gather(*(firing.look() for firing in (house.firing, other, other)))

    assert sorted(waits, key=str) == [0.0, SOON, SOON]
    rows = await house.runs()
    assert len(rows) == len({row.due for row in house.shop.said(ScheduleFired)}) >= 20


async def test_what_waits_begins_when_the_run_before_has_ended(house: House) -> None:
    """A bell may be lost: while anything waits it looks each second."""
    await house.made(due=-2 * 3_600, misfire=Misfire.ALL, overlap=Overlap.QUEUE)
    await house.all_looks()
    assert [outcome for outcome, _ in await house.runs()][:2] == [
        RunOutcome.FIRED,
        RunOutcome.WAITING,
    ]
    assert await house.firing.look() == AGAIN

    (lease,) = (await house.shop.claim()).leases
    await house.shop.put(Finish(id=lease.item.id, fence=lease.fence, status=Status.DONE))
    assert await house.firing.look() == 0.0

    assert [outcome for outcome, _ in await house.runs()][:2] == [RunOutcome.FIRED] * 2
    assert await house.firing.look() in (AGAIN, None) or (await house.schedule()).waiting == 0


async def test_the_store_learns_what_the_configuration_declares(house: House) -> None:
    """At the start and after each change; a look in between writes nothing."""
    house.declared = [defined("a"), defined("b")]
    await house.firing.look()
    await house.firing.look()
    house.declared = [defined("a", priority=1), defined("c")]
    await house.firing.look()

    told = house.shop.said(SchedulesDeclared)
    assert [(t.added, t.changed, t.removed) for t in told] == [
        (("a", "b"), (), ()),
        (("c",), ("a",), ("b",)),
    ]
    page = await house.shop.store.schedules(ScheduleQuery())
    assert {(each.definition.name, each.source) for each in page.items} == {
        ("a", Source.CONFIG),
        ("c", Source.CONFIG),
    }
    assert all(each.next_at and each.next_at > house.now() for each in page.items)


async def test_a_schedule_that_cannot_be_read_here_stands_in_nobodys_way(house: House) -> None:
    """Its zone may be known elsewhere; it is told once, and those behind it fire."""
    await house.made("mars", due=-9.0, time_zone="Mars/Olympus")
    await house.made("nightly", due=-1.0)

    assert await house.firing.look() == 0.0
    assert await house.firing.look() == AGAIN
    assert await house.firing.look() == AGAIN

    (told,) = house.shop.said(ScheduleBroken)
    assert (told.schedule, told.reason.split(":")[0]) == ("mars", "timeZone")
    assert await house.runs() == [(RunOutcome.FIRED, "")]
    assert await house.runs("mars") == []


async def test_a_task_that_cannot_be_stored_is_told_and_not_tried_for_ever(house: House) -> None:
    """Whatever an administrator has forbidden: the other schedules go on."""
    await house.made(due=-2.0, type="forbidden")
    await house.made("other", due=-1.0)
    house.shop.sql(
        "CREATE TRIGGER no BEFORE INSERT ON Tasks WHEN new.Type = 'forbidden'"
        " BEGIN SELECT RAISE(ABORT, 'no'); END"
    )

    assert await house.firing.look() == 0.0
    assert await house.firing.look() == AGAIN

    (told,) = house.shop.said(ScheduleBroken)
    assert house.shop.said(SchedulesSeen)[-1].overdue >= 2.0  # until somebody mends it
    assert told.schedule == "nightly"
    assert await house.runs("other") == [(RunOutcome.FIRED, "")]
    assert await house.runs() == []


async def test_trouble_is_waited_out(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that somebody holds: the due time is handled when it is free."""
    await house.made(due=-1.0)
    held = house.shop.locked()
    try:
        assert await house.firing.look() == AGAIN
    finally:
        held.close()
    monkeypatch.setattr(module, "BATCH", 5)

    assert await house.firing.look() == 0.0
    assert await house.runs() == [(RunOutcome.FIRED, "")]


async def test_a_scheduler_fires_each_second(house: House) -> None:
    """The whole actor on the real clock: woken by the due time itself, and by the bell."""
    inbox: Mailbox[Wake] = Mailbox("scheduler", 64)
    outbox: Mailbox[Publish] = Mailbox("publisher", 64)
    shop = house.shop

    def build() -> Scheduler:
        return Scheduler(inbox, shop.store, outbox, house.firing.look, shop.told.append)

    async with running([ChildSpec("scheduler", build, inbox)]):
        await until(lambda: shop.told)  # it has looked, and nothing was due
        now = house.now()
        due = (now.replace(microsecond=0) + timedelta(seconds=1) - now).total_seconds()
        await house.made(due=due, cron="* * * * * *", overlap=Overlap.CANCEL)
        inbox.post(Wake())
        told = await shop.heard(ScheduleFired, 3)

    assert told[2].due - told[1].due == timedelta(seconds=1)
    assert all(one.late >= 0 for one in told)
