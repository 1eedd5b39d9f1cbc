"""How well one side of the event bus (publishing, listening) is; written by its actor alone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import SystemRandom

from taskhub.backoff import Backoff
from taskhub.errors import BusAway, BusRefused
from taskhub.obs.telemetry import Emit, StateChanged

STEADY = 10.0
"""Seconds that a line must hold before its next cut counts as the first one."""

_PAUSES = Backoff(base=0.1, factor=2.0, cap=2.0, jitter=0.5)

SAY_AGAIN = 60.0  # seconds between two complaints about one mistake that nobody mends


def reconnect_pause(tries: int) -> float:
    """Seconds before the next try: the server is used again within 5 s of its return."""
    return _PAUSES.pause(tries, SystemRandom())


@dataclass(slots=True)
class BusHealth:
    """For `/ready`: `state` is ok, degraded (the server is away) or failed (it refuses us).

    `since` is UTC; `part` is the name that the log and the metrics know this side by.
    """

    part: str = "events"
    state: str = "degraded"
    detail: str = "not connected yet"
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    _said_at: float = float("-inf")

    def is_well(self, emit: Emit) -> None:
        """The server has taken what we sent, or sent us something."""
        if self.state != "ok":
            self._become("ok", "", emit)

    def is_ill(self, error: BusAway | BusRefused, emit: Emit) -> None:
        """It has not. Said when it changes; a mistake to mend is said each minute."""
        state = "failed" if isinstance(error, BusRefused) else "degraded"
        is_due = state == "failed" and _now() - self._said_at >= SAY_AGAIN
        if state != self.state or self._said_at < 0 or is_due:
            self._become(state, error.detail, emit)
        self.detail = error.detail

    def _become(self, state: str, detail: str, emit: Emit) -> None:
        if state != self.state:
            self.since = datetime.now(UTC)
        self.state, self.detail, self._said_at = state, detail, _now()
        emit(StateChanged(part=self.part, state=state, detail=detail))


def _now() -> float:
    return asyncio.get_running_loop().time()
