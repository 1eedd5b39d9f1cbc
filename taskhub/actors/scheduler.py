"""The `scheduler` actor: rings the bell when a delayed task is due, and counts the queues."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from taskhub.kernel.mailbox import MailboxClosed, MailboxFull
from taskhub.messages import PASSING, Publish, Wake
from taskhub.obs.telemetry import Depths, Emit

if TYPE_CHECKING:
    from taskhub.kernel.actor import Context
    from taskhub.kernel.mailbox import Mailbox
    from taskhub.ports import Store

LOOK = 0.25
"""Least seconds between two looks: bells ring all the time under load, and then nobody waits."""
DEPTHS = 5.0
"""Seconds between two counts of the queues."""


class Scheduler:
    """Holds no timer per task: the next due time is asked of the store, a million cost nothing."""

    def __init__(
        self,
        inbox: Mailbox[Wake],
        store: Store,
        outbox: Mailbox[Publish],
        emit: Emit,
    ) -> None:
        """Hear of new tasks on `inbox`, ring through `outbox`."""
        self._inbox, self._store, self._outbox, self._emit = inbox, store, outbox, emit

    async def run(self, ctx: Context) -> None:
        """Look, wait for the next due time or for news, ring, look again."""
        ctx.ready()
        count_at = time.monotonic()
        while not ctx.stopping.is_set():
            if time.monotonic() >= count_at:
                count_at = time.monotonic() + await self._count()
            wait = await self._look()
            if not await ctx.pause(min(LOOK, wait)):
                await self._news(min(wait - LOOK, count_at - time.monotonic()))

    async def _look(self) -> float:
        """Ring if something is due; returns the seconds until the next look is worth it."""
        due: float | None = None
        with suppress(*PASSING):
            due = await self._store.next_due()
        if due is None:
            return DEPTHS
        if due > 0:
            return due
        with suppress(MailboxFull, MailboxClosed):
            self._outbox.post(Publish((), frozenset({"work"})))
        return 1.0

    async def _news(self, seconds: float) -> None:
        if seconds <= 0:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._inbox.take(1024)

    async def _count(self) -> float:
        """Tell the depths; a large table is counted less often."""
        began = time.monotonic()
        with suppress(*PASSING):
            counts = await self._store.counts()
            rows = tuple((c.queue, c.status.value, c.count, c.oldest) for c in counts)
            self._emit(Depths(queues=rows))
        return max(DEPTHS, 20 * (time.monotonic() - began))
