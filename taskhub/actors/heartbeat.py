"""The `heartbeat` actor: leaves a mark in the audit log, and measures how late the loop is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from taskhub.audit import Audit
from taskhub.messages import PASSING, Put
from taskhub.obs.telemetry import Emit, LoopLag
from taskhub.obs.telemetry import Heartbeat as HeartbeatSaved

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskhub.kernel.actor import Context
    from taskhub.kernel.mailbox import Mailbox

LOOK = 1.0
"""Seconds between two looks whether the store is ill: then each look is a beat."""
LAG_EVERY = 0.5
"""Seconds between two looks at the loop's lateness."""


class Heartbeat:
    """One audit row every so often; while the store is in trouble rows are skipped, not owed.

    Then it beats faster: where nobody else writes, a beat is how it is seen that all is well again.
    """

    def __init__(
        self,
        unit: str,
        store_box: Mailbox[Put],
        every: Callable[[], float],
        emit: Emit,
        is_ill: Callable[[], bool] = lambda: False,
    ) -> None:
        """Write as `unit` through `store_box`; `every` (seconds) is asked anew each time."""
        self._unit, self._box, self._every, self._emit = unit, store_box, every, emit
        self._is_ill = is_ill

    async def run(self, ctx: Context) -> None:
        """Beat until stopped."""
        clock = LagClock(self._emit)
        clock.start()
        try:
            ctx.ready()
            wait = self._every()
            while not await ctx.pause(min(wait, LOOK)):
                wait -= LOOK
                if wait <= 0 or self._is_ill():
                    await self._beat()
                    wait = self._every()
        finally:
            clock.stop()

    async def _beat(self) -> None:
        try:
            await Put(Audit(message="heartbeat", actor=self._unit)).sent_to(self._box)
        except PASSING:
            return  # the age of the last one tells it
        self._emit(HeartbeatSaved())


class LagClock:
    """A timer that tells how much too late it was called: for so long nothing else ran either."""

    def __init__(self, emit: Emit, every: float = LAG_EVERY) -> None:
        """Tell `emit` every so many seconds."""
        self._emit, self._every = emit, every
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, in the running loop."""
        loop = asyncio.get_running_loop()
        self._due = loop.time() + self._every
        self._timer = loop.call_at(self._due, self._ring)

    def stop(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        late = asyncio.get_running_loop().time() - self._due
        self._emit(LoopLag(seconds=max(0.0, late)))
        self.start()
