"""Reads the table of events once for all who listen here, whenever it rings; knows no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from taskhub.errors import Busy, Trouble
from taskhub.http.live.frames import frame
from taskhub.http.live.ring import Ring
from taskhub.http.reading import in_time
from taskhub.http.waiting import rung_or_time
from taskhub.obs.telemetry import Emit, EventsDelivered, ListenersChanged
from taskhub.ports import EventPage, EventQuery

if TYPE_CHECKING:
    from taskhub.http.live.listener import Listener

Read = Callable[[EventQuery], Awaitable[EventPage]]

POLL = 0.8
"""Seconds without a bell before the next look: bells may be lost, and cost a second at most."""
PAGE = 500
"""Events in one look."""
LISTENERS = 2_000
"""Who may listen to one process; more are Busy (503)."""
PACE = 0.01
PACE_EACH = 0.000_1
"""Seconds between two looks, and more for each listener: what happens meanwhile is told together.
The numbers are a guess: 1,000 listeners were never timed.
"""


def is_lost(position: int, page: EventPage) -> bool:
    """Whether what comes after a position is not all there: pruned, or it is no number of ours."""
    return position > page.newest or position < page.oldest - 1


class Tail:
    """Who listens in this process, and the newest events; nobody listens: nothing is read."""

    def __init__(
        self, read: Read, emit: Emit, *, limit: int = LISTENERS, poll: float = POLL
    ) -> None:
        self._read, self._emit, self._limit, self._poll = read, emit, limit, poll
        self._listeners: set[Listener] = set()
        self._bell, self._company = asyncio.Event(), asyncio.Event()
        self._one_reader = asyncio.Lock()
        self._delivered = 0
        self.ring = Ring()
        self.epoch = 0
        """Grows when the table is another one than before: no number means what it did."""
        self.is_closed = False

    def rang(self, kinds: frozenset[str]) -> None:
        """Hear the bell: whatever rings, something has happened."""
        if kinds:
            self._bell.set()

    def refuse_a_crowd(self) -> None:
        """Raise Busy when as many as may listen do."""
        if len(self._listeners) >= self._limit:
            raise Busy

    def join(self, listener: Listener) -> None:
        """Tell this one from now on."""
        self._listeners.add(listener)
        self._company.set()
        self._bell.set()
        self._emit(ListenersChanged(count=len(self._listeners)))

    def leave(self, listener: Listener) -> None:
        """Tell it no more."""
        self._listeners.discard(listener)
        if not self._listeners:
            self._company.clear()
        self._emit(ListenersChanged(count=len(self._listeners)))

    def delivered(self, count: int) -> None:
        """So many events have gone out; told together, once in a while."""
        self._delivered += count

    async def page(self, query: EventQuery) -> EventPage:
        """What the table says to who is behind the ring: one of them at a time, others need it too.

        Raises Trouble.
        """
        async with self._one_reader:
            return await in_time(self._read(query))

    def open(self) -> None:
        """Let clients listen again, after a `close`."""
        self.is_closed = False

    def close(self) -> None:
        """Send everybody home: nobody listens through a stop."""
        self.is_closed = True
        self._wake_all()

    async def run(self) -> None:
        """Look whenever it rings, and each `poll` seconds, while anybody listens."""
        while True:
            await self._company.wait()
            if not await self._begin():
                await asyncio.sleep(self._poll)
                continue
            while self._listeners:
                await self._look()
                self._pass_on()
                await asyncio.sleep(PACE + PACE_EACH * len(self._listeners))
                await rung_or_time(self._bell, self._poll)
            self._pass_on()
            self.ring.begin(self.ring.newest)  # nobody needs it, and it takes memory

    async def _begin(self) -> bool:
        """Go on from now: who wants to hear of what was before reads the table."""
        page = await self._page(EventQuery(limit=0))
        if page is not None:
            self.ring.begin(page.newest)
        return page is not None

    async def _look(self) -> None:
        self._bell.clear()
        while (
            page := await self._page(EventQuery(after=self.ring.newest, limit=PAGE))
        ) is not None:
            if is_lost(self.ring.newest, page):
                self.epoch += 1
                self.ring.begin(page.newest)
                self._wake_all()
                return
            if page.items:
                self.ring.add([frame(event) for event in page.items], page.items[-1].seq)
            if len(page.items) < PAGE:
                return
            self._pass_on()

    async def _page(self, query: EventQuery) -> EventPage | None:
        try:
            return await in_time(self._read(query))
        except Trouble:
            return None  # the next look may go well; listeners stay

    def _wake_all(self) -> None:
        for listener in self._listeners:
            listener.news.set()

    def _pass_on(self) -> None:
        now = asyncio.get_running_loop().time()
        for listener in self._listeners:
            if listener.due <= now or listener.position < self.ring.newest:
                listener.news.set()
        if self._delivered:
            self._emit(EventsDelivered(count=self._delivered))
            self._delivered = 0
