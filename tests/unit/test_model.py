"""The domain model: states, moves, names and times."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskhub.model import (
    DEFAULTS_KEY,
    FINAL,
    NAME_PATTERN,
    TRANSITIONS,
    Incarnation,
    Owner,
    Status,
    TypeDefaults,
    TypeInfo,
    micros_from_utc,
    utc_from_micros,
)

MOMENTS = st.datetimes(min_value=datetime(1000, 1, 2), max_value=datetime(9999, 12, 30))  # noqa: DTZ001 - aware below
WORDS = st.text(st.characters(exclude_characters="/"), max_size=20)


def test_every_state_can_be_reached_from_pending() -> None:
    """A state that nothing leads to would be a mistake in the table."""
    reached = {Status.PENDING}

    for _ in Status:
        reached |= {after for before in reached for after in TRANSITIONS[before]}

    assert reached == set(Status)


def test_what_is_done_stays_done() -> None:
    """Not even an operator's retry may run it a second time."""
    assert TRANSITIONS[Status.DONE] == frozenset()


@pytest.mark.parametrize("status", sorted(FINAL))
def test_a_final_state_is_left_for_pending_only(status: Status) -> None:
    """Leaving it is an operator's retry: the task starts anew."""
    assert status.is_final
    assert TRANSITIONS[status] <= {Status.PENDING}


@given(st.builds(Incarnation, WORDS, WORDS, WORDS))
def test_an_incarnation_is_read_back_from_the_owner_it_writes(incarnation: Incarnation) -> None:
    """The store keeps the text; who takes over must find the lock file from it."""
    assert Incarnation.parse(incarnation.owner) == incarnation


@pytest.mark.parametrize("owner", ["", "host", "host/unit", "a/b/c/d"])
def test_a_text_that_is_no_incarnation_is_refused(owner: str) -> None:
    """Somebody else's row must not be taken for a dead worker's."""
    with pytest.raises(ValueError, match="unpack"):
        Incarnation.parse(Owner(owner))


@given(MOMENTS, st.integers(-14, 14))
def test_a_moment_survives_as_microseconds(naive: datetime, hours: int) -> None:
    """Stores keep numbers: nothing may be rounded, whatever the zone it was written in."""
    moment = naive.replace(tzinfo=UTC)

    micros = micros_from_utc(moment.astimezone(timezone(timedelta(hours=hours))))

    assert utc_from_micros(micros) == moment


def test_a_type_keeps_its_defaults_in_its_schema() -> None:
    """The API applies them to a new task, without a column of their own."""
    info = TypeInfo("resize", {"type": "object", DEFAULTS_KEY: {"queue": "images"}})

    assert info.defaults == TypeDefaults(queue="images")


def test_a_type_that_says_nothing_has_the_general_defaults() -> None:
    """An external worker may register just a name."""
    assert TypeInfo("resize").defaults == TypeDefaults()


def test_defaults_are_written_in_camel_case() -> None:
    """They are JSON that clients see."""
    written = msgspec.to_builtins(TypeDefaults())

    assert written == {"queue": "default", "timeoutSeconds": 60.0, "maxAttempts": 5}


@pytest.mark.parametrize("name", ["a", "images.resize", "a-b_c:d", "0" * 100])
def test_names_are_made_of_plain_characters(name: str) -> None:
    """They stand in metric labels, log fields and addresses."""
    assert re.fullmatch(NAME_PATTERN, name)


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "ä", "a\n", "0" * 101])
def test_other_names_do_not_match(name: str) -> None:
    """What would have to be escaped somewhere is no name."""
    assert not re.fullmatch(NAME_PATTERN, name)
