"""Outcomes on their way to the store, and who goes along with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from taskhub.actors.holdings import Holdings
from taskhub.actors.settling import Settler
from taskhub.audit import Audit
from taskhub.errors import StoreLocked
from taskhub.kernel.mailbox import Mailbox
from taskhub.messages import Put
from taskhub.model import Lease, Status
from taskhub.ports import Finish, Finished
from taskhub.work.attempt import Attempt

from tests.actors.workshop import task
from tests.waiting import turns

DONE = [Finished(Status.DONE)]
OURS = Audit(message="along with it", actor="test")


class Office:
    """A settler before a store that answers when the test says so."""

    def __init__(self) -> None:
        self.box: Mailbox[Put] = Mailbox("store", 16)
        self.held = Holdings()
        self.ends: dict[str, datetime] = {}
        self.settler = Settler(self.held, self.box, lambda _: None, lambda _: None, self.ends.get)

    def end_one(self, result: bytes | None = None) -> None:
        """An attempt ends well."""
        attempt = Attempt(Lease(item=task(), fence=1))
        self.held.end(attempt, Finish(id=attempt.id, fence=1, status=Status.DONE, result=result))
        self.settler.wake()

    async def go_along(self) -> None:
        """Ask the store for something of our own, in the settler's company."""
        await self.settler.company()
        self.box.post(Put(OURS))


@asynccontextmanager
async def at_work(office: Office) -> AsyncIterator[None]:
    """The settler runs; at the end nothing may be left to settle."""
    running = asyncio.create_task(office.settler.run())
    yield
    office.settler.leave()
    async with asyncio.timeout(5):
        await running


@pytest.fixture
def office() -> Office:
    """Nothing has ended yet."""
    return Office()


async def test_with_no_outcome_on_its_way_nobody_waits(office: Office) -> None:
    """An idle pool claims at once: its latency is a task's."""
    async with at_work(office), asyncio.timeout(5):
        await office.go_along()
        assert [put.writes for put in await office.box.take(16)] == [(OURS,)]


async def test_who_comes_while_outcomes_are_written_goes_with_the_next_ones(office: Office) -> None:
    """Else claims and outcomes take turns for ever, each alone in its commit: twice as many."""
    async with at_work(office), asyncio.timeout(5):
        office.end_one()
        (first,) = await office.box.take(16)
        going = asyncio.create_task(office.go_along())
        office.end_one()
        await turns()
        assert not office.box
        first.answer(DONE)

        outcome, ours = await office.box.take(16)

        assert isinstance(outcome.writes[0], Finish)
        assert ours.writes == (OURS,)
        outcome.answer(DONE)
        await going


async def test_who_comes_at_the_moment_of_departure_is_not_left_behind(office: Office) -> None:
    """What ends a task wakes both, and the settler may be the first to have its turn."""
    async with at_work(office), asyncio.timeout(5):
        await office.settler.company()
        office.end_one()
        going = asyncio.create_task(office.go_along())

        outcome, ours = await office.box.take(16)

        assert isinstance(outcome.writes[0], Finish)
        assert ours.writes == (OURS,)
        outcome.answer(DONE)
        await going


async def test_trouble_of_the_store_holds_nobody_up(office: Office) -> None:
    """Outcomes wait for it as long as it takes; whoever goes along finds out by himself."""
    async with at_work(office), asyncio.timeout(10):
        office.end_one()
        (first,) = await office.box.take(16)
        going = asyncio.create_task(office.go_along())
        first.fail(StoreLocked())
        await going
        tries = await office.box.take(16)
        while not isinstance(tries[-1].writes[0], Finish):
            tries += await office.box.take(16)
        assert [put.writes for put in tries[:-1]] == [(OURS,)]
        tries[-1].answer(DONE)


async def test_a_settler_that_has_left_holds_nobody_up(office: Office) -> None:
    """Its pool is about to end, and must not hang."""
    async with at_work(office):
        pass
    async with asyncio.timeout(5):
        await office.go_along()


async def test_a_result_is_written_with_its_end_where_its_type_has_one(office: Office) -> None:
    """What has no result, or no end, is written as it came."""
    end = datetime(2030, 1, 1, tzinfo=UTC)
    async with at_work(office):
        written = []
        for ends, result in (({}, b"1"), ({"job": end}, b"2"), ({"job": end}, None)):
            office.ends.clear()
            office.ends.update(ends)
            office.end_one(result)
            (put,) = await office.box.take(1)
            (write,) = put.writes
            assert isinstance(write, Finish)
            written.append((write.result, write.result_until))
            put.reply.set_result(DONE)

    assert written == [(b"1", None), (b"2", end), (None, None)]
