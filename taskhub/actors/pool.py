"""The `pool` actor: claims while slots are free, runs the handlers, settles what they end in."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiojobs

from taskhub.actors.renewal import Renewal
from taskhub.actors.settling import Settler
from taskhub.attempts import StopReason, Stubborn
from taskhub.kernel.clock import boottime
from taskhub.kernel.mailbox import MailboxClosed, MailboxFull
from taskhub.messages import PASSING, Put, Stop, Wake
from taskhub.obs.telemetry import LeaseLost, TaskStarted
from taskhub.ports import Claim, Claimed, Register

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from taskhub.actors.holdings import Holdings, Settled
    from taskhub.attempts import Attempt, Ended, Ledger, Runner
    from taskhub.config.sections import Config
    from taskhub.kernel.actor import Context
    from taskhub.kernel.mailbox import Mailbox
    from taskhub.model import Lease, Owner, TaskId, TypeInfo
    from taskhub.obs.telemetry import Emit
    from taskhub.ports import Progress, Renew, Renewed, Write

POLL = 1.0
"""Seconds between two looks of an idle pool that no bell wakes."""
LAST_WORDS = 5.0
"""Seconds kept back from the grace time for stopping handlers and settling what they leave."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """What runs attempts: `main` in this process, `suspects` one at a time in a child."""

    main: Runner[Any]
    suspects: Runner[Any]
    attempt: Callable[[Lease, float], Attempt]
    """Makes what they run of a lease and the time when it ends."""
    resize: Callable[[int], None]
    """Called when the concurrency has changed."""
    close: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class PoolParts:
    """Everything a pool works with, put together where its process is composed."""

    inbox: Mailbox[Wake | Stop]
    store_box: Mailbox[Put]
    renew: Callable[[Renew], Renewed]
    types: Sequence[TypeInfo]
    lanes: Callable[[Pool], Lanes]
    """Made anew for each life of the pool; its `on_progress` is told of progress."""
    ledger: Ledger
    owner: Owner
    settings: Callable[[], Config]
    emit: Emit
    retire: Callable[[], None]
    """Called when a handler will not stop and all else is settled: replace this process."""
    holdings: Holdings


class Pool:
    """Claims by free slots; a few ahead while tasks are brisk, so that a crash strands little."""

    def __init__(self, parts: PoolParts) -> None:
        """Fresh state, except for the holdings: the reaper reads them too."""
        self._parts, self._held = parts, parts.holdings
        self._jobs = aiojobs.Scheduler(limit=None, close_timeout=LAST_WORDS)
        self._settler = Settler(self._held, parts.store_box, self._forget, parts.emit)
        self._renewal = Renewal(parts.renew, self._held, self._on_renewed, parts.settings)
        self._nudge = asyncio.Event()
        self._hungry, self._retiring = True, False
        self._size = parts.settings().work.concurrency
        self._names = tuple(info.name for info in parts.types)
        self._lanes = parts.lanes(self)

    async def run(self, ctx: Context) -> None:
        """Make the types known, work until stopped, drain."""
        await self._register(ctx)
        ctx.ready()
        self._renewal.start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._settler.run(), name="settler")
                listener = group.create_task(self._listen(), name="listener")
                await self._claim_until(ctx)
                await self._drain()
                self._settler.leave()
                listener.cancel()
            await self._go(ctx)
        finally:
            self._renewal.stop()
            await self._jobs.close()
            await self._lanes.close()

    async def _register(self, ctx: Context) -> None:
        write = Register(types=self._parts.types)
        while not ctx.stopping.is_set():
            with suppress(*PASSING):
                await Put(write).sent_to(self._parts.store_box)
                return
            await ctx.pause(0.2)

    # ---- hearing ------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while messages := await self._parts.inbox.take(256):
            for message in messages:
                if isinstance(message, Stop):
                    self._stop(message.ids, StopReason(message.reason))
                else:
                    self._hungry = True
            self._nudge.set()

    def _on_renewed(self, lost: Sequence[TaskId], cancel: Sequence[TaskId]) -> None:
        self._stop(lost, StopReason.LOST)
        self._stop(cancel, StopReason.CANCEL)

    def _stop(self, ids: Sequence[TaskId], reason: StopReason) -> None:
        for task_id in ids:
            attempt = self._held.attempts.get(task_id)
            if attempt is None or attempt.reason is reason:
                continue
            if reason is StopReason.LOST:
                self._parts.emit(LeaseLost(task_id=task_id))
            self._stop_one(attempt, reason)

    def _stop_one(self, attempt: Attempt, reason: StopReason) -> None:
        self._lane(attempt.lease).stop(attempt, reason)

    def _lane(self, lease: Lease) -> Runner[Any]:
        return self._lanes.suspects if lease.suspect else self._lanes.main

    # ---- claiming -----------------------------------------------------------------------------

    async def _claim_until(self, ctx: Context) -> None:
        """Claim whenever there is room and a reason; leave when stopped or retiring."""
        stopper = asyncio.ensure_future(ctx.stopping.wait())
        stopper.add_done_callback(lambda _: self._nudge.set())
        try:
            while not (ctx.stopping.is_set() or self._retiring):
                self._nudge.clear()
                room = self._room()
                if self._hungry and room > 0:
                    await self._claim(room)
                else:
                    await self._rest()
        finally:
            stopper.cancel()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(POLL * random.uniform(0.8, 1.0)):  # noqa: S311 - only spreads load
                await self._nudge.wait()
        except TimeoutError:
            self._hungry = True

    def _room(self) -> int:
        size = self._parts.settings().work.concurrency
        if size != self._size:
            self._size = size
            self._lanes.resize(size)
        return self._held.room(size)

    async def _claim(self, room: int) -> None:
        began = boottime()
        writes: list[Write] = [self._wish(room, suspects=False)]
        if self._held.suspect is None:
            writes.append(self._wish(1, suspects=True))
        self._hungry = False
        try:
            results = await Put(*writes).sent_to(self._parts.store_box)
        except PASSING:
            await asyncio.sleep(0.1)
            return
        leases = [result.leases if isinstance(result, Claimed) else () for result in results]
        if len(leases[0]) >= room or any(leases[1:]):
            self._hungry = True
        for lease in (lease for claimed in leases for lease in claimed):
            self._take_in(lease, began)
        await self._fill()

    def _wish(self, limit: int, *, suspects: bool) -> Claim:
        work = self._parts.settings().work
        return Claim(
            owner=self._parts.owner,
            limit=limit,
            lease=work.lease,
            types=self._names,
            queues=work.queues,
            suspects=suspects,
        )

    def _take_in(self, lease: Lease, began: float) -> None:
        """`began` was read before the claim was sent, so our own deadline errs on the safe side."""
        until = began + self._parts.settings().work.lease
        attempt = self._lanes.attempt(lease, until)
        self._held.attempts[attempt.id] = attempt
        if lease.suspect:
            self._held.suspect = attempt.id
            self._held.waiting.appendleft(attempt)
        else:
            self._held.waiting.append(attempt)

    # ---- running ------------------------------------------------------------------------------

    async def _fill(self) -> None:
        """Start what waits while slots are free; the suspect has a slot of its own."""
        held = self._held
        while held.waiting and (len(held.running) < self._size or held.waiting[0].lease.suspect):
            attempt = held.waiting.popleft()
            held.running.add(attempt.id)
            self._parts.ledger.start(attempt.id)
            await self._jobs.spawn(self._run(attempt))

    async def _run(self, attempt: Attempt) -> None:
        item = attempt.lease.item
        waited = max(0.0, time.time() - item.run_at.timestamp())
        self._parts.emit(
            TaskStarted(
                task_id=item.id,
                type=item.type,
                queue=item.queue,
                attempt=item.attempts,
                waited=waited,
            )
        )
        self._note_end(attempt, await self._lane(attempt.lease).run(attempt))
        if not self._retiring:
            await self._fill()

    def _note_end(self, attempt: Attempt, ended: Ended) -> None:
        if isinstance(ended, Stubborn):
            self._leave_behind(attempt, ended.reason)
        else:
            self._held.end(attempt, ended)
            self._settler.wake()
        if not self._held.running or (self._hungry and self._held.room(self._size) > 0):
            self._nudge.set()

    def _forget(self, row: Settled) -> None:
        """The store has settled it: from now on a crash of ours blames nobody for it."""
        self._held.attempts.pop(row.attempt.id, None)
        self._parts.ledger.end(row.attempt.id)

    def on_progress(self, reports: Sequence[Progress]) -> None:
        """Keep what handlers report."""
        with suppress(MailboxFull, MailboxClosed):  # the next report says more anyway
            self._parts.store_box.post(Put(*reports))

    # ---- leaving ------------------------------------------------------------------------------

    def _leave_behind(self, attempt: Attempt, reason: StopReason) -> None:
        """Its lease is kept until this process is gone, so that it never runs twice at once:
        the others are handed back or end, and the process is replaced.
        """
        self._retiring = True
        self._nudge.set()
        self._held.leave_slot(attempt)
        if reason is StopReason.DRAIN:  # not its fault: who takes over gives the attempt back
            self._parts.ledger.end(attempt.id)

    async def _drain(self) -> None:
        """No more claims; what waits goes back unharmed, what runs may end within the grace."""
        grace = self._parts.settings().supervisor.grace
        if self._held.hand_back_waiting():
            self._settler.wake()
        await self._until_idle(max(0.0, grace - 2 * LAST_WORDS))
        for task_id in tuple(self._held.running):
            self._stop_one(self._held.attempts[task_id], StopReason.DRAIN)
        await self._until_idle(LAST_WORDS + 1.0)

    async def _go(self, ctx: Context) -> None:
        """With a handler that will not end, the process must."""
        if self._retiring and not ctx.stopping.is_set():
            self._parts.retire()
            await ctx.stopping.wait()

    async def _until_idle(self, seconds: float) -> None:
        """Wait until nothing runs, at most so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._held.running:
                    self._nudge.clear()
                    await self._nudge.wait()
