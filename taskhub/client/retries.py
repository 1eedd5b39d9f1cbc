"""Whether and when to try again: bounded, spread out, and never before the server says so."""

from __future__ import annotations

import random
import sys
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from taskhub.client.errors import (
    OutcomeUnknown,
    Problem,
    TaskHubError,
    Unavailable,
    Unexpected,
    Unreachable,
)

LIMITED = 429
LATER = frozenset({502, 503, 504})


class Retries(msgspec.Struct, frozen=True, kw_only=True):
    """How long to try: at most `attempts` times, and none begins after `within` seconds.

    Pauses begin at `first` seconds and double up to `longest`, each with a part of chance.
    `Retries(attempts=1)`: never again.
    """

    attempts: int = 7
    within: float = 60.0
    first: float = 0.2
    longest: float = 10.0

    def pause(self, attempt: int, after: float | None, elapsed: float) -> float | None:
        """Seconds until the next attempt; None: it is not worth it. `after`: what was asked for."""
        if attempt >= self.attempts:
            return None
        growing = min(self.longest, self.first * 2.0 ** min(attempt - 1, 60))
        seconds = (after or 0.0) + growing * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load
        return seconds if elapsed + seconds <= self.within else None


def may_pass(error: TaskHubError, *, is_repeatable: bool) -> bool:
    """Whether the same request could go well later, and may be sent again.

    One that is not repeatable comes again only when it was certainly not carried out.
    """
    match error:
        case Unreachable():
            return error.may_pass and (is_repeatable or not error.was_sent)
        case Unexpected():
            return error.status == LIMITED or (error.status in LATER and is_repeatable)
        case OutcomeUnknown():
            return is_repeatable
        case Unavailable():
            return True
        case Problem():
            return error.status == LIMITED or (error.status in LATER and is_repeatable)
    return False


def patient(retries: Retries) -> Retries:
    """For what follows a task: a restart of the server takes as many attempts as it takes."""
    if retries.attempts <= 1:
        return retries
    return msgspec.structs.replace(retries, attempts=sys.maxsize)


def retry_after(field: str | None, date: str | None = None) -> float | None:
    """The seconds of a `Retry-After` field, which may be a date (RFC 9110, 10.2.3).

    `date`: when the answer was made, so that it does not matter what our own clock says.
    """
    if field is None:
        return None
    if field.isdecimal() and field.isascii():
        return min(float(field), 999_999_999.0)
    moment = _moment(field)
    if moment is None:
        return None
    now = _moment(date or "") or datetime.now(UTC)
    return max(0.0, (moment - now).total_seconds())


def _moment(field: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(field)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
