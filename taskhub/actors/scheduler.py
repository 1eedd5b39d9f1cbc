"""The `scheduler` actor: rings when a delayed task is due, fires schedules, counts the queues."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from taskhub.kernel.mailbox import MailboxClosed, MailboxFull
from taskhub.messages import PASSING, Publish, Wake
from taskhub.obs.telemetry import Depths, Emit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from taskhub.kernel.actor import Context
    from taskhub.kernel.mailbox import Mailbox
    from taskhub.ports import QueueCount, Store

LOOK = 0.25
"""Least seconds between two looks: bells ring all the time under load, and then nobody waits."""
OVERDUE = 1.0
"""Most seconds between two looks while tasks are due: workers poll as often."""
PATIENCE = 60.0
"""Longest pause in seconds between two bells for tasks that stay due: all workers are busy, or none
knows their type, and each bell is a claim in every worker."""
DEPTHS = 5.0
"""Seconds between two counts of the queues."""


class Scheduler:
    """Holds no timer per task: the next due time is asked of the store, a million cost nothing."""

    def __init__(
        self,
        inbox: Mailbox[Wake],
        store: Store,
        outbox: Mailbox[Publish],
        fire: Callable[[], Awaitable[float | None]],
        emit: Emit,
    ) -> None:
        """Hear of news on `inbox`, ring through `outbox`.

        `fire` handles the schedules that are due and says in how many seconds others will be.
        """
        self._inbox, self._store, self._outbox, self._emit = inbox, store, outbox, emit
        self._fire = fire
        self._now = asyncio.get_running_loop().time
        self._pause, self._ring_at = LOOK, 0.0

    async def run(self, ctx: Context) -> None:
        """Look, wait for the next due time or for news, ring, look again."""
        ctx.ready()
        count_at = self._now()
        while not ctx.stopping.is_set():
            if self._now() >= count_at:
                count_at = self._now() + await self._count()
            wait = await self._look()
            if (due := await self._fire()) is not None:
                wait = min(wait, due)
            if not await ctx.pause(min(LOOK, wait)):
                await self._news(min(wait - LOOK, count_at - self._now()))

    async def _look(self) -> float:
        """Ring when something is due; the seconds until the next look is worth it."""
        due: float | None = None
        with suppress(*PASSING):
            due = await self._store.next_due()
        if due is None or due > 0:
            self._pause, self._ring_at = LOOK, 0.0
            return DEPTHS if due is None else due
        if self._now() >= self._ring_at:
            self._ring()
        return min(OVERDUE, self._ring_at - self._now())

    def _ring(self) -> None:
        """Again at once for what becomes due just after, then more and more seldom."""
        with suppress(MailboxFull, MailboxClosed):
            self._outbox.post(Publish((), frozenset({"work"})))
        self._ring_at = self._now() + self._pause
        self._pause = min(PATIENCE, 2 * self._pause)

    async def _news(self, seconds: float) -> None:
        """Wait for a bell, at most so long."""
        if seconds <= 0:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._inbox.take(1024)

    async def _count(self) -> float:
        """Tell the depths; the seconds until the next count: of a large table more of them."""
        began = self._now()
        with suppress(*PASSING):
            self._emit(depths(await self._store.counts()))
        return max(DEPTHS, 20 * (self._now() - began))


def depths(counts: Sequence[QueueCount]) -> Depths:
    """What the store has counted, as it is told."""
    return Depths(queues=tuple((c.queue, c.status.value, c.count, c.oldest) for c in counts))
