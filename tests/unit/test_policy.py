"""What follows from an outcome, for every outcome and every number of attempts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taskhub.backoff import Backoff
from taskhub.model import TRANSITIONS, Cancel, Done, Fail, Outcome, Retry, Snooze, Status
from taskhub.policy import LONGEST_PAUSE, SHORTEST_SNOOZE, Settled, Tries, settle

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

seconds = st.floats(allow_nan=True, allow_infinity=True)
reasons = st.text(max_size=20)
outcomes = st.one_of(
    st.builds(Done, st.none() | st.integers()),
    st.builds(Retry, reasons, in_seconds=st.none() | seconds),
    st.builds(Snooze, seconds, reasons),
    st.builds(Cancel, reasons),
    st.builds(Fail, reasons),
)
backoffs = st.builds(
    Backoff,
    base=st.floats(0, 1e6),
    factor=st.floats(1, 1e3),
    cap=st.floats(0, 1e6),
    jitter=st.floats(0, 1),
)
tries = st.builds(Tries, st.integers(1, 10_000), st.integers(1, 100), backoffs)
rngs = st.integers().map(Random)


@given(outcomes, tries, rngs)
def test_every_settlement_is_a_legal_move_from_processing(
    outcome: Outcome, tried: Tries, rng: Random
) -> None:
    """A store refuses any other move, and the task would hang in Processing."""
    settled = settle(outcome, tried, NOW, rng)

    assert settled.status in TRANSITIONS[Status.PROCESSING]


@given(outcomes, tries, rngs)
def test_a_task_comes_back_in_bounded_time_exactly_when_it_is_pending_again(
    outcome: Outcome, tried: Tries, rng: Random
) -> None:
    """Whatever number the handler gave: negative, endless, or none at all."""
    settled = settle(outcome, tried, NOW, rng)

    assert (settled.run_at is not None) == (settled.status is Status.PENDING)
    if settled.run_at is not None:
        assert NOW <= settled.run_at <= NOW + timedelta(seconds=LONGEST_PAUSE)


@given(outcomes, tries, rngs)
def test_only_a_snooze_gives_the_attempt_back(outcome: Outcome, tried: Tries, rng: Random) -> None:
    """Else a task could fail for ever and never run out of attempts."""
    settled = settle(outcome, tried, NOW, rng)

    assert settled.refund == isinstance(outcome, Snooze)


@given(st.integers(1, 50), st.integers(1, 50), rngs)
def test_a_retry_ends_as_failed_when_its_attempts_are_used_up(
    attempt: int, limit: int, rng: Random
) -> None:
    """The bound on how often a handler is started."""
    settled = settle(Retry("no"), Tries(attempt, limit), NOW, rng)

    assert settled.status is (Status.FAILED if attempt >= limit else Status.PENDING)
    assert settled.error == "no"


@given(backoffs, st.integers(-5, 100_000), rngs)
def test_a_pause_lies_between_its_whole_and_what_jitter_leaves_of_it(
    backoff: Backoff, attempt: int, rng: Random
) -> None:
    """The cap holds for any attempt, also where the power would overflow a float."""
    pause = backoff.pause(attempt, rng)

    whole = Backoff(backoff.base, backoff.factor, backoff.cap, 0.0).pause(attempt, rng)
    assert 0 <= whole * (1 - backoff.jitter) * 0.999_999 <= pause <= whole <= backoff.cap


def test_pauses_double_from_the_base_to_the_cap() -> None:
    """The defaults without jitter, number by number."""
    backoff = Backoff(base=1.0, factor=2.0, cap=10.0, jitter=0.0)

    pauses = [backoff.pause(attempt, Random(0)) for attempt in range(1, 7)]

    assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_retry_may_name_its_own_pause() -> None:
    """A server that says `Retry-After` knows better than our policy."""
    settled = settle(Retry("later", in_seconds=90), Tries(1, 5), NOW, Random(0))

    assert settled == Settled(Status.PENDING, "later", NOW + timedelta(seconds=90))


def test_a_snooze_of_nothing_is_no_busy_loop() -> None:
    """It costs no attempt, so nothing else would ever stop it."""
    settled = settle(Snooze(0), Tries(1, 5), NOW, Random(0))

    assert settled.run_at == NOW + timedelta(seconds=SHORTEST_SNOOZE)


def test_fail_ends_a_task_whatever_attempts_are_left() -> None:
    """It will never work: the handler knows."""
    settled = settle(Fail("no such picture"), Tries(1, 5), NOW, Random(0))

    assert settled == Settled(Status.FAILED, "no such picture")


def test_cancel_ends_a_task_without_an_error_when_it_has_no_reason() -> None:
    """There was nothing to do, and nothing to say."""
    assert settle(Cancel(), Tries(1, 5), NOW, Random(0)) == Settled(Status.CANCELLED)


@pytest.mark.parametrize(
    "wrong",
    [{"base": -1.0}, {"factor": 0.5}, {"cap": float("nan")}, {"jitter": 1.5}],
)
def test_a_backoff_that_makes_no_sense_is_refused_where_it_is_written(
    wrong: dict[str, float],
) -> None:
    """Not at the first failure, days later."""
    with pytest.raises(ValueError, match="backoff"):
        Backoff(**wrong)
