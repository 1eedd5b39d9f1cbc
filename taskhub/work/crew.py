"""Several processors for handlers that compute: one attempt in each at a time, the others wait."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from taskhub.attempts import Ended, StopReason
from taskhub.ports import Finish
from taskhub.work.attempt import Attempt
from taskhub.work.lane import ProcessorLane


class Crew:
    """As `Runner`. Whoever is killed at its time limit, or dies, has its process for itself: nobody
    else notices. Who waits for a process has not begun: its time does not run yet.
    """

    def __init__(self, lanes: Sequence[ProcessorLane]) -> None:
        """The processes are started when they are first needed, and stopped when they are idle."""
        self._lanes, self._free = lanes, deque(lanes)
        self._line: deque[asyncio.Future[ProcessorLane | None]] = deque()

    async def run(self, attempt: Attempt) -> Ended:
        """Run the handler in a process that is free, as soon as there is one."""
        lane = self._free.pop() if self._free else await self._turn(attempt)
        if lane is None:  # it was stopped meanwhile: any lane knows what follows from that
            return await self._lanes[0].run(attempt)
        try:
            return _as_it_came(await lane.run(attempt))
        finally:
            self._give(lane)

    def stop(self, attempt: Attempt, reason: StopReason) -> None:
        """As `Attempt.stop`."""
        attempt.stop(reason)

    async def close(self) -> None:
        """End every process, at once; may be called twice."""
        for lane in self._lanes:
            await lane.close()

    async def _turn(self, attempt: Attempt) -> ProcessorLane | None:
        """A process, once there is a free one; None when the attempt is stopped before."""
        if attempt.reason is not None:
            return None
        turn: asyncio.Future[ProcessorLane | None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        attempt.stopper, attempt.is_running = lambda _: _end(turn), True
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and (lane := turn.result()) is not None:
                self._give(lane)
            raise
        finally:
            attempt.stopper, attempt.is_running = None, False
            with suppress(ValueError):
                self._line.remove(turn)

    def _give(self, lane: ProcessorLane) -> None:
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(lane)
                return
        self._free.append(lane)


def _as_it_came(ended: Ended) -> Ended:
    """What killed its process here had it for itself: it need not be set apart the next time."""
    return msgspec.structs.replace(ended, suspect=False) if isinstance(ended, Finish) else ended


def _end(turn: asyncio.Future[ProcessorLane | None]) -> None:
    if not turn.done():
        turn.set_result(None)
