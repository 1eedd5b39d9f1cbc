"""The `pool` actor: claims while slots are free, has handlers run, settles what they end in."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from msgspec import UNSET

from taskhub.actors.declaring import declaration, tell_declared
from taskhub.actors.holdings import BRISK
from taskhub.actors.registering import Registering
from taskhub.actors.renewal import Renewal
from taskhub.actors.running import LAST_WORDS, Lanes, Running
from taskhub.actors.settling import Settler
from taskhub.attempts import StopReason
from taskhub.config.queues import limits_of
from taskhub.kernel.clock import boottime
from taskhub.kernel.mailbox import MailboxClosed, MailboxFull
from taskhub.kernel.supervisor import first_of
from taskhub.messages import PASSING, Put, Stop, Wake
from taskhub.policy import result_until
from taskhub.ports import Claim, Claimed
from taskhub.schedules.schedule import Source
from taskhub.telling import DELIVERY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskhub.actors.holdings import Holdings, Settled
    from taskhub.attempts import Attempt, Ledger
    from taskhub.config.sections import Config
    from taskhub.kernel.actor import Context
    from taskhub.kernel.mailbox import Mailbox
    from taskhub.model import Owner, TypeInfo
    from taskhub.obs.telemetry import Emit
    from taskhub.ports import Progress, Renew, Renewed, Result, Write
    from taskhub.schedules.schedule import Definition

__all__ = ["Lanes", "Pool", "PoolParts"]

POLL = 1.0
"""Seconds between two looks of an idle pool that no bell wakes."""
STALL = 1.0
"""Seconds: when no slot came free for so long, what waits here is given back for others."""


def _unheard(_began: float, _room: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class PoolParts:
    """Everything a pool works with, put together where its process is composed."""

    inbox: Mailbox[Wake | Stop]
    store_box: Mailbox[Put]
    renew: Callable[[Renew], Renewed]
    types: Sequence[TypeInfo]
    schedules: Mapping[str, Sequence[Definition]]
    """What the modules of its handlers declare, by module."""
    lanes: Callable[[Pool], Lanes]
    """Made anew for each life of the pool; its `on_progress` is told of progress."""
    ledger: Ledger
    owner: Owner
    settings: Callable[[], Config]
    emit: Emit
    retire: Callable[[], None]
    """Called when a handler will not stop and all else is settled: replace this process."""
    holdings: Holdings
    opening: asyncio.Event
    """Set when the whole process is ready: a handler that kills it sooner would look like a start
    that fails."""
    looked: Callable[[float, int], None] = _unheard
    """Called when a claim was answered, with the loop's time when it was sent and how many more
    tasks there is room for; 0 when there will be no more claims."""


class Pool:
    """Claims by free slots; a few ahead while tasks are brisk, so that a crash strands little."""

    def __init__(self, parts: PoolParts) -> None:
        """Fresh state, except for the holdings: this process's leases outlive a crash of ours."""
        self._parts, self._held = parts, parts.holdings
        self._nudge = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._hungry, self._suspects_came = True, False
        self._bounded = False
        self._moved = self._claimed = self._loop.time()
        self._names = tuple(info.name for info in parts.types)
        known = [info for info in parts.types if info.name != DELIVERY]  # ours to make
        self._registering = Registering(known, parts.store_box)
        self._keep = {info.name: info.defaults.keep_result_seconds for info in parts.types}
        self._settler = Settler(
            self._held, parts.store_box, self._forget, parts.emit, self._result_until
        )
        self._renewal = Renewal(parts.renew, self._held, self._on_renewed, parts.settings)
        lanes = parts.lanes(self)
        self._attempt = lanes.attempt
        self._running = Running(lanes, self._held, parts.ledger, parts.emit, self._on_end)

    async def run(self, ctx: Context) -> None:
        """Make the types known, work until stopped, drain."""
        try:
            self._renewal.start()
            await self._register(ctx)
            ctx.ready()
            await self._work(ctx)
            await self._go(ctx)
        except asyncio.CancelledError:  # there is no time left, and that is no task's fault
            self._running.excuse(self._held.attempts.values())
            raise
        except Exception:  # a bug: what is held outlives us, and our successor goes on with it
            await self._running.stop_all()
            raise
        finally:
            await self._running.close()
            await self._renewal.stop()

    async def _register(self, ctx: Context) -> None:
        declared = self._parts.schedules.items()
        writes = [declaration(Source.CODE, place, mine) for place, mine in declared]
        results = await self._registering.register(ctx, *writes)
        for write, result in zip(writes, results, strict=False):  # none: it is to stop
            tell_declared(self._parts.emit, write, result)

    async def _work(self, ctx: Context) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._settler.run(), name="settler")
            listener = group.create_task(self._listen(), name="listener")
            watcher = group.create_task(self._renewal.watch(), name="watcher")
            saying = group.create_task(self._registering.keep_saying(), name="saying")
            await first_of(ctx.stopping, self._parts.opening)
            await self._claim_until(ctx)
            await self._drain()
            self._settler.leave()
            listener.cancel()
            watcher.cancel()
            saying.cancel()

    # ---- hearing ------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while messages := await self._parts.inbox.take(256):
            for message in messages:
                if isinstance(message, Stop):
                    held = map(self._held.attempts.get, message.ids)
                    self._running.stop([a for a in held if a], StopReason(message.reason))
            self._hungry = True  # also after a Stop: while it lay there no bell was added
            self._nudge.set()

    def _on_renewed(self, lost: Sequence[Attempt], cancel: Sequence[Attempt]) -> None:
        self._running.stop(lost, StopReason.LOST)
        self._running.stop(cancel, StopReason.CANCEL)

    def _on_end(self) -> None:
        self._moved = self._loop.time()
        self._settler.wake()
        if self._suspects_wait() or self._bounded:  # what has ended may have made room
            self._hungry = True
            self._nudge.set()
        if self._nudge.is_set():
            return
        if self._held.left_behind or (self._hungry and self._held.room(self._running.size) > 0):
            self._nudge.set()

    def _suspects_wait(self) -> bool:
        """Whether the suspects' slot is free and the last look found one: there may be more."""
        return self._suspects_came and self._held.suspect is None

    def _forget(self, row: Settled) -> None:
        """The store has settled it: from now on a crash of ours blames nobody for it."""
        if self._held.forget(row.attempt):
            self._parts.ledger.end(row.attempt.id)

    def _result_until(self, kind: str) -> datetime | None:
        days = self._parts.settings().retention.results_days
        return result_until(self._keep.get(kind, UNSET), days, datetime.now(UTC))

    def on_progress(self, reports: Sequence[Progress]) -> None:
        """Keep what handlers report."""
        with suppress(MailboxFull, MailboxClosed):  # the next report says more anyway
            self._parts.store_box.post(Put(*reports))

    # ---- claiming -----------------------------------------------------------------------------

    async def _claim_until(self, ctx: Context) -> None:
        """Claim whenever there is room and a reason; leave when stopped or left with a handler
        that does not end.
        """
        stopper = asyncio.ensure_future(ctx.stopping.wait())
        stopper.add_done_callback(self._on_stopping)
        try:
            while not (ctx.stopping.is_set() or self._held.left_behind):
                self._nudge.clear()
                self._running.resize(self._parts.settings().work.concurrency)
                await self._running.fill()
                await self._claim_or_rest()
        finally:
            stopper.cancel()

    def _on_stopping(self, _: object) -> None:
        self._running.is_open = False
        self._parts.looked(float("-inf"), 0)
        self._nudge.set()

    async def _claim_or_rest(self) -> None:
        room, now = self._held.room(self._running.size), self._loop.time()
        if self._held.waiting and now - self._moved > STALL:
            self._held.average = BRISK  # they are brisk no more: claim by free slots
            self._held.hand_back_waiting()
            self._settler.wake()
        elif self._hungry and room > 0:
            await self._settler.company()
            if self._running.is_open and (room := self._held.room(self._running.size)) > 0:
                await self._claim(room)
        elif self._suspects_wait() or (
            self._hungry and self._held.suspect is None and now - self._claimed > POLL
        ):
            await self._claim(0)  # the suspects' slot is free, whatever the others are at
        else:
            await self._rest()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(POLL * random.uniform(1.0, 1.2)):  # noqa: S311 - only spreads load
                await self._nudge.wait()
        except TimeoutError:
            self._hungry = True

    async def _claim(self, room: int) -> None:
        """Ask for as many tasks as there is room for, and for a suspect while there is none."""
        lease = self._parts.settings().work.lease
        wishes: list[Write] = [self._wish(room, lease, suspects=False)] if room else []
        if self._held.suspect is None:
            wishes.append(self._wish(1, lease, suspects=True))
            self._suspects_came = False
        self._claimed, self._hungry = self._loop.time(), not room
        until = boottime() + lease  # read before it is sent, so we err on the safe side
        with suppress(*PASSING):
            reply = Put(*wishes).sent_to(self._parts.store_box)
            reply.add_done_callback(partial(self._take_in, room, self._claimed, until))
            await asyncio.wait({reply})  # not itself: should we die here, the leases are kept

    def _wish(self, limit: int, lease: float, *, suspects: bool) -> Claim:
        return Claim(
            owner=self._parts.owner,
            limit=limit,
            lease=lease,
            types=self._names,
            queues=self._parts.settings().work.queues,
            suspects=suspects,
            limits=limits_of(self._parts.settings().work),
        )

    def _take_in(
        self, room: int, asked: float, until: float, reply: asyncio.Future[Sequence[Result]]
    ) -> None:
        if reply.cancelled() or reply.exception() is not None:
            return  # trouble: the next poll asks again
        results = [result for result in reply.result() if isinstance(result, Claimed)]
        self._bounded = any(result.is_bounded for result in results)
        claimed = [result.leases for result in results]
        for leases in claimed:
            for lease in leases:
                self._held.take_in(self._attempt(lease, until))
                self._suspects_came = self._suspects_came or lease.suspect
        count = sum(map(len, claimed))
        if count:
            self._moved = self._loop.time()
            self._hungry = self._hungry or count >= room or self._held.suspect is not None
        if room and self._running.is_open:
            self._parts.looked(asked, self._held.room(self._running.size))

    # ---- leaving ------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """No more claims; what waits goes back unharmed, what runs may end within the grace."""
        self._running.is_open = False
        grace = self._parts.settings().supervisor.grace
        if self._held.hand_back_waiting():
            self._settler.wake()
        await self._running.until_idle(max(grace / 2, grace - LAST_WORDS - 1.0))
        await self._running.stop_all()

    async def _go(self, ctx: Context) -> None:
        """With a handler that will not end, the process must."""
        if self._held.left_behind and not ctx.stopping.is_set():
            self._parts.retire()
            await ctx.stopping.wait()
