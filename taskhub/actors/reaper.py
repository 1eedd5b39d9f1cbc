"""The `reaper` actor: each second it frees the leases of dead owners, and those run out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskhub.kernel.clock import boottime
from taskhub.kernel.mailbox import MailboxClosed, MailboxFull
from taskhub.messages import PASSING, Put, Stop, Wake
from taskhub.model import Owner, Status, TaskId
from taskhub.obs.telemetry import Emit, LeasesTaken, TaskTaken
from taskhub.ports import Sweep, Swept, Takeover

if TYPE_CHECKING:
    from taskhub.kernel.actor import Context
    from taskhub.kernel.mailbox import Mailbox
    from taskhub.ports import Store

EVERY = 1.0
"""Seconds between two sweeps: with the locks of dead owners this bounds a takeover on one host."""
REST = 0.1
"""Least seconds between two sweeps: many cancels at once are one look."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What locks and ledgers tell of the other owners on this host."""

    probe: Callable[[Owner], str]
    """held | free | unknown"""
    started: Callable[[Owner], Sequence[TaskId] | None]
    """The tasks that a dead owner had started; None: its ledger is not there."""
    forget: Callable[[Owner], None]
    """Take the lock and the ledger of a dead owner away, after its takeover."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who sweeps: our own incarnation, what it holds now, how long leases are, whom to tell."""

    owner: Owner
    held: Callable[[], Sequence[TaskId]]
    lease: Callable[[], float]
    pool: Mailbox[Wake | Stop] | None


class Reaper:
    """Sweeps in its own time, and at once when somebody asks for a cancel."""

    def __init__(
        self,
        inbox: Mailbox[Wake],
        store: tuple[Mailbox[Put], Store],
        holder: Holder,
        neighbours: Neighbours,
        emit: Emit,
    ) -> None:
        """Write through the mailbox of `store`, read from the store itself."""
        self._inbox, self._holder, self._neighbours, self._emit = inbox, holder, neighbours, emit
        self._box, self._store = store
        self._swept_at, self._spared_until, self._gap = boottime(), 0.0, 0.0

    async def run(self, ctx: Context) -> None:
        """Sweep until stopped; one that trouble prevents is made up by the next."""
        ctx.ready()
        while not ctx.stopping.is_set():
            with suppress(*PASSING):
                await self.sweep()
            if not await ctx.pause(REST):
                await self._news()

    async def _news(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(EVERY - REST):
                await self._inbox.take(64)

    async def sweep(self) -> None:
        """One look at all owners: take over from the dead, then free what has expired."""
        owners = [owner for owner in await self._store.owners() if owner != self._holder.owner]
        states = {owner: self._neighbours.probe(owner) for owner in owners}
        for owner in owners:
            if states[owner] == "free":
                await self._take_over(owner)
        living = [owner for owner in owners if states[owner] == "held"]
        await self._free_expired(living)

    async def _take_over(self, owner: Owner) -> None:
        write = Takeover(owner=owner, started=self._neighbours.started(owner))
        swept = (await Put(write).sent_to(self._box))[0]
        if isinstance(swept, Swept):  # else its ledger is still needed
            self._neighbours.forget(owner)
        self._tell(swept, owner)

    async def _free_expired(self, living: Sequence[Owner]) -> None:
        holder, now = self._holder, boottime()
        lease = self._patience(now)
        write = Sweep(owner=holder.owner, held=holder.held(), living=living, lease=lease)
        swept = (await Put(write).sent_to(self._box))[0]
        self._swept_at = now  # a sleep of the machine in the midst of a sweep counts as well
        self._tell(swept, "")
        if isinstance(swept, Swept) and swept.cancel and holder.pool is not None:
            with suppress(MailboxFull, MailboxClosed):
                holder.pool.post(Stop(swept.cancel, "cancel"))

    def _patience(self, now: float) -> float:
        """What counts as a lease of the living: more after a time without sweeps.

        This machine slept, or the database was locked: nobody could renew either. So for one lease
        the living get back what they have missed, lest we take from them before they renew.
        """
        lease = self._holder.lease()
        if now - self._swept_at > lease:
            self._spared_until, self._gap = now + lease, now - self._swept_at
        return lease + self._gap if now < self._spared_until else lease

    def _tell(self, swept: object, owner: str) -> None:
        if isinstance(swept, Swept):
            tell(self._emit, swept, owner)


def tell(emit: Emit, swept: Swept, owner: str) -> None:
    """Say whose leases were freed ("": they had run out), and what became of each task."""
    moved = {
        Status.PENDING: swept.requeued,
        Status.FAILED: swept.failed,
        Status.CANCELLED: swept.cancelled,
    }
    requeued, failed, cancelled = map(len, moved.values())
    if requeued or failed or cancelled:
        emit(LeasesTaken(owner=owner, requeued=requeued, failed=failed, cancelled=cancelled))
    for status, ids in moved.items():
        for id_ in ids:
            emit(TaskTaken(task_id=id_, status=status))
