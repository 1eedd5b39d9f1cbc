"""What is done about due times, in time and missed, by policy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from taskhub.schedules.cron import Cron, next_after, read, times_between
from taskhub.schedules.schedule import Misfire
from taskhub.schedules.timing import REACH, Moment, Step, plan

HOURLY = read("@hourly")
DAY = datetime(2026, 5, 4, tzinfo=UTC)


def at(hour: float) -> datetime:
    """An hour of the day of these tests."""
    return DAY + timedelta(hours=hour)


def steps(
    misfire: Misfire, next_at: float, now: float, grace: float = 60.0, limit: int = 100
) -> list[tuple[float, bool, bool]]:
    """Of an hourly schedule: the hour, whether it runs, whether it stands for others before it."""
    moment = Moment(at(next_at), at(now), grace)
    found = plan(HOURLY, misfire, moment, limit)
    return [((s.due - DAY) / timedelta(hours=1), s.runs, s.since is not None) for s in found]


@pytest.mark.parametrize("misfire", Misfire)
def test_what_is_in_time_runs_whatever_the_policy(misfire: Misfire) -> None:
    """A scheduler is always a little late."""
    assert steps(misfire, 6, 5.999) == []
    assert steps(misfire, 6, 6) == [(6, True, False)]
    assert steps(misfire, 6, 6.016) == [(6, True, False)]
    assert steps(misfire, 6, 8.5, grace=9_001) == [(n, True, False) for n in (6, 7, 8)]


def test_skip_leaves_out_what_was_missed() -> None:
    """One mark stands for all of it; what is in time runs."""
    assert steps(Misfire.SKIP, 6, 6.5) == [(6, False, False)]
    assert steps(Misfire.SKIP, 2, 6.5) == [(6, False, True)]
    assert steps(Misfire.SKIP, 2, 6.01) == [(5, False, True), (6, True, False)]


def test_once_makes_up_for_it_with_one_run() -> None:
    """The newest; where one is due just now, that is the one."""
    assert steps(Misfire.ONCE, 6, 6.5) == [(6, True, False)]
    assert steps(Misfire.ONCE, 2, 6.5) == [(6, True, True)]
    assert steps(Misfire.ONCE, 2, 6.01) == [(6, True, True)]


def test_all_makes_up_for_each() -> None:
    """The oldest first, some at a time."""
    assert steps(Misfire.ALL, 2, 5.5) == [(n, True, False) for n in (2, 3, 4, 5)]
    assert steps(Misfire.ALL, 2, 5.5, limit=2) == [(2, True, False), (3, True, False)]


def test_all_does_not_reach_back_for_ever() -> None:
    """After a year it begins a month ago, and says that something is left out."""
    moment = Moment(DAY - timedelta(days=365), DAY, 60.0)

    found = plan(HOURLY, Misfire.ALL, moment, 5)

    due = DAY - REACH
    assert found[0] == Step(moment.next_at, due, due + HOUR, missed=True, since=moment.next_at)
    assert [step.since for step in found[1:]] == [None] * 4


HOUR = timedelta(hours=1)


def test_a_time_that_a_zone_has_abolished_is_due_all_the_same() -> None:
    """It was promised; and without it the schedule would stand still."""
    odd = at(6.5)

    for misfire in Misfire:
        (step,) = plan(HOURLY, misfire, Moment(odd, odd, 60.0), 9)
        assert (step.due, step.next) == (odd, at(7))
        first, *_ = plan(HOURLY, misfire, Moment(odd, at(6.9), 60.0), 9)
        assert (first.due, first.next) == (odd, at(7))


def test_what_is_due_for_the_last_time_has_no_next() -> None:
    """The calendar of computers ends, too."""
    last = datetime(9999, 12, 31, 23, tzinfo=UTC)

    assert plan(HOURLY, Misfire.ONCE, Moment(last, last, 60.0), 9) == [Step(last, last, None)]


CRONS = [read(text, "Europe/Berlin") for text in ("*/7 * * * *", "30 2 * * *", "0 */5 * * 1-5")]


@settings(max_examples=100, deadline=None, database=None)
@given(
    cron=st.sampled_from(CRONS),
    misfire=st.sampled_from(Misfire),
    start=st.datetimes(datetime(2026, 3, 20), datetime(2026, 4, 5)),  # noqa: DTZ001 - made aware below
    span=st.tuples(st.floats(0, 400), st.sampled_from([0.0, 60.0, 7_200.0])),
    limit=st.integers(1, 20),
)
def test_every_due_time_is_in_one_step_or_in_the_gap_before_one(
    cron: Cron, misfire: Misfire, start: datetime, span: tuple[float, float], limit: int
) -> None:
    """Whatever the policy: until the next due time lies ahead nothing is lost, nothing is twice."""
    slept, grace = span
    next_at = next_after(cron, start.replace(tzinfo=UTC))
    assert next_at is not None
    now = next_at + timedelta(hours=slept)
    whole: list[Step] = []
    while found := plan(cron, misfire, Moment(next_at, now, grace), limit):
        whole += found
        assert len(found) <= limit + 1
        assert found[-1].next is not None
        next_at = found[-1].next

    assert next_at > now
    assert all(one.next == other.seen for one, other in pairwise(whole))
    expected = times_between(cron, whole[0].seen, now, 100_000)
    stood_for = [
        due for step in whole for due in expected if step.since and step.since <= due < step.due
    ]
    assert sorted([*stood_for, *(step.due for step in whole)]) == expected
    _by_policy(misfire, whole, now - timedelta(seconds=grace))


def _by_policy(misfire: Misfire, whole: list[Step], late: datetime) -> None:
    """What each policy promises of those that were missed."""
    missed = [step for step in whole if step.due < late]
    assert all(step.missed == (step in missed or step.since is not None) for step in whole)
    assert all(step.runs for step in whole if step.due >= late)
    match misfire:
        case Misfire.ALL:
            assert all(step.runs and step.since is None for step in whole)
        case Misfire.ONCE:
            assert len(missed) <= 1
            assert all(step.runs for step in whole)
        case Misfire.SKIP:
            assert len(missed) <= 1
            assert not any(step.runs for step in missed)
