"""Where external workers wait for tasks: one claim after the other, at each bell and each second.

Who has waited longest is served first. Of those who want the same, nobody asks the store again once
it has given less than was wanted: a thousand who wait cost one look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from taskhub.errors import Busy, TaskHubError
from taskhub.http.waiting import rung_or_time
from taskhub.kernel.mailbox import ActorFailed, MailboxClosed, MailboxFull

if TYPE_CHECKING:
    from taskhub.model import Lease

POLL = 1.0
"""Seconds between two looks when no bell rings: bells may be lost."""
LIMIT = 1_000

LATER = (TaskHubError, MailboxFull, MailboxClosed, ActorFailed)
"""What the store may answer while somebody waits: the next look may go well."""

Claiming = Callable[[], Awaitable[Sequence["Lease"]]]


class Seat:
    """One who waits: what they want, how it is claimed, whether they are still there."""

    __slots__ = ("claim", "is_there", "limit", "served", "wanted")

    def __init__(
        self, wanted: Hashable, limit: int, claim: Claiming, is_there: Callable[[], bool]
    ) -> None:
        """`wanted` is equal for those who would get the same tasks."""
        self.wanted, self.limit, self.claim, self.is_there = wanted, limit, claim, is_there
        self.served: asyncio.Future[Sequence[Lease]] = asyncio.get_running_loop().create_future()


class Bench:
    """Who waits in this process; `limit` bounds how many may, more are Busy (503)."""

    def __init__(
        self,
        give_back: Callable[[Sequence[Lease]], Awaitable[None]],
        limit: int = LIMIT,
        poll: float = POLL,
    ) -> None:
        """`give_back` is told of tasks that were claimed for somebody who has gone meanwhile."""
        self.give_back, self._limit, self._poll = give_back, limit, poll
        self._seats: dict[Seat, None] = {}
        self._bell = asyncio.Event()
        self._rings = 0
        self._closed = False

    @property
    def seats(self) -> Sequence[Seat]:
        """Who waits now, the longest first."""
        return tuple(self._seats)

    def rang(self, kinds: frozenset[str]) -> None:
        """Hear the bell: look when it says that there is work."""
        if "work" in kinds:
            self._rings += 1
            self._bell.set()

    async def take(self, seat: Seat, seconds: float) -> Sequence[Lease]:
        """Tasks as soon as there are some; none after so many seconds. Raises Busy."""
        rings = self._rings
        leases = await seat.claim()
        if leases or seconds <= 0 or self._closed:
            return leases
        if len(self._seats) >= self._limit:
            raise Busy
        self._seats[seat] = None
        if self._rings != rings:
            self._bell.set()  # it rang while we asked
        try:
            await asyncio.wait([seat.served], timeout=seconds)
        except asyncio.CancelledError:
            if leases := _leave(seat):
                await self.give_back(leases)
            raise
        finally:
            del self._seats[seat]
        return _leave(seat)

    async def run(self) -> None:
        """Look whenever it rings, and each second, as long as anybody waits."""
        while not self._closed:
            await rung_or_time(self._bell, self._poll)
            await self._look()

    def open(self) -> None:
        """Let workers wait again, after a `close`."""
        self._closed = False

    def close(self) -> None:
        """Send everybody home: nobody waits through a stop."""
        self._closed = True
        self._bell.set()
        for seat in self._seats:
            _serve(seat, ())

    async def _look(self) -> None:
        dry: set[Hashable] = set()
        for seat in list(self._seats):
            if seat.wanted in dry or seat.served.done() or not seat.is_there():
                continue
            try:
                leases = await seat.claim()
            except LATER:
                return
            if len(leases) < seat.limit:
                dry.add(seat.wanted)
            if leases and not _serve(seat, leases):
                with suppress(*LATER):
                    await self.give_back(leases)


def _serve(seat: Seat, leases: Sequence[Lease]) -> bool:
    """Whether they were still there."""
    if seat.served.done():
        return False
    seat.served.set_result(leases)
    return True


def _leave(seat: Seat) -> Sequence[Lease]:
    """What was given; from now on nothing more is, so none is lost."""
    if not seat.served.done():
        seat.served.cancel()
        return ()
    return seat.served.result()
