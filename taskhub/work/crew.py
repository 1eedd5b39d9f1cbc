"""Several processors for handlers that compute: who runs where, and how much is sent ahead."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from taskhub.attempts import Ended, Ledger, StopReason
from taskhub.ports import Finish
from taskhub.work.attempt import Attempt
from taskhub.work.lane import ProcessorLane

WINDOW = 32
"""Most attempts in hand of one process, with the one that runs."""
AHEAD = 0.01
"""Seconds of work, by what its types took of late, that a process may have in hand; or one task."""
PATIENCE = 0.02
"""Seconds: whatever waits behind an attempt that runs longer is taken back, for whoever is free."""
WEIGHT = 0.1
"""Share of the newest attempt in what a type takes."""


class _Place(msgspec.Struct, eq=False):
    """One process, and what it has in hand."""

    lane: ProcessorLane
    count: int = 0
    seconds: float = 0.0

    def has_room(self, seconds: float) -> bool:
        """Whether what takes so long may wait behind the one that runs here."""
        if self.count >= WINDOW or self.seconds + seconds > AHEAD:
            return False
        return self.lane.is_quicker_than(PATIENCE)


class _Seat(NamedTuple):
    """What one attempt has taken of a place."""

    place: _Place
    seconds: float


class _Turn(NamedTuple):
    """One that waits in line for its seat (None: it was stopped)."""

    kind: str
    seat: asyncio.Future[_Seat | None]


class Crew:
    """As `Runner`. Each process runs one attempt at a time; while attempts are short some more are
    sent ahead, so that none waits for this loop between two. Whoever is killed at its time limit,
    or dies, is alone in that: what waits has not begun, so its time does not run yet, and it goes
    to another process.
    """

    def __init__(self, lanes: Sequence[ProcessorLane], ledger: Ledger) -> None:
        """The processes are started when they are first needed, and stopped when they are idle.

        What is sent to one has started as far as the `ledger` knows; what waits in line has not,
        and loses nothing when this process dies.
        """
        self._ledger = ledger
        self._places = [_Place(lane) for lane in lanes]
        self._idle = deque(self._places)
        self._line: deque[_Turn] = deque()
        self._takes: dict[str, float] = {}
        """Seconds that an attempt of a type takes, of late."""
        self._watch: asyncio.TimerHandle | None = None

    async def run(self, attempt: Attempt) -> Ended:
        """Run the handler in a process that is free, as soon as there is one."""
        seat = None if self._line else self._seat(attempt.lease.item.type)
        seat = seat or await self._turn(attempt)
        while seat is not None:
            if attempt.reason is None:
                self._ledger.start(attempt.id)
            try:
                ended = await seat.place.lane.perform(attempt)
            finally:
                self._give(seat)
            if ended is not None:
                self._note(attempt)
                return _as_it_came(ended)
            self._ledger.end(attempt.id)
            seat = await self._turn(attempt, is_first=True)
        return _as_it_came(await self._places[0].lane.run(attempt))  # stopped: any lane will do

    def stop(self, attempt: Attempt, reason: StopReason) -> None:
        """As `Attempt.stop`."""
        attempt.stop(reason)

    async def close(self) -> None:
        """End every process, at once; may be called twice."""
        if self._watch is not None:
            self._watch.cancel()
        await asyncio.gather(*(place.lane.close() for place in self._places))

    # ---- the line ----

    async def _turn(self, attempt: Attempt, *, is_first: bool = False) -> _Seat | None:
        """A seat, once there is one; None when the attempt is stopped before."""
        if attempt.reason is not None:
            return None
        loop = asyncio.get_running_loop()
        turn = _Turn(attempt.lease.item.type, loop.create_future())
        if is_first:  # it had a seat before: several such come in turn, the last one first
            self._line.appendleft(turn)
            loop.call_soon(self._move_on)
        else:
            self._line.append(turn)
        attempt.stopper, attempt.is_running = lambda _: self._drop(turn), True
        try:
            return await turn.seat
        except asyncio.CancelledError:
            self._drop(turn)
            if not turn.seat.cancelled() and (seat := turn.seat.result()) is not None:
                self._give(seat)
            raise
        finally:
            attempt.stopper, attempt.is_running = None, False

    def _drop(self, turn: _Turn) -> None:
        """It waits no more, unless it has its seat already."""
        if not turn.seat.done():
            turn.seat.set_result(None)
        if turn in self._line:
            self._line.remove(turn)

    def _move_on(self) -> None:
        while self._line:
            turn = self._line[0]
            if not turn.seat.done():  # whoever waited for it was cancelled just now
                seat = self._seat(turn.kind)
                if seat is None:
                    return
                turn.seat.set_result(seat)
            self._line.popleft()

    # ---- seats ----

    def _seat(self, kind: str) -> _Seat | None:
        """One in an idle process; else behind what is short, if this is short as well."""
        seconds = self._takes.get(kind, math.inf)
        if self._idle:
            place = self._idle.pop()
        else:
            roomy = [place for place in self._places if place.has_room(seconds)]
            if not roomy:
                return None
            place = min(roomy, key=_load)
            self._watch = self._watch or asyncio.get_running_loop().call_later(PATIENCE, self._look)
        place.count += 1
        place.seconds += seconds
        return _Seat(place, seconds)

    def _give(self, seat: _Seat) -> None:
        place = seat.place
        place.count -= 1
        place.seconds -= seat.seconds
        if place.count == 0:
            place.seconds = 0.0
            self._idle.append(place)
        if self._line:  # once all are back that come back now
            asyncio.get_running_loop().call_soon(self._move_on)

    def _note(self, attempt: Attempt) -> None:
        if attempt.reason in (None, StopReason.TIMEOUT):
            kind = attempt.lease.item.type
            before = self._takes.get(kind, attempt.seconds)
            self._takes[kind] = before + WEIGHT * (attempt.seconds - before)

    def _look(self) -> None:
        """Have what waits behind a long one run elsewhere."""
        self._watch = None
        crowded = [place for place in self._places if place.count > 1]
        for place in crowded:
            if not place.lane.is_quicker_than(PATIENCE):
                place.lane.take_back()
        if crowded:
            self._watch = asyncio.get_running_loop().call_later(PATIENCE, self._look)


def _load(place: _Place) -> float:
    return place.seconds


def _as_it_came(ended: Ended) -> Ended:
    """What killed its process here had it for itself: it need not be set apart the next time."""
    return msgspec.structs.replace(ended, suspect=False) if isinstance(ended, Finish) else ended
