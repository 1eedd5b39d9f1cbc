"""Who may ask how often: counts what each client does and refuses what is too much.

It knows neither routes nor tokens: who calls it says which limit counts, and against whom.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from typing import Protocol

from taskhub.config.sections import LimitsSection
from taskhub.http.answers import Headers
from taskhub.http.problems import RateLimited
from taskhub.obs import telemetry as t
from taskhub.obs.telemetry import Emit
from taskhub.rates import Rate, Reading, Window, advance, read_rate, seconds_until, take_over, used

CREATE, ACTS, WORK, BAD_TOKENS = "create", "acts", "work", "bad_tokens"
NAMES = (CREATE, ACTS, WORK, BAD_TOKENS)
"""The limits of `[limits]` that are rates; an empty one is off."""
CLIENTS_MOST = 10_000
"""Clients that one limit remembers, some 200 bytes each."""
SPARED_MOST = 8
"""Clients who have used more than half that are passed over when one must be forgotten."""

NEAR = 32
"""Who has used some of a limit, but less than half of it by so many, is let through at once: what
others do meanwhile is learned long before two processes together could pass the limit."""

Asked = asyncio.Future[Reading | None]
Learn = Callable[[Reading], None]


class SharedCounts(Protocol):
    """Counts for all processes at once, as far as they can be reached in time."""

    def want(self) -> None:
        """Say that hits will come."""

    def hit(self, name: str, key: bytes, rate: Rate, learn: Learn, *, times: int) -> Asked | None:
        """Count so often; None, at once or soon: this process must count for itself.

        An answer that comes later goes to `learn`.
        """

    def tell(self, name: str, key: bytes, rate: Rate, learn: Learn, *, times: int) -> bool:
        """Count what was let through; whether it will be counted. The answer goes to `learn`."""

    async def run(self) -> None:
        """Keep in touch until cancelled."""


class Clients:
    """The windows of one limit's clients."""

    __slots__ = ("_most", "_windows")

    def __init__(self, most: int = CLIENTS_MOST) -> None:
        self._most = most
        self._windows: OrderedDict[bytes, Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def __contains__(self, key: bytes) -> bool:
        return key in self._windows

    def window(self, key: bytes, rate: Rate, now: float) -> Window:
        """A client's window as it is now; the client becomes the one seen last."""
        window = self._windows.get(key)
        if window is not None:
            self._windows.move_to_end(key)
            advance(window, rate.seconds, now)
            return window
        if len(self._windows) >= self._most:
            self._forget(rate, now)
        self._windows[key] = window = Window(now)
        return window

    def _forget(self, rate: Rate, now: float) -> None:
        """Forget who was unseen for longest and has used little: newcomers drive nobody out."""
        for _ in range(SPARED_MOST):
            key, window = self._windows.popitem(last=False)
            advance(window, rate.seconds, now)
            if 2 * used(window, rate.seconds, now) <= rate.limit:
                return
            self._windows[key] = window
        self._windows.popitem(last=False)


class Limits:
    """The limits in force; `rates` has those that are on."""

    def __init__(
        self,
        section: LimitsSection,
        emit: Emit,
        shared: SharedCounts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises ValueError at a rate that is none: the configuration has been checked."""
        self._emit, self._shared, self._clock = emit, shared, clock
        self.rates: dict[str, Rate] = {}
        self._clients: dict[str, Clients] = {}
        self.follow(section)

    def follow(self, section: LimitsSection) -> None:
        """Put other rates in force; where the time is another one, everybody begins anew."""
        texts = {name: getattr(section, name) for name in NAMES}
        rates = {name: read_rate(text) for name, text in texts.items() if text}
        self._clients = {
            name: self._clients[name] if self._lasts(name, new) else Clients()
            for name, new in rates.items()
        }
        self.rates = rates
        if self._shared is not None and rates.keys() - {BAD_TOKENS}:
            self._shared.want()

    def _lasts(self, name: str, new: Rate) -> bool:
        """Whether what was counted can be read under the new rate."""
        before = self.rates.get(name)
        return before is not None and before.seconds == new.seconds

    async def run(self) -> None:
        """Keep in touch with the other processes' counts, if there are any."""
        if self._shared is not None:
            await self._shared.run()

    async def take(self, name: str, who: str, request_id: str, times: int = 1) -> Headers:
        """Count `times` against a limit that is on; returns the fields that the answer gets.

        All or nothing. Raises RateLimited.
        """
        try:
            return await self._take(name, who, times)
        except RateLimited:
            self._emit(t.RateLimited(limit=name, who=who, request_id=request_id))
            raise

    def check(self, name: str, who: str, request_id: str) -> None:
        """Refuse whom `count` has counted too often, in this process. Raises RateLimited."""
        rate, clients, key, now = (
            self.rates[name],
            self._clients[name],
            _key(name, who),
            self._clock(),
        )
        if key not in clients:  # nobody gets a place for good tokens
            return
        window = clients.window(key, rate, now)
        if used(window, rate.seconds, now) >= rate.limit:
            self._emit(t.RateLimited(limit=name, who=who, request_id=request_id))
            raise RateLimited(name, seconds_until(window, rate.limit - 1, rate.seconds, now))

    def count(self, name: str, who: str) -> None:
        """Count once in this process, and refuse nothing."""
        if rate := self.rates.get(name):  # a reload may have come since `check`
            now = self._clock()
            self._clients[name].window(_key(name, who), rate, now).count += 1

    async def _take(self, name: str, who: str, times: int) -> Headers:
        rate, key, now = self.rates[name], _key(name, who), self._clock()
        window = self._clients[name].window(key, rate, now)
        spent = used(window, rate.seconds, now)
        if spent + times > rate.limit:
            # Others can only have added to what was known here: nobody needs to be asked.
            raise _refused(name, rate, window, now, times)
        shared = self._shared
        reading = None if shared is None else await self._ask(shared, name, key, spent, times)
        now = self._clock()
        if reading is None:
            is_taken = _take_alone(rate, window, now, times)
        else:
            is_taken = reading.is_taken
            take_over(window, reading, now)
        if not is_taken:
            raise _refused(name, rate, window, now, times)
        return _fields(name, rate, window, now)

    async def _ask(
        self, shared: SharedCounts, name: str, key: bytes, spent: int, times: int
    ) -> Reading | None:
        """What all have counted; None: this process must decide by what it knows."""
        rate = self.rates[name]
        learn = partial(self._learn, name, rate, key)
        if spent and 2 * (spent + times - 1) < rate.limit - NEAR:
            reading, is_shared = None, shared.tell(name, key, rate, learn, times=times)
        else:
            asked = shared.hit(name, key, rate, learn, times=times)
            reading = None if asked is None else await asked
            is_shared = reading is not None
        if not is_shared:
            self._emit(t.CountedAlone(limit=name))
        return reading

    def _learn(self, name: str, rate: Rate, key: bytes, reading: Reading) -> None:
        """A late answer: what others have done counts here too, from now on."""
        if self.rates.get(name) != rate or key not in self._clients[name]:
            return
        now, told = self._clock(), Window(0.0)
        take_over(told, reading, now)
        window = self._clients[name].window(key, rate, now)
        # What was counted alone meanwhile may not have come to the server yet.
        if used(told, rate.seconds, now) > used(window, rate.seconds, now):
            take_over(window, reading, now)


def _take_alone(rate: Rate, window: Window, now: float, times: int) -> bool:
    advance(window, rate.seconds, now)
    is_taken = used(window, rate.seconds, now) + times <= rate.limit
    window.count += times * is_taken
    return is_taken


def _refused(name: str, rate: Rate, window: Window, now: float, times: int) -> RateLimited:
    wait = seconds_until(window, rate.limit - times, rate.seconds, now)
    return RateLimited(name, wait, _fields(name, rate, window, now))


def _key(name: str, who: str) -> bytes:
    """A client's name in fixed length; it is the same in every process."""
    return blake2b(f"{name} {who}".encode(), digest_size=16).digest()


def _fields(name: str, rate: Rate, window: Window, now: float) -> Headers:
    """What is left and what is allowed (draft-ietf-httpapi-ratelimit-headers-11)."""
    spent = used(window, rate.seconds, now)
    wait = seconds_until(window, min(max(0, spent - 1), rate.limit - 1), rate.seconds, now)
    left, seconds = max(0, rate.limit - spent), max(1, math.ceil(wait))
    return (
        ("RateLimit-Policy", f'"{name}";q={rate.limit};w={rate.seconds}'),
        ("RateLimit", f'"{name}";r={left};t={seconds}'),
    )
