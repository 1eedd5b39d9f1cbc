"""What follows from an answer."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from taskhub.model import Fail, Retry
from taskhub.work.outbound.answers import is_good, refusal, wait_of
from taskhub.work.outbound.sending import Answer

NOON = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_what_may_be_otherwise_later_is_tried_again(status: int) -> None:
    """The request was good, the host was not able."""
    assert isinstance(refusal(Answer(status=status, body="")), Retry)


@pytest.mark.parametrize("status", [200, 204, 301, 304, 400, 401, 403, 404, 410, 422])
def test_what_stays_as_it_is_fails_with_what_was_said(status: int) -> None:
    """Another attempt would be told the same."""
    end = refusal(Answer(status=status, body="no\n  such  thing"))

    assert isinstance(end, Fail)
    assert end.reason.startswith(f"the answer was {status}: no such thing")


def test_a_long_answer_is_cut_in_an_error() -> None:
    """An error is read in a line."""
    assert len(refusal(Answer(status=404, body="x" * 4_000)).reason) < 250


@pytest.mark.parametrize(
    ("status", "expected", "good"),
    [
        *((200, (), True), (299, (), True), (199, (), False), (300, (), False)),
        *((404, (404, 200), True), (204, (200,), False), (500, (500,), True)),
    ],
)
def test_any_2xx_is_good_unless_the_task_names_others(
    status: int, expected: tuple[int, ...], good: bool
) -> None:
    """A check may wait for a 404."""
    assert is_good(status, expected) is good


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("30", 30.0), (" 7 ", 7.0), ("0", 1.0), ("99999", 3_600.0), ("9" * 500, 3_600.0)),
        *(("", None), ("soon", None), ("-1", None), ("1.5", None), ("٣", None), ("1e3", None)),
        ("Tue, 24 Nov 2026 12:01:00 GMT", 60.0),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 1.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3_600.0),
        ("Tue, 24 Nov 2026 12:01:00 -0000", 60.0),
        ("Tue, 99 Nov 2026 12:01:00 GMT", None),
    ],
)
def test_a_host_may_say_when_it_wants_to_be_asked_again(text: str, seconds: float | None) -> None:
    """In seconds or as a date, within bounds; what cannot be read says nothing."""
    assert wait_of(text, NOON) == seconds
