"""Sliding windows: what they let through, what they say of the wait, and texts that are rates."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskhub.rates import Rate, Window, advance, read_rate, seconds_until, used

RATES = st.builds(Rate, limit=st.integers(1, 50), seconds=st.sampled_from([1, 60, 3_600]))
STEPS = st.lists(st.floats(0, 2), max_size=80)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/second", Rate(100, 1)),
        (" 5 / minute ", Rate(5, 60)),
        ("1/hour", Rate(1, 3_600)),
        ("1000000/day", Rate(1_000_000, 86_400)),
    ],
)
def test_texts_are_rates(text: str, rate: Rate) -> None:
    """As an operator would write them."""
    assert read_rate(text) == rate


@pytest.mark.parametrize(
    "text", ["", "100", "0/second", "1000001/day", "-1/second", "1/week", "1.5/second", "٣/second"]
)
def test_other_texts_are_not(text: str) -> None:
    """Nothing is guessed: a limit that is not what one thinks protects nobody."""
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        read_rate(text)


def take(window: Window, rate: Rate, now: float) -> bool:
    """One request at this time; whether there was room."""
    advance(window, rate.seconds, now)
    has_room = used(window, rate.seconds, now) < rate.limit
    window.count += has_room
    return has_room


def test_a_flood_gets_exactly_its_rate() -> None:
    """500 a second for ten seconds under 100 a second: 1,000 in, whenever it begins."""
    rate, window = Rate(100, 1), Window(7.3)

    taken = sum(take(window, rate, 7.3 + step / 500) for step in range(5_000))

    assert abs(taken - 1_000) <= 10


def test_a_whole_quota_may_come_at_once_and_comes_back_bit_by_bit() -> None:
    """Not all clients that wait are let in at the same moment."""
    rate, window = Rate(10, 60), Window(0.0)

    assert [take(window, rate, 1.0) for _ in range(11)] == [True] * 10 + [False]
    assert not take(window, rate, 59.9)
    assert [take(window, rate, 90.0) for _ in range(6)] == [True] * 5 + [False]


@given(rate=RATES, steps=STEPS)
def test_one_window_never_lets_through_more_than_its_quota(rate: Rate, steps: list[float]) -> None:
    """Whatever comes when."""
    window, now, taken = Window(0.0), 0.0, dict[float, int]()
    for step in steps:
        now += step * rate.seconds / 10
        if take(window, rate, now):
            taken[window.start] = taken.get(window.start, 0) + 1

    assert all(count <= rate.limit for count in taken.values())


@given(rate=RATES, steps=STEPS, most=st.integers(0, 49))
def test_the_wait_is_long_enough_and_no_longer(rate: Rate, steps: list[float], most: int) -> None:
    """Who comes back a moment after it finds room; who comes earlier finds none."""
    window, now = Window(0.0), 0.0
    for step in steps:
        now += step * rate.seconds / 50
        take(window, rate, now)
    advance(window, rate.seconds, now)
    wait = seconds_until(window, most, rate.seconds, now)

    assert (wait == 0.0) == (used(window, rate.seconds, now) <= most) or wait < 1e-6
    for moment, has_room in ((wait + 1e-6 * rate.seconds, True), (wait * 0.999, False)):
        later = Window(window.start, window.before, window.count)
        advance(later, rate.seconds, now + moment)
        is_below = used(later, rate.seconds, now + moment) <= most
        assert is_below == has_room or (not has_room and wait < 1e-3)


def test_a_clock_that_was_set_back_forgets_nothing_and_stops_nothing() -> None:
    """A window that begins in the future would refuse until then."""
    rate, window = Rate(2, 60), Window(1_000.0)
    assert take(window, rate, 1_000.0)

    assert [take(window, rate, 10.0) for _ in range(2)] == [True, False]
    assert take(window, rate, 131.0)


def test_a_limit_that_was_lowered_counts_what_was_done_before() -> None:
    """50 used of 10: nothing until enough of it has passed."""
    window = Window(0.0, before=0, count=50)

    wait = seconds_until(window, 9, 60, 0.0)

    assert wait == pytest.approx(60 + 60 - 10 * 60 / 50)
