"""How long to wait between two attempts: numbers that make sense, and the pause they mean."""

from __future__ import annotations

import math
from random import Random
from typing import Annotated

import msgspec
from msgspec import Meta

YEAR = 366 * 86_400


class Backoff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long to wait before the next attempt: `base` seconds, each time `factor` times more.

    No pause is longer than `cap`; each is cut by up to `jitter` (0..1) of itself at random, so
    that tasks that failed together do not all come back together.
    """

    base: Annotated[float, Meta(ge=0, le=YEAR)] = 1.0
    factor: Annotated[float, Meta(ge=1, le=1_000)] = 2.0
    cap: Annotated[float, Meta(ge=0, le=YEAR)] = 300.0
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.2

    def __post_init__(self) -> None:
        """Refuse what makes no sense; raises ValueError."""
        if not all(map(math.isfinite, msgspec.structs.astuple(self))):
            raise ValueError("backoff: every number must be finite")
        if self.base < 0 or self.factor < 1 or self.cap < 0 or not 0 <= self.jitter <= 1:
            raise ValueError("backoff: base >= 0, factor >= 1, cap >= 0 and jitter from 0 to 1")

    def pause(self, attempt: int, rng: Random) -> float:
        """Seconds to wait after `attempt` (the first is 1) has failed."""
        return self._whole(attempt) * (1.0 - self.jitter * rng.random())

    def _whole(self, attempt: int) -> float:
        try:
            return min(self.cap, self.base * self.factor ** max(0, attempt - 1))
        except OverflowError:
            return self.cap
