"""Due times become tasks: each once, whoever tries; and runs do not overlap."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from taskhub.audit import Audit, AuditQuery
from taskhub.model import Status
from taskhub.ports import Cancel, Claim, Create, Refused, Stale, Write
from taskhub.schedules.schedule import (
    WAITING_MOST,
    LastRun,
    Overlap,
    Reason,
    Run,
    RunOutcome,
    RunQuery,
    Source,
)
from taskhub.schedules.writes import (
    Absent,
    DeclareSchedules,
    DropSchedule,
    Fired,
    PauseSchedule,
    ResumeSchedule,
    SaveSchedule,
    StartRun,
    TriggerSchedule,
)

from tests.conformance.store.timetable import (
    FIRED,
    HOUR,
    SECOND,
    SKIPPED,
    WAITING,
    Timetable,
    definition,
)
from tests.conformance.store.world import LEASE, A, World


@pytest.fixture
def times(world: World) -> Timetable:
    """The world's schedules."""
    return Timetable(world)


# ---- each due time once


async def test_nothing_is_due_before_its_time(world: World, times: Timetable) -> None:
    """The agenda says how long that is; to the microsecond."""
    assert (await world.store.agenda(9)).next is None
    schedule = await times.made()

    agenda = await world.store.agenda(9)
    assert (agenda.now, agenda.due, agenda.next) == (world.hands.now, [], 3_600.0)
    world.hands.advance(3_599.5)
    assert (await world.store.agenda(9)).next == 0.5
    world.hands.advance(0.5)
    agenda = await world.store.agenda(9)
    assert (agenda.due, agenda.next) == ([schedule], 0.0)


async def test_the_agenda_is_bounded_and_the_longest_due_come_first(
    world: World, times: Timetable
) -> None:
    """Whoever is late is served before who has just come."""
    for name in ("c", "a", "b"):
        await times.made(name)
        world.hands.advance(1)
    world.hands.advance(7_200)

    agenda = await world.store.agenda(2)

    assert [schedule.definition.name for schedule in agenda.due] == ["c", "a"]


async def test_a_due_time_becomes_a_task(world: World, times: Timetable) -> None:
    """With its event, its row and the move to the next due time, in one transaction."""
    schedule = await times.made()
    world.hands.advance(3_601)
    write = times.firing(schedule)
    assert write.item is not None

    result = await world.one(write)

    assert result == Fired(write.due, FIRED, task_id=write.item.id)
    assert await world.item(write.item.id) == write.item
    assert world.told() == [("TaskCreated", write.item.id)]
    now = await times.now()
    assert (now.next_at, now.version) == (write.next_at, 1)
    assert now.last == LastRun(due_at=write.due, task_id=write.item.id, status=Status.PENDING)
    page = await world.store.runs(RunQuery(schedule="nightly"))
    assert list(page.items) == [
        Run(
            due_at=write.due,
            at=world.hands.now,
            outcome=FIRED,
            task_id=write.item.id,
            status=Status.PENDING,
        )
    ]


async def test_who_comes_second_does_nothing(world: World, times: Timetable) -> None:
    """In the same batch, or later, with the same news or older."""
    schedule = await times.made()
    world.hands.advance(3_601)
    first, second, third = (times.firing(schedule) for _ in range(3))

    results = await world.do(first, second)
    late = await world.one(third)
    ahead = await world.one(times.firing(schedule, due=first.due + 5 * HOUR))

    assert isinstance(results[0], Fired)
    assert (results[1], late, ahead) == (Stale(), Stale(), Stale())
    assert (await times.now()).next_at == first.next_at
    assert len(world.told()) == 1
    assert await times.runs() == [(FIRED, "")]


async def test_a_due_time_that_was_handled_is_not_handled_again(
    world: World, times: Timetable
) -> None:
    """Also when a clock was put back, or the schedule was made anew: the row says so."""
    schedule = await times.made()
    world.hands.advance(3_601)
    await times.fired()
    world.told()
    await world.one(DropSchedule(name="nightly"))
    assert schedule.next_at is not None
    again = SaveSchedule(definition=definition(), next_at=schedule.next_at, by="olga")
    await world.one(again)

    assert await world.one(times.firing(await times.now())) == Stale()

    assert world.told() == []
    now = await times.now()
    assert now.next_at == schedule.next_at + HOUR


async def test_many_stores_fire_each_due_time_once(world: World, times: Timetable) -> None:
    """Every one of them tries each of them, all at the same time."""
    schedule = await times.made()
    assert schedule.next_at is not None
    world.hands.advance(360_000)
    others = [world.backend.store(world.hands) for _ in range(3)]
    for other in others:
        await other.open()
    stores = [world.store, *others]
    try:
        for number in range(40):
            seen = schedule.next_at + number * HOUR
            writes = [
                times.firing(schedule, seen=seen, due=seen, next_at=seen + HOUR) for _ in stores
            ]
            done = await asyncio.gather(
                *(store.commit([write]) for store, write in zip(stores, writes, strict=True))
            )
            results = [result for commit in done for result in commit.results]
            assert [type(result) for result in results].count(Fired) == 1, results
            assert sum(len(commit.events) for commit in done) <= 1
    finally:
        for other in others:
            await other.close()

    rows = world.backend.rows("ScheduleRuns")
    assert [row["DueAt"] for row in rows] == sorted({row["DueAt"] for row in rows})
    assert len(rows) == 40


@pytest.mark.parametrize("change", ["edit", "pause", "drop", "resume"])
async def test_what_has_changed_meanwhile_is_not_fired_as_it_was(
    world: World, times: Timetable, change: str
) -> None:
    """A scheduler has looked before somebody acted: it looks again."""
    schedule = await times.made()
    world.hands.advance(3_601)
    write = times.firing(schedule)
    by, next_at = "olga", world.hands.now + HOUR
    act: dict[str, Write] = {
        "edit": SaveSchedule(definition=definition(priority=9), next_at=next_at, by=by),
        "pause": PauseSchedule(name="nightly", by=by),
        "drop": DropSchedule(name="nightly"),
    }
    if change == "resume":
        await world.do(act["pause"], ResumeSchedule(name="nightly", next_at=next_at, by=by))
    else:
        await world.one(act[change])

    assert await world.one(write) == Stale()
    assert world.told() == []


async def test_a_missed_due_time_leaves_its_mark_and_no_task(
    world: World, times: Timetable
) -> None:
    """What ran last stays what ran last."""
    await times.made()
    world.hands.advance(7_201)
    since = world.hands.now - 2 * HOUR
    first = await times.fired(missed=True, since=since)
    skipped = await times.fired(item=None)

    assert (first.outcome, first.reason) == (FIRED, Reason.MISSED)
    assert (skipped.outcome, skipped.reason, skipped.task_id) == (SKIPPED, Reason.MISSED, None)
    assert await times.runs() == [(FIRED, Reason.MISSED), (SKIPPED, Reason.MISSED)]
    last = (await times.now()).last
    assert last is not None
    assert last.task_id == first.task_id
    page = await world.store.runs(RunQuery(schedule="nightly"))
    assert [run.since for run in page.items] == [None, since]


async def test_several_due_times_of_one_schedule_go_into_one_batch(
    world: World, times: Timetable
) -> None:
    """Each goes on from where the one before has moved it."""
    schedule = await times.made(overlap=Overlap.QUEUE)
    assert schedule.next_at is not None
    world.hands.advance(14_400)
    steps = [schedule.next_at + number * HOUR for number in range(3)]

    results = await world.do(
        *(times.firing(schedule, seen=at, due=at, next_at=at + HOUR) for at in steps)
    )

    assert [result.outcome for result in results if isinstance(result, Fired)] == [
        FIRED,
        WAITING,
        WAITING,
    ]


async def test_the_last_due_time_of_all_has_no_next(world: World, times: Timetable) -> None:
    """Then nothing is due any more."""
    await times.made()
    world.hands.advance(3_601)

    await times.fired(next_at=None)

    agenda = await world.store.agenda(9)
    assert (agenda.due, agenda.next) == ([], None)


async def test_a_task_that_cannot_be_stored_leaves_the_due_time_unhandled(
    world: World, times: Timetable
) -> None:
    """All or nothing; the neighbours are stored all the same."""
    schedule = await times.made()
    world.hands.advance(3_601)
    (known,) = await world.add()
    neighbour = world.task()

    refused, created = await world.do(
        times.firing(schedule, item=times.item(id=known)), Create(item=neighbour)
    )

    assert isinstance(refused, Refused)
    assert await world.item(neighbour.id) == neighbour
    assert created is not None
    assert (await times.now()).next_at == schedule.next_at
    assert await times.runs() == []


async def test_a_task_that_is_fired_can_be_claimed_in_the_same_batch(
    world: World, times: Timetable
) -> None:
    """Claims come last: a tick costs no second commit."""
    schedule = await times.made()
    world.hands.advance(3_601)
    claim = Claim(owner=A, limit=5, lease=LEASE, types=("simulate",))

    _, claimed = await world.do(times.firing(schedule), claim)

    assert len(claimed.leases) == 1  # type: ignore[union-attr]  # or it fails


# ---- overlap


async def test_skip_leaves_out_what_would_overlap(world: World, times: Timetable) -> None:
    """Whether the run before waits or runs; once it has ended, it goes on."""
    await times.made(overlap=Overlap.SKIP)
    world.hands.advance(3_600 * 5)
    first = await times.fired()
    second = await times.fired()
    (lease,) = await world.claim()
    third = await times.fired()
    await world.finish(lease, Status.FAILED, error="no")
    fourth = await times.fired()

    assert [run.outcome for run in (first, second, third, fourth)] == [
        FIRED,
        SKIPPED,
        SKIPPED,
        FIRED,
    ]
    assert second.reason is Reason.OVERLAP
    assert (await times.now()).waiting == 0


async def test_a_queue_runs_one_after_the_other(world: World, times: Timetable) -> None:
    """In the order in which they were due, each when the one before has ended."""
    await times.made(overlap=Overlap.QUEUE)
    world.hands.advance(3_600 * 5)
    first, second, third = [await times.fired() for _ in range(3)]
    assert [second.outcome, third.outcome] == [WAITING, WAITING]
    assert (await times.now()).waiting == 2
    assert await times.started() == []

    await times.end(first.task_id)
    (next_,) = await times.started()
    assert (next_.due, next_.outcome) == (second.due, FIRED)
    assert await times.started() == []
    await times.end(next_.task_id, Status.CANCELLED)
    (last,) = await times.started()

    assert last.due == third.due
    await times.end(last.task_id)
    agenda = await world.store.agenda(9)
    assert (agenda.ready, agenda.waits) == ([], False)
    assert await times.runs() == [(FIRED, "")] * 3
    now = await times.now()
    assert now.last is not None
    assert (now.last.due_at, now.waiting) == (third.due, 0)


async def test_a_run_that_waits_keeps_its_place_before_later_ones(
    world: World, times: Timetable
) -> None:
    """The one before has ended, but nobody has started the next one yet."""
    await times.made(overlap=Overlap.QUEUE)
    world.hands.advance(3_600 * 5)
    first = await times.fired()
    second = await times.fired()
    await times.end(first.task_id)

    third = await times.fired()

    assert third.outcome is WAITING
    (started,) = await times.started()
    assert started.due == second.due


async def test_a_queue_is_bounded(world: World, times: Timetable) -> None:
    """What finds no room is skipped, and says why."""
    schedule = await times.made(overlap=Overlap.QUEUE)
    assert schedule.next_at is not None
    world.hands.advance(3_600 * 24 * 30)
    due = [schedule.next_at + number * HOUR for number in range(WAITING_MOST + 3)]

    results = await world.do(
        *(times.firing(schedule, seen=at, due=at, next_at=at + HOUR) for at in due)
    )

    reasons = [(r.outcome, r.reason) for r in results if isinstance(r, Fired)]
    assert reasons == [
        (FIRED, ""),
        *[(WAITING, "")] * WAITING_MOST,
        *[(SKIPPED, Reason.FULL)] * 2,
    ]


async def test_cancel_takes_the_place_of_what_has_not_begun(world: World, times: Timetable) -> None:
    """It is cancelled and the new one is there, in one transaction."""
    await times.made(overlap=Overlap.CANCEL)
    world.hands.advance(3_600 * 5)
    first = await times.fired()
    world.told()

    second = await times.fired()

    assert (second.outcome, second.asked_to_stop) == (FIRED, None)
    assert first.task_id is not None
    assert (await world.item(first.task_id)).status is Status.CANCELLED
    assert sorted(world.told()) == sorted(
        [("TaskCancelled", first.task_id), ("TaskCreated", second.task_id or "")]
    )


async def test_cancel_waits_until_what_runs_has_stopped(world: World, times: Timetable) -> None:
    """Never two at once; of those that wait only the newest is kept."""
    await times.made(overlap=Overlap.CANCEL)
    world.hands.advance(3_600 * 5)
    first = await times.fired()
    (lease,) = await world.claim()
    second = await times.fired()
    third = await times.fired()

    assert (second.outcome, second.asked_to_stop) == (WAITING, first.task_id)
    assert third.outcome is WAITING
    assert first.task_id is not None
    assert (await world.item(first.task_id)).cancel_requested
    assert await times.started() == []
    await world.finish(lease, Status.CANCELLED)
    (started,) = await times.started()
    assert started.due == third.due
    assert await times.runs() == [(FIRED, ""), (SKIPPED, Reason.SUPERSEDED), (FIRED, "")]


async def test_a_task_that_was_deleted_has_ended(world: World, times: Timetable) -> None:
    """Nobody waits for what is not there any more."""
    await times.made(overlap=Overlap.SKIP)
    world.hands.advance(3_600 * 3)
    first = await times.fired()
    world.backend.run("DELETE FROM Tasks WHERE Id = ?", first.task_id)

    assert (await times.fired()).outcome is FIRED


async def test_a_waiting_run_is_started_once(world: World, times: Timetable) -> None:
    """Whoever tries second, or too early, does nothing."""
    await times.made(overlap=Overlap.QUEUE)
    world.hands.advance(3_600 * 3)
    first = await times.fired()
    second = await times.fired()

    def start() -> StartRun:
        return StartRun(name="nightly", due=second.due, item=times.item())

    assert await world.one(start()) == Stale()
    await times.end(first.task_id)
    results = await world.do(start(), start())

    assert [type(result) for result in results] == [Fired, Stale]
    await times.end(results[0].task_id)  # type: ignore[union-attr]  # it has just begun
    assert await world.one(start()) == Stale()
    await world.one(DropSchedule(name="nightly"))
    assert await world.one(start()) == Stale()


async def test_a_pause_gives_up_what_waits(world: World, times: Timetable) -> None:
    """Whoever resumes it days later does not want the runs of then."""
    await times.made(overlap=Overlap.QUEUE)
    world.hands.advance(3_600 * 3)
    first = await times.fired()
    await times.fired()

    await world.one(PauseSchedule(name="nightly", by="olga"))

    await times.end(first.task_id)
    assert await times.started() == []
    assert await times.runs() == [(FIRED, ""), (SKIPPED, Reason.PAUSED)]


# ---- run now


async def test_a_run_that_somebody_asks_for_runs_now(world: World, times: Timetable) -> None:
    """Paused or not; the due times stay what they are, and the audit log says who."""
    schedule = await times.made()
    await world.one(PauseSchedule(name="nightly", by="olga"))
    item = times.item()
    write = TriggerSchedule(
        name="nightly", item=item, audit=Audit(message="schedule run nightly", actor="olga")
    )

    result = await world.one(write)

    assert isinstance(result, Fired)
    assert (result.outcome, result.task_id) == (FIRED, item.id)
    assert timedelta() <= result.due - world.hands.now < SECOND
    assert await world.item(item.id) == item
    assert (await times.now()).next_at == schedule.next_at
    (run,) = (await world.store.runs(RunQuery(schedule="nightly"))).items
    assert run.manual
    (entry,) = (await world.store.audit(AuditQuery())).items
    assert (entry.message, entry.task_id) == ("schedule run nightly", item.id)
    assert await times.triggered("other") == Absent()


async def test_runs_that_are_asked_for_at_once_have_times_of_their_own(
    world: World, times: Timetable
) -> None:
    """And none that a clock could have: they stand in nobody's way."""
    schedule = await times.made(overlap=Overlap.QUEUE)
    world.hands.advance(3_600)
    assert world.hands.now == schedule.next_at
    writes = [TriggerSchedule(name="nightly", item=times.item()) for _ in range(3)]

    results = await world.do(*writes)
    due = await times.fired()

    at = [result.due for result in results if isinstance(result, Fired)]
    assert len({*at, due.due}) == 4
    assert [result.outcome for result in results if isinstance(result, Fired)] == [
        FIRED,
        WAITING,
        WAITING,
    ]


async def test_what_may_not_overlap_is_not_run_by_hand_either(
    world: World, times: Timetable
) -> None:
    """It leaves no row and no mark: who asked is told."""
    await times.made(overlap=Overlap.SKIP)
    await times.triggered()
    mark = Audit(message="schedule run nightly", actor="olga")

    again = await world.one(TriggerSchedule(name="nightly", item=times.item(), audit=mark))

    assert isinstance(again, Fired)
    assert (again.outcome, again.reason, again.task_id) == (SKIPPED, Reason.OVERLAP, None)
    assert await times.runs() == [(FIRED, "")]
    assert (await world.store.audit(AuditQuery())).items == []


async def test_a_cancel_of_the_task_frees_the_schedule(world: World, times: Timetable) -> None:
    """An operator's cancel and the next start go into one batch."""
    await times.made(overlap=Overlap.QUEUE)
    world.hands.advance(3_600 * 3)
    first, second = await times.fired(), await times.fired()
    assert first.task_id is not None

    _, started = await world.do(
        Cancel(id=first.task_id), StartRun(name="nightly", due=second.due, item=times.item())
    )

    assert isinstance(started, Fired)


async def test_a_declared_schedule_fires_like_any_other(world: World, times: Timetable) -> None:
    """A declaration that says the same again does not disturb it."""
    next_at = world.hands.now + HOUR
    declared = DeclareSchedules(
        source=Source.CONFIG, place="", schedules=[(definition(), next_at)], by="worker-1"
    )
    await world.one(declared)
    world.hands.advance(3_600)
    schedule = await times.now()
    write = times.firing(schedule)

    await world.one(declared)

    result = await world.one(write)
    assert isinstance(result, Fired)
    assert result.outcome is RunOutcome.FIRED
