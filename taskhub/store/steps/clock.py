"""What time it is, twice: the time of day for rows, and a clock that never jumps for leases."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from taskhub.model import utc_from_micros

FOREVER = 1 << 62
"""Microseconds: later than any time."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One reading of both clocks; a transaction has one for all its rows."""

    micros: int
    utc: datetime
    boottime: float

    @classmethod
    def of_server(cls, micros: int) -> Moment:
        """What a server's clock says, which is the clock of its leases too."""
        return cls(micros, utc_from_micros(micros), micros / 1e6)


def _time_of_day() -> int:
    return time.time_ns() // 1000


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Clock:
    """Microseconds since 1970 UTC, and seconds since the boot, sleep too; tests bring their own."""

    time_of_day: Callable[[], int] = _time_of_day
    boottime: Callable[[], float] = _boottime

    def read(self) -> Moment:
        """Look at both."""
        micros = self.time_of_day()
        return Moment(micros, utc_from_micros(micros), self.boottime())
