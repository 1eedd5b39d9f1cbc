"""What a handler returned or raised, made fit to be stored."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskhub import Cancel, Done, Fail, Retry, Snooze
from taskhub.policy import ERROR_LIMIT, RESULT_LIMIT, cleaned
from taskhub.work.outcome import (
    TRACE_LIMIT,
    error_text,
    outcome_of_error,
    outcome_of_value,
    trace_text,
)


class _Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Done()),
        (Done(), Done()),
        ({"a": [1, None]}, Done(b'{"a":[1,null]}')),
        (Done("x"), Done(b'"x"')),
        (0, Done(b"0")),
    ],
)
def test_what_is_returned_is_the_result_as_json(value: Any, expected: Done) -> None:
    """Nothing, a value, or a Done around it: all of them are a success."""
    assert outcome_of_value(value) == expected


@pytest.mark.parametrize("outcome", [Retry("r"), Snooze(1), Cancel("c"), Fail("f")])
def test_an_outcome_may_be_returned_or_raised(outcome: object) -> None:
    """Both read well, in different places."""
    raised: Any = outcome

    assert outcome_of_value(outcome) is outcome
    assert outcome_of_error(raised) is outcome


def test_any_other_exception_is_a_retry() -> None:
    """By the retry policy, with the exception's name and text."""
    outcome = outcome_of_error(ValueError("no\x00pe"))

    assert isinstance(outcome, Retry)
    assert (outcome.reason, outcome.in_seconds) == (
        "ValueError: no\N{REPLACEMENT CHARACTER}pe",
        None,
    )


def test_a_result_that_is_no_json_fails_for_good() -> None:
    """Another attempt would return the same kind of thing."""
    outcome = outcome_of_value({"x": object()})

    assert isinstance(outcome, Fail)
    assert "cannot be written as JSON" in outcome.reason


def test_a_result_with_half_a_character_fails_for_good() -> None:
    """No UTF-8 can hold it."""
    assert isinstance(outcome_of_value("\ud800"), Fail)


def test_a_coroutine_is_no_result() -> None:
    """Of a plain wrapper around an `async def`: nothing was awaited, so nothing was done."""

    async def inner() -> None: ...

    outcome = outcome_of_value(inner())

    assert isinstance(outcome, Fail)
    assert "async def" in outcome.reason


def test_a_result_of_the_greatest_size_is_kept_and_one_more_byte_is_not() -> None:
    """The limit counts bytes of JSON, quotes included."""
    fits = "x" * (RESULT_LIMIT - 2)

    assert isinstance(outcome_of_value(fits), Done)
    assert isinstance(outcome_of_value(fits + "x"), Fail)
    assert isinstance(outcome_of_value(fits + "x", RESULT_LIMIT + 1), Done)


@given(st.text(st.characters(), max_size=200), st.integers(1, 100))
def test_a_cleaned_text_is_short_printable_and_valid(text: str, limit: int) -> None:
    """Stores, logs and terminals take it as it is."""
    clean = cleaned(text, limit)

    assert len(clean) <= limit
    assert all(c.isprintable() or c in "\n\t" for c in clean)
    clean.encode()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("why"), "ValueError: why"),
        (KeyError(), "KeyError"),
        (_Mute(), "_Mute: (its text cannot be had)"),
        (SystemExit(3), "SystemExit: 3"),
        (
            ExceptionGroup("both", [ValueError("a"), KeyError("b")]),
            "ExceptionGroup: both (2 sub-exceptions); ValueError: a; KeyError: 'b'",
        ),
    ],
)
def test_an_error_names_its_type_and_says_its_text(error: BaseException, text: str) -> None:
    """Also of a group: 'unhandled errors' alone helps nobody."""
    assert error_text(error) == text


def test_a_huge_error_is_cut() -> None:
    """Some libraries put a whole response into it."""
    assert len(error_text(ValueError("x" * 1_000_000))) == ERROR_LIMIT


def test_a_trace_shows_the_latest_frames_and_no_more_than_fit() -> None:
    """An endless recursion has a thousand of them."""

    def deeper(level: int) -> None:
        if level == 0:
            raise ValueError("x" * TRACE_LIMIT)
        deeper(level - 1)

    with pytest.raises(ValueError, match="x") as caught:
        deeper(100)

    trace = trace_text(caught.value)
    assert len(trace) <= TRACE_LIMIT
    assert trace.count("deeper(level - 1)") <= 20


def test_a_trace_shows_what_an_error_came_from() -> None:
    """The cause is where the mistake is."""
    with pytest.raises(ValueError, match="outer") as caught:
        _wraps()

    trace = trace_text(caught.value)
    assert trace.index("KeyError: 'inner'") < trace.index("ValueError: outer")
    assert 'raise ValueError("outer") from error' in trace


def _wraps() -> None:
    try:
        dict[str, int]()["inner"]
    except KeyError as error:
        raise ValueError("outer") from error


def test_a_trace_of_errors_that_lead_to_each_other_ends() -> None:
    """A library may raise one object twice."""
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one

    assert trace_text(one) == "ValueError: two\n\nthen\n\nValueError: one"


def test_a_trace_of_a_group_shows_its_parts() -> None:
    """Each is a mistake of its own."""
    trace = trace_text(ExceptionGroup("both", [ValueError("a"), KeyError("b")]))

    assert "ValueError: a" in trace
    assert "KeyError: 'b'" in trace
