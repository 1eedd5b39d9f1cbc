"""What follows from an attempt's outcome: pure functions of values; no clock, no store."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import assert_never

import msgspec
from msgspec import UNSET, UnsetType

from taskhub.backoff import Backoff
from taskhub.model import Cancel, Done, Fail, Outcome, Retry, Snooze, Status

LONGEST_PAUSE = 366 * 86_400.0
"""Seconds; whatever a handler asks for, a task comes back within a year."""

SHORTEST_SNOOZE = 0.1
"""Seconds; a snooze costs no attempt, so a task that always snoozes must not become a busy loop."""


RESULT_LIMIT = 1_048_576
"""Bytes of JSON that a result may have, where the configuration says nothing else."""

ERROR_LIMIT = 4_000
"""Characters of an error that are kept."""

_KEPT = {"\n", "\t"}


class Tries(msgspec.Struct, frozen=True):
    """Where a task stands: this is attempt number `attempt` of at most `limit`."""

    attempt: int
    limit: int
    backoff: Backoff = Backoff()

    @property
    def is_last(self) -> bool:
        """Whether no attempt is left after this one."""
        return self.attempt >= self.limit


class Settled(msgspec.Struct, frozen=True):
    """What to write about an attempt: the fields of `ports.Finish` that policy decides."""

    status: Status
    error: str | None = None
    run_at: datetime | None = None
    refund: bool = False


def settle(outcome: Outcome, tries: Tries, now: datetime, rng: Random) -> Settled:
    """The task's next state after an attempt that ended in `outcome` at the time `now` (UTC)."""
    match outcome:
        case Done():
            return Settled(Status.DONE)
        case Retry():
            return _retried(outcome, tries, now, rng)
        case Snooze():
            pause = max(SHORTEST_SNOOZE, _bounded(outcome.in_seconds))
            return Settled(Status.PENDING, outcome.reason or None, _later(now, pause), refund=True)
        case Cancel():
            return Settled(Status.CANCELLED, outcome.reason or None)
        case Fail():
            return Settled(Status.FAILED, outcome.reason or "failed")
        case _:
            assert_never(outcome)


def _retried(outcome: Retry, tries: Tries, now: datetime, rng: Random) -> Settled:
    error = outcome.reason or "asked for another attempt"
    if tries.is_last:
        return Settled(Status.FAILED, error)
    pause = outcome.in_seconds
    if pause is None:
        pause = tries.backoff.pause(tries.attempt, rng)
    return Settled(Status.PENDING, error, _later(now, _bounded(pause)))


def result_until(own: float | UnsetType, days: float, now: datetime) -> datetime | None:
    """When a result of now is emptied: after the seconds of its type, else the days of all.

    None (neither says anything; 0 days): it stays as long as its task.
    """
    seconds = days * 86_400 if own is UNSET else own
    return _later(now, seconds) if seconds else None


def _later(now: datetime, seconds: float) -> datetime:
    return now + timedelta(seconds=seconds)


def _bounded(seconds: float) -> float:
    """A handler may hand us anything: not a number counts as 0, for ever as a year."""
    return min(LONGEST_PAUSE, seconds) if seconds > 0 else 0.0


def cleaned(text: str, limit: int = ERROR_LIMIT) -> str:
    """A text that every store and terminal takes: printable, valid UTF-8, at most `limit` long."""
    text = text[: limit + 1]
    if not text.isprintable():
        text = "".join(
            c if c.isprintable() or c in _KEPT else "\N{REPLACEMENT CHARACTER}" for c in text
        )
    return text if len(text) <= limit else text[: limit - 1] + "…"
