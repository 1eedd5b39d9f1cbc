"""Keeps leases alive from a thread of its own, since a handler may block the loop."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from taskhub.attempts import StopReason
from taskhub.errors import Trouble
from taskhub.kernel.clock import boottime
from taskhub.ports import Renew, Renewed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskhub.actors.holdings import Holdings
    from taskhub.attempts import Attempt
    from taskhub.config.sections import Config

STEP = 1.0
"""Longest time in seconds between two looks: a lease may be made shorter meanwhile."""
MARGIN = 6.0
"""Most seconds before the end of a lease in which its handler is stopped."""
LAST_RENEWAL = 3.0
"""Seconds that a stop waits for the renewal in hand."""


class Renewal:
    """A thread that renews what has less than two thirds of a lease left; what it cannot renew in
    time it gives up while the lease still holds.

    A handler that was given up may not end: its lease is renewed for as long as the store lets us,
    so that nobody else begins beside it.
    """

    def __init__(
        self,
        renew: Callable[[Renew], Renewed],
        holdings: Holdings,
        answer: Callable[[Sequence[Attempt], Sequence[Attempt]], None],
        settings: Callable[[], Config],
    ) -> None:
        """`answer(lost, cancel)` is called on the loop."""
        self._renew, self._holdings = renew, holdings
        self._answer, self._settings = answer, settings
        self._gone: set[Attempt] = set()
        """What the store has said is ours no more."""
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._live, name="renewal", daemon=True)
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[None] = self._loop.create_future()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    async def watch(self) -> None:
        """Wait for its end; raises what it died of: without it no lease is safe."""
        await asyncio.shield(self._end)

    async def stop(self) -> None:
        """End soon; does not wait longer than one statement may take."""
        self._leaving.set()
        if self._thread.ident is not None:
            await asyncio.wait({self._end}, timeout=LAST_RENEWAL)

    def _live(self) -> None:
        error = None
        try:
            while not self._leaving.wait(min(STEP, self._settings().work.lease / 15)):
                self._look(self._settings().work.lease)
        except Exception as bug:  # noqa: BLE001 - told to who watches: a thread has nobody else
            error = bug
        self._call(self._set_end, error)

    def _look(self, lease: float) -> None:
        """Renew when it is time to; give up what is nearly over."""
        now = boottime()
        held = list(self._holdings.attempts.values())
        self._gone.intersection_update(held)
        attempts = [attempt for attempt in held if attempt not in self._gone]
        if not any(attempt.lease_until - now <= lease * 2 / 3 for attempt in attempts):
            return
        renewed = self._renew_all(attempts, lease)
        gone, asked = set(renewed.lost), set(renewed.cancel)
        self._gone.update(attempt for attempt in attempts if attempt.id in gone)
        soon = boottime() + min(MARGIN, lease / 5)
        kept = [a for a in attempts if a.reason is not StopReason.LOST]
        lost = [a for a in kept if a.id in gone or a.lease_until < soon]
        cancel = [a for a in kept if a.id in asked]
        if lost or cancel:
            self._call(self._answer, lost, cancel)

    def _renew_all(self, attempts: Sequence[Attempt], lease: float) -> Renewed:
        held = [(attempt.id, attempt.lease.fence) for attempt in attempts]
        until = boottime() + lease
        try:
            renewed = self._renew(Renew(held=held, lease=lease))
        except Trouble:
            return Renewed()  # the next look tries again, as long as the lease holds
        lost = set(renewed.lost)
        for attempt in attempts:
            if attempt.id not in lost:
                attempt.lease_until = until
        return renewed

    def _set_end(self, error: Exception | None) -> None:
        if self._end.done():
            return
        if error is None:
            self._end.set_result(None)
        else:
            self._end.set_exception(error)
            self._end.exception()  # read: at a stop nobody may watch any more

    def _call(self, function: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is there to be told
            self._loop.call_soon_threadsafe(function, *args)
