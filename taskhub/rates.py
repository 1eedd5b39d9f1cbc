"""How often somebody may do something: rates, and what a sliding window says; pure functions.

A window counts what was done since it began, and knows the count of the one before; that one counts
less the farther the present one has gone. Two numbers a client, whatever the rate, and a flood gets
exactly its rate. `RedisCounts` has the same arithmetic in Lua.
"""

from __future__ import annotations

import math
import re

import msgspec

UNITS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
MOST = 1_000_000
_RATE = re.compile(r"([0-9]{1,7})\s*/\s*(second|minute|hour|day)", re.ASCII)


class Rate(msgspec.Struct, frozen=True):
    """At most `limit` times in `seconds`."""

    limit: int
    seconds: int


class Window(msgspec.Struct, gc=False):
    """What was counted for one client: began at `start`, `count` since then, `before` before it."""

    start: float
    before: int = 0
    count: int = 0


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What shared counts answer: whether there was room, and the window `gone` seconds after."""

    is_taken: bool
    before: int
    count: int
    gone: float


def read_rate(text: str) -> Rate:
    """Read `100/second`; raises ValueError."""
    found = _RATE.fullmatch(text.strip())
    if found is None or not 1 <= int(found[1]) <= MOST:
        raise ValueError(text)
    return Rate(int(found[1]), UNITS[found[2]])


def advance(window: Window, seconds: float, now: float) -> None:
    """Let the present window become the one before when its time is over."""
    gone = now - window.start
    if gone >= 2 * seconds:
        window.start, window.before, window.count = now, 0, 0
    elif gone >= seconds:
        window.start, window.before, window.count = window.start + seconds, window.count, 0
    elif gone < 0:  # a clock was set back: nothing is forgotten, and nothing lasts for ever
        window.start = now


def take_over(window: Window, reading: Reading, now: float) -> None:
    """Let the window say what the shared counts have answered now."""
    window.start, window.before, window.count = now - reading.gone, reading.before, reading.count


def used(window: Window, seconds: float, now: float) -> int:
    """How much counts at this time, which the window has been advanced to."""
    return math.floor(window.before * (window.start + seconds - now) / seconds) + window.count


def seconds_until(window: Window, most: int, seconds: float, now: float) -> float:
    """How long until at most `most` count, if nothing more is done."""
    left, spare = window.start + seconds - now, most + 1 - window.count
    if spare > 0:
        return max(0.0, left - spare * seconds / window.before) if window.before else 0.0
    return left + max(0.0, seconds - (most + 1) * seconds / window.count)
