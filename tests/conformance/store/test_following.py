"""Tasks that are after others: held back, let go, ended with them; all in one transaction."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from taskhub.bulk import Act, Acted, Bulk
from taskhub.keys import Existing, UniqueKey
from taskhub.model import (
    AFTER_MOST,
    HOLDING,
    RESULT_SHARED,
    RESULTS_SHARED,
    Parent,
    Status,
    TaskId,
    TaskItem,
)
from taskhub.ports import (
    Cancel,
    Changed,
    Claim,
    Claimed,
    Create,
    Created,
    CreatedMany,
    CreateMany,
    Finish,
    Followed,
    NoParent,
    Prune,
    Requeue,
    Sweep,
    Takeover,
)
from taskhub.queues import QueueState

from tests.conformance.store.world import LEASE, TYPES, A, B, World

NOBODY = TaskId("0190a5f2-0000-7000-8000-00000000dead")


def after(world: World, *parents: TaskId, **fields: Any) -> TaskItem:
    """A new task that is after these."""
    return world.task(**({"after": parents, "on_parent_failure": "fail"} | fields))


async def follower(world: World, *parents: TaskId, **fields: Any) -> TaskId:
    """The same, stored."""
    item = after(world, *parents, **fields)
    assert await world.one(Create(item=item)) == Created(item)
    return item.id


async def claimable(world: World) -> list[TaskId]:
    """Which tasks somebody is handed now."""
    return [lease.item.id for lease in await world.claim()]


async def statuses(world: World, tasks: Sequence[TaskId]) -> list[Status]:
    """How these tasks stand."""
    return [item.status for item in await world.store.get(tasks)]


async def test_a_task_waits_for_all_that_it_is_after(world: World) -> None:
    """Fan-in: the last of them lets it go, in the commit of its own outcome."""
    one, two = await world.running(), await world.running()
    child = await follower(world, one.item.id, two.item.id)
    assert await claimable(world) == []
    assert await world.store.next_due() is None

    await world.finish(one)
    assert await claimable(world) == []
    end = Finish(id=two.item.id, fence=two.fence, status=Status.DONE)
    claim = Claim(owner=B, limit=9, lease=LEASE, types=TYPES)
    done = await world.store.commit([end, claim])
    _, claimed = done.results

    assert done.followed == Followed(let_go=1)

    assert isinstance(claimed, Claimed)
    (lease,) = claimed.leases
    assert (lease.item.id, lease.item.after) == (child, (one.item.id, two.item.id))
    assert lease.item.on_parent_failure == "fail"
    assert (await world.item(child)).after == (one.item.id, two.item.id)


async def test_many_can_be_after_one(world: World) -> None:
    """Fan-out: its end lets all of them go."""
    lease = await world.running()
    children = [await follower(world, lease.item.id) for _ in range(5)]

    await world.finish(lease)

    assert await claimable(world) == children


async def test_a_task_after_one_that_has_ended_begins_at_once(world: World) -> None:
    """There is no moment in which it could be missed."""
    lease = await world.running()
    await world.finish(lease)

    child = await follower(world, lease.item.id)

    assert await claimable(world) == [child]


async def test_a_task_let_go_takes_its_place_as_one_that_came_now(world: World) -> None:
    """It was not due while it waited: nobody who came meanwhile stands behind it."""
    lease = await world.running()
    child = await follower(world, lease.item.id)
    later = await follower(world, lease.item.id, run_at=world.hands.now + timedelta(seconds=60))
    world.hands.advance(10)
    (came,) = await world.add()
    world.hands.advance(10)

    await world.finish(lease)

    assert await claimable(world) == [came, child]
    assert (await world.item(child)).run_at == world.hands.now
    assert (await world.item(later)).run_at > world.hands.now


@pytest.mark.parametrize("how", [Status.FAILED, Status.CANCELLED])
async def test_what_follows_a_failure_ends_as_it_does(world: World, how: Status) -> None:
    """The whole chain in one commit, each with its event and with the parent that it had."""
    lease = await world.running()
    child = await follower(world, lease.item.id)
    grandchild = await follower(world, child)
    world.told()

    await world.finish(lease, how)

    items = await world.store.get([child, grandchild])
    word = {Status.FAILED: "has failed", Status.CANCELLED: "was cancelled"}[how]
    parents = (lease.item.id, child)
    assert [item.status for item in items] == [how, how]
    assert [item.error for item in items] == [
        f"a task that it is after {word}: {parent}" for parent in parents
    ]
    assert [item.finished_at for item in items] == [world.hands.now] * 2
    assert world.told() == [(f"Task{how}", task) for task in (lease.item.id, child, grandchild)]
    assert await claimable(world) == []


async def test_one_that_continues_runs_whatever_has_become_of_the_others(world: World) -> None:
    """A clean-up runs when all have ended, well or not."""
    one, two = await world.running(), await world.running()
    child = await follower(world, one.item.id, two.item.id, on_parent_failure="continue")

    await world.finish(one, Status.FAILED, error="no")
    assert await claimable(world) == []
    await world.do(Cancel(id=two.item.id))
    await world.finish(two, Status.PENDING)

    assert await claimable(world) == [child]


async def test_a_parent_that_is_tried_again_has_not_ended(world: World) -> None:
    """Neither a retry nor a lost worker decides anything."""
    lease = await world.running()
    child = await follower(world, lease.item.id)

    await world.finish(lease, Status.PENDING, error="no")
    (again,) = await world.claim()
    await world.one(Takeover(owner=A, started=[again.item.id]))

    assert await statuses(world, [again.item.id, child]) == [Status.PENDING] * 2
    (suspect,) = await world.claim(suspects=True)
    await world.finish(suspect)
    assert await claimable(world) == [child]


async def test_a_parent_whose_worker_dies_for_the_last_time_fails_its_children(
    world: World,
) -> None:
    """In the transaction that takes it over."""
    lease = await world.running(max_attempts=1)
    child = await follower(world, lease.item.id)

    await world.one(Takeover(owner=A))

    assert await statuses(world, [child]) == [Status.FAILED]


async def test_a_waiting_parent_that_is_cancelled_cancels_its_children(world: World) -> None:
    """Alone and by the hundred."""
    one, two = await world.add(2)
    children = [await follower(world, one), await follower(world, two)]

    await world.one(Cancel(id=one))
    await world.one(Bulk(act=Act.CANCEL, ids=[two]))

    assert await statuses(world, children) == [Status.CANCELLED] * 2


async def test_a_child_that_is_cancelled_is_not_touched_by_its_parent(world: World) -> None:
    """It has ended."""
    lease = await world.running()
    child = await follower(world, lease.item.id)
    await world.one(Cancel(id=child))

    await world.finish(lease)

    assert await statuses(world, [child]) == [Status.CANCELLED]


async def test_after_a_retry_of_all_the_child_waits_again(world: World) -> None:
    """An operator begins a whole failed chain anew, in one act, in any order."""
    lease = await world.running()
    child = await follower(world, lease.item.id)
    await world.finish(lease, Status.FAILED, error="no")

    await world.one(Bulk(act=Act.RETRY, ids=[child, lease.item.id]))

    (again,) = await world.claim()
    assert again.item.id == lease.item.id
    await world.finish(again)
    assert await claimable(world) == [child]


async def test_a_child_that_is_retried_alone_does_not_wait_for_what_has_ended(
    world: World,
) -> None:
    """Whoever retries it has seen how the other ended; what still runs is waited for."""
    failed, runs = await world.running(), await world.running()
    child = await follower(world, failed.item.id, runs.item.id)
    await world.finish(failed, Status.FAILED, error="no")

    result = await world.one(Requeue(id=child))

    assert isinstance(result, Changed)
    assert await claimable(world) == []
    await world.finish(runs)
    assert await claimable(world) == [child]


async def test_nothing_can_be_after_what_there_is_not(world: World) -> None:
    """Nor after itself: so no two tasks can ever wait for each other."""
    item = after(world, NOBODY)
    itself = world.task()
    itself = msgspec.structs.replace(itself, after=(itself.id,))

    results = await world.do(Create(item=item), Create(item=itself))

    assert results == [NoParent([NOBODY]), NoParent([itself.id])]
    assert await world.store.get([item.id, itself.id]) == []


@pytest.mark.parametrize("is_atomic", [True, False])
async def test_as_many_can_wait_for_one_as_one_transaction_decides(
    world: World, monkeypatch: pytest.MonkeyPatch, *, is_atomic: bool
) -> None:
    """What has ended waits no more, and makes room."""
    monkeypatch.setattr("taskhub.store.steps.following.FOLLOWERS_MOST", 2)
    (parent,) = await world.add(run_at=world.hands.now + timedelta(seconds=60))
    first, _ = [await follower(world, parent) for _ in range(2)]
    more = after(world, parent)
    batch = CreateMany(creates=[Create(item=more)], is_atomic=is_atomic)
    refusal = NoParent([parent], are_full=True)

    assert await world.one(Create(item=more)) == refusal
    assert await world.one(batch) == (refusal if is_atomic else CreatedMany([refusal]))
    await world.one(Bulk(act=Act.CANCEL, ids=[parent]))
    assert await statuses(world, [first]) == [Status.CANCELLED]
    assert await world.one(Create(item=more)) == Created(more)


@pytest.mark.parametrize("is_atomic", [True, False])
async def test_tasks_of_a_batch_can_be_after_those_before_them(
    world: World, *, is_atomic: bool
) -> None:
    """A whole graph in one transaction: a source, two in parallel, one that joins them."""
    source = world.task()
    left, right = after(world, source.id), after(world, source.id)
    join = after(world, left.id, right.id)
    creates = [Create(item=item) for item in (source, left, right, join)]

    result = await world.one(CreateMany(creates=creates, is_atomic=is_atomic))

    assert result == CreatedMany([Created(create.item) for create in creates])
    steps = []
    while leases := await world.claim():
        steps.append([lease.item.id for lease in leases])
        for lease in leases:
            await world.finish(lease)
    assert steps == [[source.id], [left.id, right.id], [join.id]]


async def test_a_batch_of_all_or_none_with_a_missing_parent_stores_none(world: World) -> None:
    """Half a graph would wait for ever."""
    source = world.task()
    broken = after(world, source.id, NOBODY)
    creates = [Create(item=source), Create(item=broken)]

    result = await world.one(CreateMany(creates=creates, is_atomic=True))

    assert result == NoParent([NOBODY])
    assert await world.store.get([source.id, broken.id]) == []
    assert world.told() == []


async def test_each_for_itself_what_is_after_one_that_is_not_stored_is_not_stored(
    world: World,
) -> None:
    """The refusal goes down the chain; the others are stored."""
    fine, broken = world.task(), after(world, NOBODY)
    below = after(world, broken.id)
    creates = [Create(item=fine), Create(item=broken), Create(item=below)]

    result = await world.one(CreateMany(creates=creates, is_atomic=False))

    assert result == CreatedMany([Created(fine), NoParent([NOBODY]), NoParent([broken.id])])


async def test_after_a_task_that_was_there_already_means_that_one(world: World) -> None:
    """Two who ask for the same unique parent have children of one parent."""
    key = UniqueKey(key="key:1", states=HOLDING)
    lease = await world.running()
    first = world.task()
    await world.one(Create(item=first, unique=key))
    twin = world.task()
    child = after(world, twin.id, first.id, lease.item.id)

    result = await world.one(
        CreateMany(creates=[Create(item=twin, unique=key), Create(item=child)], is_atomic=True)
    )

    made = msgspec.structs.replace(child, after=(first.id, lease.item.id))
    assert result == CreatedMany([Existing(first), Created(made)])
    assert (await world.item(child.id)).after == (first.id, lease.item.id)


async def test_a_parent_stays_while_a_task_that_is_after_it_lives(world: World) -> None:
    """Its result may be asked for; once nobody can, it goes as others do."""
    lease, other = await world.running(), await world.running()
    child = await follower(world, lease.item.id, other.item.id)
    soon = world.hands.now + timedelta(seconds=30)
    await world.finish(lease, result=b"7", result_until=soon)
    world.hands.advance(60)
    old = world.hands.now
    prune = Prune(tasks_before=old, events_before=old, audit_before=old)

    await world.one(prune)
    acted = await world.one(Bulk(act=Act.DELETE, ids=[lease.item.id]))

    assert acted == Acted(changed=0, skipped=1)
    kept = await world.item(lease.item.id)
    assert (kept.status, kept.result) == (Status.DONE, msgspec.Raw(b"7"))
    await world.one(Cancel(id=child))
    await world.one(prune)
    assert await statuses(world, [lease.item.id]) == []


async def test_a_child_reads_what_its_parents_have_made(world: World) -> None:
    """What is too large to hand on is said to be there."""
    small, large, failed, runs = [await world.running() for _ in range(4)]
    parents = [lease.item.id for lease in (small, large, failed, runs)]
    child = await follower(world, *parents, on_parent_failure="continue")
    await world.finish(small, result=b'{"pages":3}')
    await world.finish(large, result=b'"%s"' % (b"x" * RESULT_SHARED))
    await world.finish(failed, Status.FAILED, error="no ink")

    found = {parent.id: parent for parent in await world.store.parents(child)}

    assert [found[parent] for parent in parents] == [
        Parent(id=parents[0], status=Status.DONE, result=msgspec.Raw(b'{"pages":3}')),
        Parent(id=parents[1], status=Status.DONE, result_left_out=True),
        Parent(id=parents[2], status=Status.FAILED, error="no ink"),
        Parent(id=parents[3], status=Status.PROCESSING),
    ]
    assert await world.store.parents(parents[0]) == []
    told = tuple(found[parent] for parent in parents)
    await world.finish(runs)
    (lease,) = await world.claim()
    ended = Parent(id=parents[3], status=Status.DONE)
    assert lease.parents == (*told[:3], ended)


async def test_many_parents_share_what_a_child_can_be_told(world: World) -> None:
    """However wide the join, what a claim hands out has a bound."""
    leases = [await world.running() for _ in range(AFTER_MOST)]
    child = await follower(world, *(lease.item.id for lease in leases))
    share = RESULTS_SHARED // AFTER_MOST
    for number, lease in enumerate(leases):
        await world.finish(lease, result=b'"%s"' % (b"x" * (share - 2 + number % 2)))

    found = await world.store.parents(child)

    assert [parent.result is None for parent in found] == [False, True] * (AFTER_MOST // 2)
    assert [parent.result_left_out for parent in found] == [False, True] * (AFTER_MOST // 2)


async def test_a_parent_that_was_deleted_is_told_of_as_gone(world: World) -> None:
    """A child that is retried after that runs without it."""
    lease = await world.running()
    child = await follower(world, lease.item.id)
    await world.finish(lease, Status.FAILED)
    await world.one(Bulk(act=Act.DELETE, ids=[lease.item.id]))

    await world.one(Requeue(id=child))

    assert await world.store.parents(child) == [Parent(id=lease.item.id, status=None)]
    assert await claimable(world) == [child]


async def test_what_waits_for_others_counts_as_waiting_and_as_no_delay(world: World) -> None:
    """A long chain is no backlog: only what could run has an age."""
    lease = await world.running()
    await follower(world, lease.item.id, queue="images")
    world.hands.advance(30)

    states = {state.name: state for state in await world.store.queues()}

    assert states["images"] == QueueState("images", paused=False, pending=1)


@pytest.mark.parametrize("seed", range(3))
async def test_a_graph_of_a_hundred_tasks_ends_whoever_dies_on_the_way(
    world: World, seed: int
) -> None:
    """Each task once, and after all that it is after; workers die with what they hold."""
    chance = random.Random(seed)
    items: list[TaskItem] = []
    for number in range(100):
        some = chance.sample(items, min(number, chance.randrange(4)))
        parents = tuple(item.id for item in some)
        items.append(after(world, *parents, max_attempts=100))
    await world.one(CreateMany(creates=[Create(item=item) for item in items], is_atomic=True))
    done: list[TaskId] = []

    while len(done) < len(items):
        leases = [*await world.claim(limit=4), *await world.claim(suspects=True)]
        assert leases, "all that is left waits for ever"
        ends = [lease for lease in leases if chance.random() < 0.7]
        assert all(set(lease.item.after) <= set(done) for lease in leases)
        await world.do(
            *(Finish(id=one.item.id, fence=one.fence, status=Status.DONE) for one in ends)
        )
        done += [lease.item.id for lease in ends]
        await world.one(Takeover(owner=A, started=chance.choice([None, []])))

    assert sorted(done) == sorted(item.id for item in items)
    assert await statuses(world, done) == [Status.DONE] * len(items)


async def test_as_many_as_can_be_are_waited_for(world: World) -> None:
    """The widest join."""
    parents = await world.add(AFTER_MOST)
    child = await follower(world, *parents)

    for lease in await world.claim(limit=AFTER_MOST):
        assert await statuses(world, [child]) == [Status.PENDING]
        await world.finish(lease)

    assert await claimable(world) == [child]


async def chain(world: World, length: int) -> list[TaskId]:
    """Tasks each of which is after the one before it."""
    items = [world.task()]
    for _ in range(length - 1):
        items.append(after(world, items[-1].id))
    await world.one(CreateMany(creates=[Create(item=item) for item in items], is_atomic=True))
    return [item.id for item in items]


async def sweep(world: World) -> None:
    """A sweep that frees nothing."""
    await world.one(Sweep(owner=A, held=[], living=[A], lease=LEASE))


async def test_what_follows_is_bounded_and_sweeps_go_on_with_the_rest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a chain is, its end keeps the store for so long at most, and is whole soon."""
    monkeypatch.setattr("taskhub.store.steps.following.DECIDED_MOST", 22)
    tasks = await chain(world, 6)
    world.told()

    await world.one(Cancel(id=tasks[0]))
    assert await statuses(world, tasks) == [Status.CANCELLED] * 3 + [Status.PENDING] * 3
    await sweep(world)
    assert await statuses(world, tasks) == [Status.CANCELLED] * 5 + [Status.PENDING]
    await sweep(world)

    assert await statuses(world, tasks) == [Status.CANCELLED] * 6
    assert [task for _, task in world.told()] == tasks


async def test_many_children_are_decided_part_by_part(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are let go by a sweep ring for work, as the others do."""
    monkeypatch.setattr("taskhub.store.steps.following.DECIDED_MOST", 3)
    lease = await world.running()
    children = [await follower(world, lease.item.id) for _ in range(5)]

    await world.finish(lease)
    first = len(await claimable(world))
    again = await world.store.commit([Sweep(owner=A, held=[], living=[A], lease=LEASE)])

    assert (first, again.followed.let_go, len(await claimable(world))) == (3, 2, 2)
    assert await statuses(world, children) == [Status.PROCESSING] * 5


async def test_a_task_that_begins_anew_has_not_ended_for_those_that_were_put_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What had not followed yet does not follow any more."""
    monkeypatch.setattr("taskhub.store.steps.following.DECIDED_MOST", 1)
    lease = await world.running()
    children = [await follower(world, lease.item.id) for _ in range(2)]
    await world.finish(lease, Status.FAILED, error="no")

    await world.one(Requeue(id=lease.item.id))
    await sweep(world)

    assert sorted(await statuses(world, children)) == [Status.FAILED, Status.PENDING]
    (again,) = await world.claim()
    await world.finish(again)
    assert len(await claimable(world)) == 1


async def test_children_are_found_page_by_page(world: World) -> None:
    """Newest first, however they stand; grandchildren are not among them."""
    one, two = await world.add(2)
    children = [await follower(world, one, title=f"child {n}") for n in range(3)]
    await follower(world, two, children[0])
    await world.one(Cancel(id=children[1]))

    page = await world.store.children(one, None, 2)
    rest = await world.store.children(one, page[-1].id, 2)

    assert [child.id for child in (*page, *rest)] == children[::-1]
    assert page[1].status is Status.CANCELLED
    assert (page[0].title, page[0].created_by, rest[0].error) == ("child 2", "user-1", None)
    assert await world.store.children(two, None, 10) != []
    assert await world.store.children(NOBODY, None, 10) == []


async def test_parents_come_in_the_order_in_which_they_were_named(world: World) -> None:
    """Whatever their ids are."""
    one, two, three = await world.add(3)
    child = await follower(world, two, three, one)

    assert [parent.id for parent in await world.store.parents(child)] == [two, three, one]


async def test_a_child_with_a_key_waits_for_its_parent_and_then_for_its_turn(world: World) -> None:
    """It takes no turn while it is held, and is in its line afterwards, also when it is retried."""
    lease = await world.running()
    child = await follower(world, lease.item.id, group_key="a")
    assert await claimable(world) == []
    await world.finish(lease, Status.FAILED, error="no")

    await world.one(Bulk(act=Act.RETRY, ids=[child, lease.item.id]))
    (again,) = await world.claim()
    await world.finish(again)
    (turn,) = await world.claim()

    assert (again.item.id, turn.item.id, turn.item.group_key) == (lease.item.id, child, "a")
    assert [row["GroupKey"] for row in world.backend.rows("Turns")] == ["a"]
