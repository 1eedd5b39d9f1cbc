"""The `webhooks` actor: makes a task for each event that a webhook is told; it calls nobody."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

import msgspec
from uuid_utils import uuid7

from taskhub.messages import PASSING, Put
from taskhub.model import TITLE_LIMIT, Status, TaskId, TaskItem
from taskhub.obs.telemetry import Complained, Emit, EventsForwarded, WebhookFellBehind, WebhookSeen
from taskhub.ports import EventPage, EventQuery, Forward, Refused, Result, Touched
from taskhub.telling import (
    DELIVERY,
    DELIVERY_ATTEMPTS,
    DELIVERY_QUEUE,
    DELIVERY_TIMEOUT,
    Delivery,
    told,
)

if TYPE_CHECKING:
    from taskhub.config.sections import Config, WebhookSection
    from taskhub.kernel.actor import Context
    from taskhub.kernel.mailbox import Mailbox
    from taskhub.messages import Wake
    from taskhub.model import PastEvent
    from taskhub.ports import Store

POLL = 1.0
"""Seconds without a bell before the next look: bells may be lost."""
PACE = 0.05
"""Seconds between two looks: what happens meanwhile is forwarded in one commit."""
YIELD = (1.0, 2.0)
"""Seconds that the loser of a race leaves the work to the winner."""
PAGE = 100
"""Events in one look: as many tasks, for each webhook, may be made in one commit."""
FLUSH = 500
"""Events that concern a webhook not at all, after which its cursor is moved nevertheless."""

_encode = msgspec.json.Encoder().encode


class Round(Enum):
    """What one look at the events came to."""

    QUIET = "nothing is left to do"
    MORE = "there are more events"
    LOST = "another process was first"


@dataclass(slots=True)
class Follower:
    """One webhook: up to which event its deliveries are on disk, and up to which none was due."""

    stored: int
    position: int


class Webhooks:
    """May run in any number of processes: the cursors say who was first, nothing is made twice."""

    def __init__(
        self,
        inbox: Mailbox[Wake],
        store_box: Mailbox[Put],
        store: Store,
        settings: Callable[[], Config],
        emit: Emit,
    ) -> None:
        """Hear the bell on `inbox`, write through `store_box`, read from `store`."""
        self._inbox, self._store_box, self._store = inbox, store_box, store
        self._settings, self._emit = settings, emit
        self._followers: dict[str, Follower] = {}

    async def run(self, ctx: Context) -> None:
        """Look, forward, wait for news; without webhooks only now and then at the configuration."""
        ctx.ready()
        while not ctx.stopping.is_set():
            came_to = Round.LOST
            with suppress(*PASSING):  # trouble around us: as if another process had the turn
                came_to = await self._round()
            if came_to is Round.LOST:
                await ctx.pause(random.uniform(*YIELD))  # noqa: S311 - jitter is no key
                continue
            await ctx.pause(PACE)
            if came_to is Round.QUIET:
                await self._news()

    async def _news(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL):
                await self._inbox.take(1024)

    async def _round(self) -> Round:
        """One page of events for every webhook, wherever it is."""
        hooks = self._settings().outbound.webhooks
        for gone in self._followers.keys() - hooks.keys():
            self._emit(WebhookSeen(webhook=gone, lag=0.0))
        self._followers = {name: at for name, at in self._followers.items() if name in hooks}
        came_to = {await self._begin(name) for name in hooks if name not in self._followers}
        for position in sorted({follower.position for follower in self._followers.values()}):
            page = await self._store.events(EventQuery(after=position, limit=PAGE))
            here = {n: hooks[n] for n, at in self._followers.items() if at.position == position}
            came_to.add(await self._forward(here, page))
        return next((each for each in (Round.LOST, Round.MORE) if each in came_to), Round.QUIET)

    async def _begin(self, name: str) -> Round:
        """Find the cursor of a webhook; a new one begins with what happens from now on."""
        at = (await self._store.forwarded()).get(name)
        if at is None:
            at = (await self._store.events(EventQuery(limit=0))).newest
            (result,) = await self._put(Forward(webhook=name, after=None, through=at))
            if not isinstance(result, Touched):
                return Round.LOST
        self._followers[name] = Follower(at, at)
        return Round.QUIET

    async def _forward(self, hooks: Mapping[str, WebhookSection], page: EventPage) -> Round:
        """Make the deliveries of these webhooks, which have all come to the same event."""
        writes = [write for name, hook in hooks.items() if (write := self._write(name, hook, page))]
        results = await self._put(*writes) if writes else ()
        stored = [self._is_stored(*pair) for pair in zip(writes, results, strict=True)]
        if not all(stored):
            return Round.LOST
        return Round.MORE if len(page.items) == PAGE else Round.QUIET

    def _write(self, name: str, hook: WebhookSection, page: EventPage) -> Forward | None:
        """What is to be stored; of a page that concerns the webhook not at all, mostly nothing."""
        at = self._followers[name]
        if page.items and page.oldest - 1 > at.position:
            missed = page.oldest - 1 - at.position
            self._emit(WebhookFellBehind(webhook=name, events=missed))
        through = page.items[-1].seq if page.items else min(at.position, page.newest)
        wanted = [event for event in page.items if wants(hook, event)]
        self._emit(WebhookSeen(webhook=name, lag=_age(wanted)))
        items = tuple(delivery(name, event) for event in wanted)
        if items or not at.stored <= through < at.stored + FLUSH:
            return Forward(webhook=name, after=at.stored, through=through, items=items)
        at.position = through
        return None

    def _is_stored(self, write: Forward, result: Result) -> bool:
        """Whether the cursor has moved; else it is looked up anew."""
        if isinstance(result, Touched):
            self._followers[write.webhook] = Follower(write.through, write.through)
            self._emit(EventsForwarded(webhook=write.webhook, count=result.count))
            self._emit(WebhookSeen(webhook=write.webhook, lag=0.0))
            return True
        if isinstance(result, Refused):
            text = f"webhook {write.webhook}: its deliveries cannot be stored: {result.reason}"
            self._emit(Complained(text=text))
        self._followers.pop(write.webhook, None)
        return False

    async def _put(self, *writes: Forward) -> Sequence[Result]:
        return await Put(*writes).sent_to(self._store_box)


def wants(hook: WebhookSection, event: PastEvent) -> bool:
    """Whether a webhook is told of an event; never of a delivery, or there would be no end."""
    if event.kind is None or event.kind == DELIVERY:  # None: its task was deleted meanwhile
        return False
    return (
        event.type in hook.events
        and (not hook.queues or event.queue in hook.queues)
        and (not hook.types or any(_is_like(event.kind, wanted) for wanted in hook.types))
    )


def _age(events: Sequence[PastEvent]) -> float:
    """Seconds since the first of them; 0 when there is none, or clocks differ."""
    return max(0.0, (datetime.now(UTC) - events[0].at).total_seconds()) if events else 0.0


def delivery(webhook: str, event: PastEvent) -> TaskItem:
    """The task that brings an event to a webhook; the webhook's address is looked up by its name
    when it runs, so that a new one is heeded.
    """
    now = datetime.now(UTC)
    return TaskItem(
        id=TaskId(str(uuid7())),
        title=f"{event.type} to {webhook}: {event.title}"[:TITLE_LIMIT],
        type=DELIVERY,
        queue=DELIVERY_QUEUE,
        priority=0,
        status=Status.PENDING,
        payload=msgspec.Raw(_encode(Delivery(webhook, msgspec.Raw(_encode(told(event)))))),
        result=None,
        error=None,
        progress=None,
        attempts=0,
        max_attempts=DELIVERY_ATTEMPTS,
        timeout_seconds=DELIVERY_TIMEOUT,
        cancel_requested=False,
        created_at=now,
        updated_at=now,
        run_at=now,
        started_at=None,
        finished_at=None,
        created_by=f"webhook:{webhook}",
    )


def _is_like(kind: str, wanted: str) -> bool:
    """`image.*` is every type that begins so."""
    return kind.startswith(wanted[:-1]) if wanted.endswith("*") else kind == wanted
