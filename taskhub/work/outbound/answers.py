"""What follows from an answer: done, another attempt, or the end; pure functions."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from taskhub.model import Fail, Retry
from taskhub.work.outbound.sending import Answer

AGAIN = frozenset({408, 425, 429})
"""Besides every 5xx: the same request may be answered otherwise later."""
LATEST, SOONEST = 3_600.0, 1.0
"""Seconds: the longest wait that a host can ask for, and the shortest."""
DIGITS = 9
"""Of a number of seconds: far more than the longest wait."""
SHOWN = 200
"""Characters of an answer that an error repeats."""


def is_good(status: int, expected: Collection[int]) -> bool:
    """Whether it is what the task expects: any 2xx, unless it names others."""
    return status in expected if expected else HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


def is_able(status: int) -> bool:
    """Whether the host was able to answer: a 5xx says that it was not."""
    return status < HTTPStatus.INTERNAL_SERVER_ERROR


def again(answer: Answer) -> Retry:
    """Another attempt, when the host says so."""
    return Retry(_said(answer), in_seconds=wait_of(answer.retry_after, datetime.now(UTC)))


def refusal(answer: Answer) -> Retry | Fail:
    """What an answer that is not good leads to."""
    if answer.status in AGAIN or not is_able(answer.status):
        return again(answer)
    if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST:
        return Fail(f"{_said(answer)}: this redirect is not followed")
    return Fail(_said(answer))


def wait_of(text: str, now: datetime) -> float | None:
    """The seconds that a Retry-After asks for, bounded; None: nothing that can be read."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(LATEST, max(SOONEST, float(text[:DIGITS])))
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(LATEST, max(SOONEST, (moment - now).total_seconds()))


def _said(answer: Answer) -> str:
    text = " ".join(answer.body.split())[:SHOWN]
    return f"the answer was {answer.status}{f': {text}' if text else ''}"
