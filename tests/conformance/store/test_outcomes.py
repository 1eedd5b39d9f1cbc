"""The end of an attempt: written once, by the one who holds the task, and by nobody else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from taskhub.model import Status, TaskId
from taskhub.ports import (
    Cancel,
    Finish,
    Finished,
    Progress,
    Prune,
    Pruned,
    Release,
    Renew,
    Renewed,
    Stale,
    Touched,
)

from tests.conformance.store.world import LEASE, A, B, World


async def test_a_result_is_kept(world: World) -> None:
    """Done, with its result and the time of its end; the lease is gone."""
    lease = await world.running()
    world.hands.advance(1)

    assert await world.finish(lease, result=b'{"width": 640}') == Finished(Status.DONE)

    item = await world.item(lease.item.id)
    assert item.status is Status.DONE
    assert bytes(item.result or b"") == b'{"width": 640}'
    assert item.finished_at == world.hands.now == item.updated_at
    assert await world.store.owners() == []
    assert world.told()[-1] == ("TaskDone", item.id)


async def test_a_second_finish_changes_nothing(world: World) -> None:
    """An answer was lost and the worker asks again: stale, and the first result stays."""
    lease = await world.running()
    await world.finish(lease, result=b"1")

    assert await world.finish(lease, Status.FAILED, error="late") == Stale()

    item = await world.item(lease.item.id)
    assert (item.status, item.error) == (Status.DONE, None)


async def test_a_finish_under_an_old_fence_changes_nothing(world: World) -> None:
    """A worker that was thought dead comes back while another runs the task: it changes nothing."""
    old = await world.running(A)
    await world.finish(old, Status.PENDING)
    (new,) = await world.claim(B)
    before = await world.item(old.item.id)

    assert await world.finish(old, result=b'"late"') == Stale()

    assert await world.item(old.item.id) == before
    assert await world.finish(new, result=b'"mine"') == Finished(Status.DONE)


async def test_of_two_outcomes_in_one_batch_the_first_counts(world: World) -> None:
    """The same attempt twice, beside a neighbour: one result, one Stale, the neighbour unharmed."""
    lease, other = await world.running(), await world.running()
    ends = [
        Finish(id=lease.item.id, fence=1, status=Status.DONE, result=b"1"),
        Finish(id=lease.item.id, fence=1, status=Status.FAILED, error="no"),
        Finish(id=TaskId("nobody"), fence=1, status=Status.DONE),
        Finish(id=other.item.id, fence=other.fence, status=Status.DONE),
    ]

    results = await world.do(*ends)

    assert list(results) == [Finished(Status.DONE), Stale(), Stale(), Finished(Status.DONE)]
    assert (await world.item(lease.item.id)).status is Status.DONE


async def test_a_retry_comes_back_when_it_is_due(world: World) -> None:
    """The attempt stays counted, the error stays to be seen, the task waits for its time."""
    lease = await world.running()
    due = world.hands.now + timedelta(seconds=4)

    result = await world.finish(lease, Status.PENDING, error="no route", run_at=due)

    assert result == Finished(Status.PENDING)
    item = await world.item(lease.item.id)
    assert (item.attempts, item.error, item.run_at) == (1, "no route", due)
    assert item.finished_at is None
    assert world.told()[-1] == ("TaskRetrying", item.id)
    assert not await world.claim()
    world.hands.advance(4)
    assert (await world.claim())[0].item.attempts == 2


async def test_a_snooze_costs_no_attempt(world: World) -> None:
    """`refund` gives the attempt back."""
    lease = await world.running()

    await world.finish(lease, Status.PENDING, refund=True)

    assert (await world.item(lease.item.id)).attempts == 0


@pytest.mark.parametrize("asked", [Status.PENDING, Status.FAILED, Status.CANCELLED])
async def test_a_cancel_that_was_asked_for_wins_over_a_failure(world: World, asked: Status) -> None:
    """Whoever cancels a running task does not want to see it again."""
    lease = await world.running()
    await world.do(Cancel(id=lease.item.id))

    assert await world.finish(lease, asked, error="stopped") == Finished(Status.CANCELLED)

    item = await world.item(lease.item.id)
    assert item.status is Status.CANCELLED
    assert item.finished_at == world.hands.now
    assert world.told()[-1] == ("TaskCancelled", item.id)


async def test_a_result_wins_over_a_cancel(world: World) -> None:
    """The work is done: throwing it away would help nobody."""
    lease = await world.running()
    await world.do(Cancel(id=lease.item.id))

    assert await world.finish(lease, result=b"1") == Finished(Status.DONE)


async def test_an_error_is_cut_and_made_readable(world: World) -> None:
    """Tracebacks have no limit and may hold anything; a reader has both."""
    lease = await world.running()

    await world.finish(lease, Status.FAILED, error="\ud800\x00" + "x" * 10_000)

    error = (await world.item(lease.item.id)).error or ""
    assert error.startswith("?\ufffdxx")
    assert len(error) == 4_000


async def test_progress_is_kept_for_the_holder_only(world: World) -> None:
    """The last word counts; an old fence says nothing any more."""
    lease = await world.running()
    word = Progress(id=lease.item.id, fence=lease.fence, data=b'{"share":0.5}')
    last = Progress(id=lease.item.id, fence=lease.fence, data=b'{"share":0.9}')
    old = Progress(id=lease.item.id, fence=lease.fence - 1, data=b'{"share":1}')

    assert list(await world.do(word, old, last)) == [
        Finished(Status.PROCESSING),
        Stale(),
        Finished(Status.PROCESSING),
    ]
    assert await world.one(old) == Stale()

    item = await world.item(lease.item.id)
    assert bytes(item.progress or b"") == b'{"share":0.9}'
    assert world.told()[-1] == ("TaskProgress", item.id)


async def test_progress_is_there_for_the_attempt_after(world: World) -> None:
    """A handler goes on where the attempt before stopped, whether that failed or was given back."""
    lease = await world.running()
    await world.do(Progress(id=lease.item.id, fence=lease.fence, data=b'{"data":7}'))

    for refund in (False, True):
        await world.finish(lease, Status.PENDING, refund=refund)
        (lease,) = await world.claim()
        assert bytes(lease.item.progress or b"") == b'{"data":7}'


async def test_a_renewal_keeps_a_lease(world: World) -> None:
    """It lasts from the renewal, by either way; what is lost or to be cancelled is told."""
    kept, lost, cancelled = [await world.running() for _ in range(3)]
    await world.finish(lost, Status.PENDING)
    await world.do(Cancel(id=cancelled.item.id))
    held = [(lease.item.id, lease.fence) for lease in (kept, lost, cancelled)]
    world.hands.advance(LEASE - 1)

    by_thread = world.store.renew(Renew(held=held, lease=LEASE))
    by_commit = await world.one(Renew(held=held, lease=LEASE))

    for renewed in (by_thread, by_commit):
        assert isinstance(renewed, Renewed)
        assert list(renewed.lost) == [lost.item.id]
        assert list(renewed.cancel) == [cancelled.item.id]
    assert {row["LeaseUntil"] for row in world.backend.rows("Tasks") if row["LeaseOwner"]} == {
        world.hands.boottime + LEASE
    }


async def test_a_release_gives_the_attempt_back(world: World) -> None:
    """A drain hands back what it had not started; nobody pays for it."""
    lease, stranger = await world.running(), await world.running()
    held = [(lease.item.id, lease.fence), (stranger.item.id, stranger.fence + 1)]

    assert await world.one(Release(held=held)) == Touched(1)

    item = await world.item(lease.item.id)
    assert (item.status, item.attempts) == (Status.PENDING, 0)
    assert (await world.item(stranger.item.id)).status is Status.PROCESSING
    assert world.told()[-1] == ("TaskRetrying", item.id)


async def test_many_releases_in_one_batch_are_counted_one_by_one(world: World) -> None:
    """Each gets its own answer, as if it had come alone."""
    lease = await world.running()
    mine = Release(held=[(lease.item.id, lease.fence)])
    nothing = Release(held=[(TaskId("nobody"), 1)])

    assert list(await world.do(nothing, mine)) == [Touched(0), Touched(1)]


async def test_a_release_of_a_task_to_be_cancelled_cancels_it(world: World) -> None:
    """After a cancel was answered, no handler starts."""
    lease = await world.running()
    await world.do(Cancel(id=lease.item.id))

    await world.do(Release(held=[(lease.item.id, lease.fence)]))

    assert (await world.item(lease.item.id)).status is Status.CANCELLED
    assert not await world.claim()


async def test_results_are_emptied_when_their_time_is_over(world: World) -> None:
    """A few at a time, the first to end first; the tasks stay, and tell when it was."""
    now = world.hands.now
    ends = {"soon": now + timedelta(hours=1), "later": now + timedelta(hours=2), "never": None}
    ids = {}
    for name in ("never", "later", "soon"):
        lease = await world.running()
        ids[name] = lease.item.id
        await world.finish(lease, result=b"{}", result_until=ends[name])
    long_ago = now - timedelta(days=365)
    prune = Prune(tasks_before=long_ago, events_before=long_ago, audit_before=long_ago, limit=1)

    emptied = []
    for hours in (0.5, 1.0, 1.0, 0.0):
        world.hands.advance(hours * 3_600)
        pruned = await world.one(prune)
        assert isinstance(pruned, Pruned)
        emptied.append(pruned.results)

    items = {name: await world.item(id_) for name, id_ in ids.items()}
    assert emptied == [0, 1, 1, 0]
    assert {name: item.result is None for name, item in items.items()} == {
        "soon": True,
        "later": True,
        "never": False,
    }
    assert {name: item.result_expires_at for name, item in items.items()} == ends
    assert {item.status for item in items.values()} == {Status.DONE}
    assert items["soon"].updated_at > items["never"].updated_at  # who has it cached must ask anew
