"""The pool's bookkeeping: how much may be claimed, whose turn it is, and which lease is meant."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from taskhub.actors.holdings import BRISK, CLAIM, Holdings
from taskhub.attempts import Attempt, Lost, Released
from taskhub.model import Lease, Status, TaskId
from taskhub.ports import Finish, Release
from taskhub.work.attempt import Attempt as Running

from tests.actors.workshop import task

SIZE = 4


def attempt(task_id: str = "", fence: int = 1, *, suspect: bool = False) -> Running:
    """A lease of a task (a new one when none is named)."""
    item = task()
    if task_id:
        item = msgspec.structs.replace(item, id=TaskId(task_id))
    return Running(Lease(item=item, fence=fence, suspect=suspect))


def done(of: Attempt) -> Finish:
    """The outcome of an attempt that went well."""
    return Finish(id=of.id, fence=of.lease.fence, status=Status.DONE)


def start_all(held: Holdings, size: int = SIZE) -> list[Attempt]:
    """Start what can be started."""
    started = list[Attempt]()
    while (following := held.start_next(size)) is not None:
        started.append(following)
    return started


@pytest.fixture
def held() -> Holdings:
    """Nothing is held yet."""
    return Holdings()


# ---- how much may be claimed ----


def test_long_tasks_are_claimed_for_free_slots_alone(held: Holdings) -> None:
    """Before the first attempt has ended nobody knows, so tasks count as long."""
    assert held.room(SIZE) == SIZE
    for _ in range(3):
        held.take_in(attempt())
    assert held.room(SIZE) == 1
    start_all(held)
    assert held.room(SIZE) == 1


def test_brisk_tasks_are_claimed_ahead_up_to_twice_the_concurrency(held: Holdings) -> None:
    """A claim is asked for when half of what was ahead is used up: few claims, few strand."""
    held.average = BRISK / 2
    assert held.room(SIZE) == 2 * SIZE
    for _ in range(2 * SIZE):
        held.take_in(attempt())
    start_all(held)
    assert (len(held.running), len(held.waiting), held.room(SIZE)) == (4, 4, 0)

    for each in tuple(held.running)[:2]:
        held.end(each, done(each))
    start_all(held)

    assert (len(held.running), len(held.waiting), held.room(SIZE)) == (4, 2, 2)


def test_no_claim_is_larger_than_a_batch(held: Holdings) -> None:
    """However many slots there are."""
    assert held.room(10_000) == CLAIM
    held.average = 0.0
    assert held.room(10_000) == CLAIM


def test_with_a_smaller_concurrency_there_is_no_room_until_those_too_many_have_ended(
    held: Holdings,
) -> None:
    """A reload may have made it so."""
    for _ in range(SIZE):
        held.take_in(attempt())
    running = start_all(held)

    assert held.room(1) <= 0
    assert held.start_next(1) is None
    for each in running[:3]:
        held.end(each, done(each))
        held.average = 2 * BRISK
    assert held.room(1) == 0


def test_one_long_attempt_ends_the_time_of_brisk_ones(held: Holdings) -> None:
    """What is claimed ahead of a minute waits for a minute."""
    held.average = 0.0
    each = attempt()
    each.started, each.ended = 0.0, 60.0
    held.take_in(each)
    start_all(held)

    held.end(each, done(each))

    assert held.average > BRISK


# ---- whose turn it is ----


def test_a_suspect_goes_first_and_takes_nobody_s_slot(held: Holdings) -> None:
    """It runs in a lane of its own, one at a time."""
    others = [attempt() for _ in range(SIZE)]
    for each in others:
        held.take_in(each)
    suspect = attempt(suspect=True)
    held.take_in(suspect)
    assert held.suspect is suspect

    assert start_all(held) == [suspect, *others]

    held.end(suspect, done(suspect))
    held.average = 2 * BRISK
    assert held.suspect is None
    assert held.room(SIZE) == 0


def test_a_task_is_not_started_beside_an_attempt_at_it_that_still_runs(held: Holdings) -> None:
    """Its first lease was lost and the task came back to us: never two at once."""
    lost = attempt("a", fence=1)
    held.take_in(lost)
    start_all(held)
    again = attempt("a", fence=2)
    held.take_in(again)

    assert start_all(held) == []
    assert held.is_open(again)
    held.end(lost, Lost())

    assert start_all(held) == [again]


# ---- which lease is meant ----


def test_a_task_that_is_claimed_again_while_it_waits_waits_once(held: Holdings) -> None:
    """Its lease was lost before its turn came: the new one counts."""
    lost, again = attempt("a", fence=1), attempt("a", fence=2)
    held.take_in(lost)

    held.take_in(again)

    assert start_all(held) == [again]


def test_the_end_of_an_old_lease_does_not_touch_the_new_one(held: Holdings) -> None:
    """An outcome and the next claim may be one transaction, and the claim be heard of first."""
    old, new = attempt("a", fence=1), attempt("a", fence=2)
    held.take_in(old)
    start_all(held)
    held.end(old, done(old))
    held.take_in(new)
    start_all(held)

    assert not held.forget(old)

    assert held.attempts == {new.id: new}
    assert held.running == {new}
    held.end(new, done(new))
    assert held.forget(new)
    assert held.attempts == {}


def test_an_ended_attempt_is_open_no_more_but_its_lease_is_kept_until_it_is_settled(
    held: Holdings,
) -> None:
    """Else somebody could run it before its outcome is stored."""
    each = attempt()
    held.take_in(each)
    assert held.is_open(each)
    start_all(held)
    assert held.is_open(each)

    held.end(each, done(each))

    assert not held.is_open(each)
    assert list(held.attempts) == [each.id]


def test_what_is_left_behind_has_no_slot_but_its_lease_is_kept(held: Holdings) -> None:
    """Its thread goes on: nobody else may run it before this process is gone."""
    each = attempt(suspect=True)
    held.take_in(each)
    start_all(held)

    held.leave_behind(each)

    assert (held.running, held.left_behind, held.suspect) == (set(), {each}, None)
    assert list(held.attempts) == [each.id]


# ---- what is written ----


@pytest.mark.parametrize("parked", [False, True])
def test_what_has_not_started_is_given_back_under_its_fence(held: Holdings, parked: bool) -> None:
    """Also what waits for an older attempt at itself."""
    old, new = attempt("a", fence=1), attempt("a", fence=2, suspect=True)
    if parked:
        held.take_in(old)
        start_all(held)
    held.take_in(new)

    assert held.hand_back_waiting()

    assert [row.write for row in held.ended] == [Release(held=((new.id, 2),))]
    assert held.suspect is None
    assert not held.hand_back_waiting()


def test_what_follows_from_each_end_is_one_write_or_none(held: Holdings) -> None:
    """Of a lost lease nothing may be written."""
    finished, released, lost = attempt(), attempt(), attempt()
    held.end(finished, done(finished))
    held.end(released, Released())
    held.end(lost, Lost())

    assert [row.write for row in held.ended] == [
        done(finished),
        Release(held=((released.id, 1),)),
        None,
    ]


def test_a_refused_outcome_is_tried_as_a_failure_and_then_no_more(held: Holdings) -> None:
    """A row that takes nothing must not be tried for ever; a release is no outcome at all."""
    each = attempt()
    held.end(each, done(each))
    held.end(each, Released())
    outcome, release = held.ended

    failure = outcome.refused("why")

    assert isinstance(failure.write, Finish)
    assert failure.write.status is Status.FAILED
    assert failure.write.error == "the outcome could not be stored: why"
    assert failure.refused("again").write is None
    assert release.refused("why").write is None


def test_slots_are_never_exceeded_nor_leaked_whatever_happens(held: Holdings) -> None:
    """A thousand random steps, few tasks: never two at once of one, nothing held for ever."""
    rng, size = Random(7), SIZE
    alive = dict[TaskId, Attempt]()
    for step in range(1_000):
        size = rng.choice((1, 2, 4, 8)) if step % 50 == 0 else size
        for _ in range(min(rng.randrange(4), max(0, held.room(size)))):
            each = attempt(f"{step % 40:036}", fence=step, suspect=False)
            held.take_in(each)
            alive[each.id] = each
        before = len(held.running)
        start_all(held, size)
        assert len(held.running) <= max(before, size)
        assert len({each.id for each in held.running}) == len(held.running)
        for ending in [ending for ending in held.running if rng.random() < 0.5]:
            held.end(ending, rng.choice((done(ending), Released(), Lost())))
        for row in held.ended[: rng.randrange(4)]:
            held.ended.remove(row)
            if held.forget(row.attempt):
                del alive[row.attempt.id]
        assert held.attempts == alive
