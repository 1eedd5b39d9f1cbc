"""What attempts have failed of: kept for each task, and seen in groups of those that are alike."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from taskhub.bulk import Act, Bulk
from taskhub.failures import (
    COUNTED,
    KEPT,
    AttemptEnd,
    Cause,
    FailureGroup,
    FailureQuery,
    cause_of,
)
from taskhub.finding import TaskQuery
from taskhub.model import Lease, Status, TaskId
from taskhub.ports import Cancel, Finished, Requeue, Stale, Sweep, Takeover
from taskhub.search import parse

from tests.conformance.store.world import LEASE, A, B, World

PAY = cause_of("simulate", "ValueError", "shop.orders:pay", "the stack")
SHIP = cause_of("simulate", "KeyError", "shop.orders:ship")


async def fail(world: World, cause: Cause | None = PAY, **fields: str) -> TaskId:
    """A task that has failed for good."""
    lease = await world.running(A, **fields)
    await world.finish(lease, Status.FAILED, error="no", cause=cause)
    return lease.item.id


async def again(world: World, lease: Lease) -> Lease:
    """The next start of a task whose attempt has just failed."""
    (found,) = [each for each in await world.claim(B) if each.item.id == lease.item.id]
    return found


async def groups(world: World, **query: Any) -> list[FailureGroup]:
    """One page of groups."""
    return list((await world.store.failures(FailureQuery(**query))).items)


async def test_each_failed_attempt_is_kept_with_its_error(world: World) -> None:
    """Who looks at a dead task wants to know whether it failed in the same way each time."""
    lease = await world.running(A)
    began = world.hands.now
    world.hands.advance(2)
    await world.finish(lease, Status.PENDING, error="one", cause=PAY)
    second = await again(world, lease)
    world.hands.advance(3)
    await world.finish(second, Status.FAILED, error="two", cause=SHIP)

    first, last = await world.store.attempts(lease.item.id)

    assert (first.attempt, first.error, first.end) == (1, "one", AttemptEnd.FAILED)
    assert (first.started_at, first.ended_at) == (began, began + timedelta(seconds=2))
    assert (first.worker, last.worker) == ("worker-1", "worker-2")
    assert (first.exception, first.place, first.trace) == ("ValueError", PAY.place, "the stack")
    assert (last.attempt, last.error, last.fingerprint) == (2, "two", SHIP.fingerprint)
    assert (await world.item(lease.item.id)).fingerprint == SHIP.fingerprint


async def test_of_failures_that_are_alike_the_newest_has_the_trace(world: World) -> None:
    """The same stack a hundred times would fill the disk."""
    lease = await world.running()
    await world.finish(lease, Status.PENDING, error="one", cause=PAY)
    await world.finish(await again(world, lease), Status.PENDING, error="two", cause=PAY)

    kept = await world.store.attempts(lease.item.id)

    assert [attempt.trace for attempt in kept] == [None, "the stack"]


async def test_a_stale_failure_is_not_kept(world: World) -> None:
    """A late worker changes nothing, not even the past."""
    lease = await world.running()
    await world.finish(lease, Status.PENDING, error="one", cause=PAY)
    await again(world, lease)

    assert await world.finish(lease, Status.FAILED, error="late", cause=PAY) == Stale()

    (kept,) = await world.store.attempts(lease.item.id)
    assert (kept.error, kept.trace) == ("one", "the stack")


async def test_a_late_failure_takes_no_trace_away(world: World) -> None:
    """Its lease had expired, and that is what is kept of it."""
    lease = await world.running()
    await world.finish(lease, Status.PENDING, error="one", cause=PAY)
    late = await again(world, lease)
    world.hands.advance(LEASE + 1)
    await world.swept(Sweep(owner=A, held=(), living=(), lease=LEASE))

    assert await world.finish(late, Status.FAILED, error="late", cause=PAY) == Stale()

    kept = await world.store.attempts(lease.item.id)
    assert [attempt.trace for attempt in kept] == ["the stack", None]


@pytest.mark.parametrize(
    ("status", "refund"), [(Status.DONE, False), (Status.CANCELLED, False), (Status.PENDING, True)]
)
async def test_what_did_not_fail_leaves_no_failure(
    world: World, status: Status, refund: bool
) -> None:
    """A success, a cancel and a snooze: the task itself and its events tell of them."""
    lease = await world.running()

    await world.finish(lease, status, refund=refund)

    assert await world.store.attempts(lease.item.id) == []


async def test_success_takes_the_fingerprint_away(world: World) -> None:
    """Who looks for what is broken does not find what works again."""
    lease = await world.running()
    await world.finish(lease, Status.PENDING, error="one", cause=PAY)
    waiting = await world.item(lease.item.id)

    await world.finish(await again(world, lease), result=b"1")

    assert waiting.fingerprint == PAY.fingerprint
    assert (await world.item(lease.item.id)).fingerprint is None
    assert len(await world.store.attempts(lease.item.id)) == 1


async def test_the_past_outlives_an_operators_retry(world: World) -> None:
    """The attempts begin anew at 1, and those of before are still there."""
    task = await fail(world)
    await world.do(Requeue(id=task))
    (lease,) = await world.claim()

    assert lease.item.fingerprint is None
    await world.finish(lease, Status.FAILED, error="again", cause=SHIP)

    kept = await world.store.attempts(task)
    assert [(attempt.attempt, attempt.error) for attempt in kept] == [(1, "no"), (1, "again")]


async def test_no_task_keeps_more_than_its_last_failures(world: World) -> None:
    """One that is retried for ever must not fill the table."""
    lease = await world.running(max_attempts=100)
    for number in range(KEPT + 5):
        await world.finish(lease, Status.PENDING, error=str(number), cause=PAY)
        (lease,) = await world.claim()

    kept = await world.store.attempts(lease.item.id)

    assert [attempt.error for attempt in kept] == [str(n) for n in range(5, KEPT + 5)]


async def test_a_deleted_task_takes_its_past_along(world: World) -> None:
    """Nothing of it is left to fill the disk."""
    task = await fail(world)

    await world.do(Bulk(act=Act.DELETE, ids=[task]))

    assert world.backend.rows("Attempts") == []


async def test_a_dead_worker_is_a_failure_of_what_it_had_begun(world: World) -> None:
    """Tasks that kill their workers are found together; a neighbour is not blamed."""
    killer = await world.running(max_attempts=1)
    neighbour = await world.running()

    await world.swept(Takeover(owner=A, started=[killer.item.id]))

    (kept,) = await world.store.attempts(killer.item.id)
    assert (kept.exception, kept.error, kept.worker) == (
        "WorkerDied",
        "its worker died",
        "worker-1",
    )
    item = await world.item(killer.item.id)
    assert item.fingerprint == kept.fingerprint == cause_of("simulate", "WorkerDied").fingerprint
    assert await world.store.attempts(neighbour.item.id) == []


async def test_an_expired_lease_is_a_failed_attempt(world: World) -> None:
    """Also where the task gets another one."""
    lease = await world.running()
    world.hands.advance(LEASE + 1)

    await world.swept(Sweep(owner=B, held=(), living=(), lease=LEASE))

    (kept,) = await world.store.attempts(lease.item.id)
    assert (kept.exception, kept.error, kept.attempt) == ("LeaseExpired", "lease expired", 1)


async def test_after_a_wish_to_cancel_nothing_is_a_failure(world: World) -> None:
    """A handler that was told to stop may say what it likes."""
    lease = await world.running()
    await world.do(Cancel(id=lease.item.id))

    result = await world.finish(lease, Status.FAILED, error="stopped", cause=PAY)

    assert result == Finished(Status.CANCELLED)
    assert await world.store.attempts(lease.item.id) == []


async def test_alike_failures_are_one_group(world: World) -> None:
    """Counted, with the first and the last time, the newest error and some ids."""
    first = world.hands.now
    tasks = []
    for _ in range(5):
        tasks.append(await fail(world))
        world.hands.advance(10)
    await fail(world, SHIP)

    ship, pay = await groups(world)

    assert ship.fingerprint == SHIP.fingerprint
    assert (pay.fingerprint, pay.type, pay.exception) == (PAY.fingerprint, "simulate", "ValueError")
    assert (pay.place, pay.error, pay.count, pay.more) == ("shop.orders:pay", "no", 5, False)
    assert (pay.first_seen, pay.last_seen) == (first, first + timedelta(seconds=40))
    assert list(pay.samples) == tasks[:1:-1]


async def test_a_group_is_found_by_its_fingerprint(world: World) -> None:
    """So a retry of all of them is a search."""
    tasks = [await fail(world) for _ in range(3)]
    await fail(world, SHIP)

    page = await world.store.find(TaskQuery(where=parse(f"fingerprint:{PAY.fingerprint}")))

    assert [item.id for item in page.items] == tasks[::-1]


async def test_what_is_retried_leaves_its_group(world: World) -> None:
    """Groups are what has failed now; no counter could tell otherwise."""
    task = await fail(world)

    await world.do(Requeue(id=task))

    assert await groups(world) == []


async def test_failures_without_a_cause_are_a_group_by_type(world: World) -> None:
    """Such as those of a version that kept none."""
    await fail(world, None)
    await fail(world, None, type="resize")

    found = await groups(world)

    assert [(group.fingerprint, group.type, group.count) for group in found] == [
        (None, "resize", 1),
        (None, "simulate", 1),
    ]


async def test_groups_come_page_by_page(world: World) -> None:
    """Those that failed last first, each once, also where times are the same."""
    for number in range(7):
        await fail(
            world, cause_of("simulate", f"Error{number}"), type=("simulate", "resize")[number % 2]
        )
        world.hands.advance(number % 2)
    whole = await groups(world)

    paged: list[FailureGroup] = []
    cursor = None
    while True:
        page = await world.store.failures(FailureQuery(limit=2, cursor=cursor))
        paged += page.items
        if (cursor := page.next) is None:
            break

    assert paged == whole
    assert len(whole) == 7
    assert [g.last_seen for g in whole] == sorted((g.last_seen for g in whole), reverse=True)


async def test_groups_of_a_type_or_since_a_time(world: World) -> None:
    """What has failed since the last deploy."""
    await fail(world)
    world.hands.advance(60)
    await fail(world, SHIP, type="resize")

    assert [g.type for g in await groups(world, type="simulate")] == ["simulate"]
    assert await groups(world, type="nothing") == []
    assert [g.type for g in await groups(world, since=world.hands.now)] == ["resize"]


async def test_a_very_large_group_is_not_counted_to_its_end(world: World) -> None:
    """A page never goes through a million rows."""
    task = await fail(world)
    world.backend.run(
        "INSERT INTO Tasks (Id, Title, Type, Queue, Priority, MaxAttempts, TimeoutSeconds, RunAt,"
        " CreatedAt, UpdatedAt, CreatedBy, Payload, Status, FinishedAt, Fingerprint)"
        " WITH RECURSIVE n (N) AS (SELECT 0 UNION ALL SELECT N + 1 FROM n WHERE N < ?)"
        " SELECT 'x-' || N, '', Type, Queue, 0, 3, 1.0, 0, 0, 0, '', '{}', Status, 1, Fingerprint"
        " FROM n CROSS JOIN Tasks WHERE Id = ?",
        *(COUNTED, task),
    )

    (group,) = await groups(world)

    assert (group.count, group.more) == (COUNTED, True)
