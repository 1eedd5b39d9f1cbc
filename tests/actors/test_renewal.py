"""Renewal: leases live while the loop is blocked, and are given up while they still hold."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest
from taskhub.actors.holdings import Holdings
from taskhub.actors.renewal import Renewal
from taskhub.attempts import Attempt, StopReason
from taskhub.config.sections import Config, WorkSection
from taskhub.errors import StoreDown
from taskhub.kernel.clock import boottime
from taskhub.model import TaskId
from taskhub.ports import Cancel, Renew, Renewed, Sweep, Swept, Takeover
from taskhub.work.attempt import Attempt as Running

from tests.actors.workshop import OTHER, Workshop
from tests.waiting import Signal, until

Heard = tuple[list[Attempt], list[Attempt]]


class Keeping:
    """A renewal over some holdings, and what it tells."""

    def __init__(self, renew: Callable[[Renew], Renewed], lease: float = 1.0) -> None:
        self.holdings, self.lease = Holdings(), lease
        self.heard: Signal[Heard] = Signal()
        self.renewal = Renewal(renew, self.holdings, self._hear, self._settings)

    def _settings(self) -> Config:
        return Config(work=WorkSection(lease=self.lease))

    def _hear(self, lost: Sequence[Attempt], cancel: Sequence[Attempt]) -> None:
        self.heard((list(lost), list(cancel)))

    async def claim(self, shop: Workshop, count: int = 1) -> list[Attempt]:
        """Leases of another worker that this one pretends to be."""
        await shop.create_many(count)
        until_ = boottime() + self.lease
        claimed = await shop.claim(lease=self.lease)
        for lease in claimed.leases:
            self.holdings.take_in(Running(lease, until_))
        return list(self.holdings.attempts.values())

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Its thread runs while the block does."""
        self.renewal.start()
        try:
            yield
        finally:
            await self.renewal.stop()


def ended_leases(shop: Workshop, swept: object) -> list[str]:
    """What a sweep has freed."""
    assert isinstance(swept, Swept)
    return [*swept.requeued, *swept.failed, *swept.cancelled]


async def sweep(shop: Workshop) -> list[str]:
    """What another worker would take at this moment because its lease has ended."""
    who = type(OTHER)("another-boot/worker-2/01")
    (swept,) = await shop.put(Sweep(owner=who, held=(), living=(), lease=1.0))
    return ended_leases(shop, swept)


async def test_leases_are_renewed_while_a_handler_blocks_the_loop(workshop: Workshop) -> None:
    """Long enough that they would have ended without it."""
    renewals, enough = list[float](), threading.Event()

    def renew(write: Renew) -> Renewed:
        renewed = workshop.store.renew(write)
        renewals.append(boottime())
        if renewals[-1] - renewals[0] > keeping.lease:
            enough.set()
        return renewed

    keeping = Keeping(renew)
    (attempt,) = await keeping.claim(workshop)
    async with keeping.open():
        assert enough.wait(20), "the loop stands still here"

        assert attempt.lease_until > boottime()
        assert await sweep(workshop) == []


async def test_a_lease_is_renewed_when_a_third_of_it_is_over_not_each_time_it_is_looked_at(
    workshop: Workshop,
) -> None:
    """A statement per pool and third of a lease."""
    writes: Signal[Renew] = Signal()
    loop = asyncio.get_running_loop()

    def renew(write: Renew) -> Renewed:
        loop.call_soon_threadsafe(writes, write)
        return workshop.store.renew(write)

    keeping = Keeping(renew)
    attempts = await keeping.claim(workshop, 3)
    before = [attempt.lease_until for attempt in attempts]
    async with keeping.open():
        write = await writes.next()
        first = boottime()
        assert sorted(write.held) == sorted((a.id, a.lease.fence) for a in attempts)
        assert first > min(before) - keeping.lease * 2 / 3
        await writes.next()
        assert boottime() - first > keeping.lease / 5


async def test_a_lost_lease_and_a_wish_to_cancel_are_told_by_attempt(workshop: Workshop) -> None:
    """A renewal answers both; a newer lease of the same task is not meant."""
    keeping = Keeping(workshop.store.renew)
    kept, wanted, lost = await keeping.claim(workshop, 3)
    await workshop.put(Cancel(id=wanted.id))
    workshop.sql("UPDATE Tasks SET Fence = 9 WHERE rowid = (SELECT max(rowid) FROM Tasks)")
    async with keeping.open():
        assert await keeping.heard.next() == ([lost], [wanted])

    assert kept.lease_until > boottime()


async def test_a_lease_that_cannot_be_renewed_is_given_up_before_it_ends(
    workshop: Workshop,
) -> None:
    """The store is away: whoever comes after us must find our handler stopped."""

    def renew(write: Renew) -> Renewed:
        raise StoreDown

    keeping = Keeping(renew, lease=1.5)
    (attempt,) = await keeping.claim(workshop)
    async with keeping.open():
        assert await keeping.heard.next() == ([attempt], [])

        assert attempt.lease_until > boottime()


async def test_a_renewal_that_fails_once_is_tried_again_at_once(workshop: Workshop) -> None:
    """One locked moment costs nobody its lease."""
    tries = list[float]()

    def renew(write: Renew) -> Renewed:
        tries.append(boottime())
        if len(tries) == 1:
            raise StoreDown
        return workshop.store.renew(write)

    keeping = Keeping(renew)
    (attempt,) = await keeping.claim(workshop)
    end = attempt.lease_until
    async with keeping.open():
        await until(lambda: attempt.lease_until > end)

    assert tries[1] < end - keeping.lease / 5
    assert not keeping.heard._said


@pytest.mark.parametrize(("before", "after"), [(3_600.0, 1.0), (1.0, 3_600.0)])
async def test_a_reload_may_make_leases_shorter_or_longer(
    workshop: Workshop, before: float, after: float
) -> None:
    """Those of before keep theirs, those of now are renewed in time, nobody is stopped."""
    keeping = Keeping(workshop.store.renew, before)
    await keeping.claim(workshop)
    async with keeping.open():
        keeping.lease = after
        attempts = await keeping.claim(workshop)
        ends = {attempt.id: attempt.lease_until for attempt in attempts}
        short = min(attempts, key=lambda attempt: attempt.lease_until)
        await until(lambda: short.lease_until > ends[short.id])

        assert not keeping.heard._said


def noting(
    shop: Workshop, is_away: threading.Event
) -> tuple[Signal[list[TaskId]], Callable[[Renew], Renewed]]:
    """What was renewed, and what renews; the store is away while the event is set."""
    held: Signal[list[TaskId]] = Signal()
    loop = asyncio.get_running_loop()

    def renew(write: Renew) -> Renewed:
        if is_away.is_set():
            raise StoreDown
        loop.call_soon_threadsafe(held, sorted(task_id for task_id, _ in write.held))
        return shop.store.renew(write)

    return held, renew


async def test_what_the_store_says_is_gone_is_renewed_no_more(workshop: Workshop) -> None:
    """It belongs to another worker now; its handler may still be stopping."""
    held, renew = noting(workshop, threading.Event())
    keeping = Keeping(renew)
    kept, lost = await keeping.claim(workshop, 2)
    workshop.sql("UPDATE Tasks SET Fence = 9 WHERE rowid = (SELECT max(rowid) FROM Tasks)")
    async with keeping.open():
        assert await keeping.heard.next() == ([lost], [])

        assert [await held.next(), await held.next()] == [sorted([kept.id, lost.id]), [kept.id]]


async def test_what_was_given_up_is_renewed_again_while_its_handler_has_not_ended(
    workshop: Workshop,
) -> None:
    """A thread that never looks up goes on: nobody may begin beside it, for as long as we live."""
    is_away = threading.Event()
    is_away.set()
    held, renew = noting(workshop, is_away)
    keeping = Keeping(renew)
    (attempt,) = await keeping.claim(workshop)
    async with keeping.open():
        assert await keeping.heard.next() == ([attempt], [])
        attempt.reason = StopReason.LOST
        is_away.clear()

        assert await held.next() == [attempt.id]
        await until(lambda: attempt.lease_until > boottime())
        assert await sweep(workshop) == []
        assert not keeping.heard._said


async def test_a_bug_in_its_thread_is_told_to_who_watches(workshop: Workshop) -> None:
    """Without it every lease would end in silence: its pool must crash."""

    def renew(write: Renew) -> Renewed:
        raise ZeroDivisionError

    keeping = Keeping(renew)
    await keeping.claim(workshop)
    async with keeping.open():
        with pytest.raises(ZeroDivisionError):
            await keeping.renewal.watch()


async def test_a_stop_waits_for_the_renewal_in_hand(workshop: Workshop) -> None:
    """The store is closed next."""
    begun, go, done = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def renew(write: Renew) -> Renewed:
        loop.call_soon_threadsafe(begun.set)
        go.wait(10)
        done.set()
        return Renewed()

    keeping = Keeping(renew)
    await keeping.claim(workshop)
    async with keeping.open():
        await begun.wait()
        loop.call_soon(go.set)

    assert done.is_set()


async def test_what_was_taken_over_is_lost_for_good(workshop: Workshop) -> None:
    """A renewal never brings a lease back."""
    keeping = Keeping(workshop.store.renew)
    (attempt,) = await keeping.claim(workshop)
    await workshop.put(Takeover(owner=OTHER, started=[]))
    before = msgspec.structs.asdict(await workshop.row(attempt.id))
    async with keeping.open():
        assert await keeping.heard.next() == ([attempt], [])

    assert msgspec.structs.asdict(await workshop.row(attempt.id)) == before
