"""Handing out tasks: to one worker only, the most urgent first, and only what may run now."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from taskhub.model import EventType, Lease, Status
from taskhub.ports import Claim, Claimed, Create, Requeue

from tests.conformance.store.world import LEASE, TYPES, A, B, World


async def test_a_task_is_claimed_by_one_worker_only(world: World) -> None:
    """Two pools ask at the same moment, by two stores; each task goes to one of them."""
    tasks = await world.add(50)
    other = world.backend.store(world.hands)
    await other.open()
    try:
        claims = [
            asyncio.gather(
                *(
                    store.commit([Claim(owner=owner, limit=3, lease=LEASE, types=TYPES)])
                    for store, owner in ((world.store, A), (other, B))
                )
            )
            for _ in range(10)
        ]
        done = [commit for pair in claims for commit in await pair]
    finally:
        await other.close()

    results = [commit.results[0] for commit in done]
    taken = [lease.item.id for result in results for lease in _leases(result)]
    assert len(taken) == 50
    assert sorted(taken) == tasks


def _leases(result: object) -> list[Lease]:
    assert isinstance(result, Claimed)
    return list(result.leases)


async def test_the_most_urgent_comes_first(world: World) -> None:
    """Priority, then the time it was due, then age: in this order, also across queues and types."""
    now = world.hands.now
    (low,) = await world.add(priority=-1)
    (early,) = await world.add(run_at=now - timedelta(seconds=9), queue="other")
    (plain,) = await world.add()
    (second,) = await world.add(type="resize")
    (high,) = await world.add(priority=7, queue="other")

    leases = await world.claim()

    assert [lease.item.id for lease in leases] == [high, early, plain, second, low]


async def test_a_limit_takes_the_most_urgent_of_all_queues(world: World) -> None:
    """The best few of every queue together, not a few of each."""
    await world.add(3, queue="a")
    urgent = await world.add(3, queue="b", priority=5)

    leases = await world.claim(limit=2)

    assert [lease.item.id for lease in leases] == urgent[:2]
    assert len(await world.claim(limit=10)) == 4


async def test_a_lease_tells_what_the_row_says(world: World) -> None:
    """Status, attempts, times and fence of the answer are those that were written."""
    (task,) = await world.add()
    world.hands.advance(2)

    (lease,) = await world.claim()

    assert lease.item == await world.item(task)
    assert lease.item.status is Status.PROCESSING
    assert lease.item.attempts == 1
    assert lease.item.started_at == world.hands.now == lease.item.updated_at
    assert lease.fence == 1
    assert not lease.suspect


async def test_a_trace_goes_with_the_task(world: World) -> None:
    """The worker's span belongs to the trace of the request that made the task."""
    await world.do(Create(item=world.task(), trace_parent="00-ab-cd-01"))

    (lease,) = await world.claim()

    assert lease.trace_parent == "00-ab-cd-01"


async def test_a_delayed_task_waits_until_it_is_due(world: World) -> None:
    """Not a moment earlier; then at once."""
    await world.add(run_at=world.hands.now + timedelta(seconds=10))

    world.hands.advance(9.999)
    assert not await world.claim()
    assert await world.store.next_due() == 0.001

    world.hands.advance(0.001)
    assert len(await world.claim()) == 1


async def test_a_task_of_an_unknown_type_waits(world: World) -> None:
    """A worker that does not know a type leaves it for one that does."""
    (task,) = await world.add(type="exotic")

    assert not await world.claim()
    assert (await world.item(task)).status is Status.PENDING
    assert len(await world.claim(types=("exotic",))) == 1


async def test_only_the_queues_asked_for_are_served(world: World) -> None:
    """A worker for one queue does not touch another; no queue named means all."""
    await world.add(queue="a")
    await world.add(queue="b")

    assert [lease.item.queue for lease in await world.claim(queues=("b", "c"))] == ["b"]
    assert [lease.item.queue for lease in await world.claim()] == ["a"]


async def test_a_paused_queue_waits(world: World) -> None:
    """What is paused is not handed out, nor does it keep the scheduler awake."""
    await world.add(queue="nightly")
    pause = "INSERT INTO Queues (Name, Paused, UpdatedAt, UpdatedBy) VALUES ('nightly', 1, 0, '')"
    world.backend.run(pause)

    assert not await world.claim()
    assert await world.store.next_due() is None

    world.backend.run("UPDATE Queues SET Paused = 0")
    assert await world.store.next_due() == 0.0
    assert len(await world.claim()) == 1


async def test_a_paused_type_waits(world: World) -> None:
    """The same for all tasks of one type, suspects too."""
    await world.add(type="resize")
    world.backend.run(
        "INSERT INTO Types (Name, Schema, RegisteredBy, RegisteredAt, Paused)"
        " VALUES ('resize', '{}', '', 0, 1)"
    )

    assert not await world.claim()


async def test_the_fence_only_grows(world: World) -> None:
    """Each claim has a higher one, whatever happened between: also an operator's retry."""
    lease = await world.running()
    fences = [lease.fence]
    await world.finish(lease, Status.PENDING)
    (lease,) = await world.claim()
    fences.append(lease.fence)
    await world.finish(lease, Status.FAILED)
    await world.do(Requeue(id=lease.item.id))
    (lease,) = await world.claim()
    fences.append(lease.fence)

    assert fences == [1, 2, 3]
    assert lease.item.attempts == 1


async def test_a_claim_is_told(world: World) -> None:
    """One TaskStarted for each lease, in the history too."""
    (task,) = await world.add()
    await world.claim()

    assert world.told() == [("TaskCreated", task), ("TaskStarted", task)]
    history = [(row["Type"], row["TaskId"]) for row in world.backend.rows("Events")]
    assert history == [(EventType.CREATED, task), (EventType.STARTED, task)]
