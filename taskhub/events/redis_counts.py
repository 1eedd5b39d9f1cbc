"""Counts that processes share through a Redis-protocol server; a slow one is never waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from random import SystemRandom
from typing import Any, NamedTuple

from taskhub.backoff import Backoff
from taskhub.errors import BusAway, BusRefused
from taskhub.events.redis_finding import dial
from taskhub.events.redis_line import Address, Line, Patience, command, key_of
from taskhub.obs.telemetry import Emit, StateChanged
from taskhub.rates import Rate, Reading

PART = "limits"
LOOK, LOOKS = 0.005, 5
"""A request waits for so many looks, so many seconds apart. More than one, for a loop that is late
itself must first hear what has come meanwhile."""
DONE = 1 << 53
"""The limit of a hit that was let through: it must be counted."""
LINGER = 0.005
"""Seconds in which hits that nobody waits for gather, to go together."""
WARY = 1.0
"""Seconds without a late answer after which requests wait for answers again."""
AT_ONCE = 256
"""Hits that are asked for together."""
QUEUE_MOST = 1_024
"""Hits that wait to be asked for; past them each process counts for itself."""
NO_WORDS = "the event server does not answer: its answers make no sense"

SCRIPT = b"""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answers = {}
for i, key in ipairs(KEYS) do
  local limit, span = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1])
  local times = tonumber(ARGV[3 * i])
  local start, before, count = now, 0, 0
  local kept = redis.call('GET', key)
  if kept then
    local a, b, c = string.match(kept, '^(%d+) (%d+) (%d+)$')
    if a then start, before, count = tonumber(a), tonumber(b), tonumber(c) end
  end
  local gone = now - start
  if gone >= 2 * span then start, before, count = now, 0, 0
  elseif gone >= span then start, before, count = start + span, count, 0
  elseif gone < 0 then start = now end
  gone = now - start
  local taken = 0
  if math.floor(before * (span - gone) / span) + count + times <= limit then
    taken, count = 1, count + times
    local text = string.format('%d %d %d', start, before, count)
    redis.call('SET', key, text, 'PX', 2 * span - gone)
  end
  table.insert(answers, taken)
  table.insert(answers, before)
  table.insert(answers, count)
  table.insert(answers, gone)
end
return answers
"""
"""The windows of `taskhub.rates` by the server's own clock, so that all hosts agree on the time."""

_PAUSES = Backoff(base=0.1, factor=2.0, cap=2.0, jitter=0.5)
Asked = asyncio.Future[Reading | None]
Learn = Callable[[Reading], None]


class Hit(NamedTuple):
    """A count that somebody wants; `learn` gets the answer when nobody waits for `asked`."""

    key: bytes
    limit: int
    seconds: int
    times: int
    asked: Asked | None
    learn: Learn


class RedisCounts:
    """One line to the server, over which all hits of a moment go together.

    While an answer is late nobody waits: hits are still counted there, the caller counts for itself
    and learns afterwards what the others have done. The keys live for two windows at most.
    """

    def __init__(
        self,
        address: Address,
        channel: str,
        emit: Emit,
        patience: Patience = Patience(),  # noqa: B008 - immutable
        *,
        look: float = LOOK,
    ) -> None:
        self._address, self._patience, self._emit, self._look = address, patience, emit, look
        self._prefix = key_of(channel, "limits")
        self._wanted, self._filled, self._urgent = (asyncio.Event() for _ in range(3))
        self._queue: list[Hit] = []
        self._asking: list[Hit] = []
        self._is_connected, self._is_prompt, self._late_at = False, True, 0.0
        self._state, self._tries = "", 0

    def want(self) -> None:
        """Connect: hits will come."""
        self._wanted.set()

    def hit(
        self, name: str, key: bytes, rate: Rate, learn: Learn, *, times: int = 1
    ) -> Asked | None:
        """Count so often, or not at all.

        None, now or in a few milliseconds: the caller must count for itself. An answer that comes
        later than that goes to `learn`.
        """
        if not self._is_prompt:
            self.tell(name, key, rate, learn, times=times)
            return None
        asked: Asked = asyncio.get_running_loop().create_future()
        place = self._place(name, key, rate)
        hit = Hit(place, rate.limit, rate.seconds, times, asked, learn)
        return asked if self._put(hit) else None

    def tell(self, name: str, key: bytes, rate: Rate, learn: Learn, *, times: int = 1) -> bool:
        """Count so often what the caller has let through; whether it will be counted."""
        place = self._place(name, key, rate)
        return self._put(Hit(place, DONE, rate.seconds, times, None, learn))

    def _place(self, name: str, key: bytes, rate: Rate) -> bytes:
        return b"%b:%b:%d:%b" % (self._prefix, name.encode(), rate.seconds, key)

    def _put(self, hit: Hit) -> bool:
        if not self._is_connected or len(self._queue) >= QUEUE_MOST:
            return False
        self._queue.append(hit)
        self._filled.set()
        if hit.asked is not None or len(self._queue) >= AT_ONCE:
            self._urgent.set()
        return True

    async def run(self) -> None:
        """Once it is wanted, keep a line to the server until cancelled."""
        await self._wanted.wait()
        while True:
            try:
                await self._serve()
            except (BusAway, BusRefused) as error:
                is_mistake = isinstance(error, BusRefused)
                self._become("failed" if is_mistake else "degraded", error.detail)
            self._tries += 1
            await asyncio.sleep(_PAUSES.pause(self._tries, SystemRandom()))

    async def _serve(self) -> None:
        """Connect and ask, until the line is cut. Raises BusAway | BusRefused."""
        line = await dial(self._address, self._patience, self._prefix)
        try:
            (script,) = await line.ask(command(b"SCRIPT", b"LOAD", SCRIPT), 1)
            self._is_connected = self._is_prompt = True
            while await self._filled.wait():
                await self._linger()
                self._asking = self._queue[:AT_ONCE]
                del self._queue[:AT_ONCE]
                if not self._queue:
                    self._forget()
                await self._ask(line, script)
        finally:
            self._is_connected = False
            self._leave_alone()
            self._forget()
            await line.hang_up()

    async def _linger(self) -> None:
        if self._urgent.is_set():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                await self._urgent.wait()

    def _forget(self) -> None:
        self._queue.clear()
        self._filled.clear()
        self._urgent.clear()

    async def _ask(self, line: Line, script: bytes) -> None:
        loop = asyncio.get_running_loop()
        looks = _Looks(loop, self._look, self._is_late)
        try:
            (answer,) = await line.ask(packed(script, self._asking), 1)
        finally:
            looks.cancel()
        for hit, reading in zip(self._asking, readings(answer, len(self._asking)), strict=True):
            if hit.asked is not None and not hit.asked.done():
                hit.asked.set_result(reading)
            else:
                hit.learn(reading)
        self._asking, self._tries = [], 0
        self._is_prompt = self._is_prompt or loop.time() - self._late_at > WARY
        self._become("ok")

    def _is_late(self) -> None:
        """Whoever waits must wait no longer, and until the server is prompt again nobody will."""
        self._is_prompt, self._late_at = False, asyncio.get_running_loop().time()
        self._leave_alone()

    def _leave_alone(self) -> None:
        for hit in (*self._asking, *self._queue):
            if hit.asked is not None and not hit.asked.done():
                hit.asked.set_result(None)

    def _become(self, state: str, detail: str = "") -> None:
        if state != self._state:
            self._state = state
            self._emit(StateChanged(part=PART, state=state, detail=detail))


class _Looks:
    """Calls back when it was not cancelled before the last look."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, every: float, late: Callable[[], None]
    ) -> None:
        self._loop, self._every, self._late, self._left = loop, every, late, LOOKS
        self._timer = loop.call_later(every, self._look)

    def cancel(self) -> None:
        """The answer is there."""
        self._timer.cancel()

    def _look(self) -> None:
        self._left -= 1
        if self._left:
            self._timer = self._loop.call_later(self._every, self._look)
        else:
            self._late()


def packed(script: bytes, hits: list[Hit]) -> bytes:
    """One command for all of them."""
    numbers = [b"%d" % n for hit in hits for n in (hit.limit, hit.seconds * 1_000, hit.times)]
    return command(b"EVALSHA", script, b"%d" % len(hits), *(hit.key for hit in hits), *numbers)


def readings(answer: Any, count: int) -> list[Reading]:
    """What the script has answered. Raises BusAway at anything else."""
    is_right = isinstance(answer, list) and len(answer) == 4 * count
    if not is_right or {type(number) for number in answer} != {int}:
        raise BusAway(NO_WORDS)
    rows = zip(*(answer[i::4] for i in range(4)), strict=True)
    return [Reading(bool(taken), before, now, gone / 1_000) for taken, before, now, gone in rows]
