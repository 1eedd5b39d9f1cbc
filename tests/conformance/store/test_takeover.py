"""What nobody holds any more: expired leases, dead owners, and suspects."""

from __future__ import annotations

from typing import Any

import pytest
from taskhub.model import Lease, Owner, Status, TaskId
from taskhub.ports import Cancel, Sweep, Swept, Takeover

from tests.conformance.store.world import FOREIGN, LEASE, A, B, C, World

NOTHING = Swept([], [], [], [])


def sweep(owner: Owner = C, held: tuple = (), living: tuple = ()) -> Sweep:
    """A sweep by `owner`, or by somebody who holds nothing."""
    return Sweep(owner=owner, held=held, living=living, lease=LEASE)


async def test_a_lease_that_lasts_is_left_alone(world: World) -> None:
    """A sweep a moment before the end frees nothing."""
    await world.running()
    world.hands.advance(LEASE - 0.001)

    assert await world.swept(sweep()) == NOTHING


async def test_an_expired_lease_is_freed(world: World) -> None:
    """Its owner is on another machine or has hung: the task goes to another, the attempt counts."""
    lease = await world.running()
    world.hands.advance(LEASE)

    assert list((await world.swept(sweep())).requeued) == [lease.item.id]

    assert world.told()[-1] == ("TaskRetrying", lease.item.id)
    (again,) = await world.claim(B)
    assert (again.item.attempts, again.fence, again.suspect) == (2, 2, False)


async def test_our_own_expired_lease_is_freed_when_its_handler_has_ended(world: World) -> None:
    """An answer was lost on the way: the row says that we run it, and we do not."""
    mine, lost = await world.running(), await world.running()
    world.hands.advance(LEASE * 10)

    swept = await world.swept(sweep(A, held=(mine.item.id,), living=(A,)))

    assert list(swept.requeued) == [lost.item.id]


async def test_our_own_lease_is_ours_until_it_ends(world: World) -> None:
    """A claim is committed before its answer arrives: not held yet is not yet lost."""
    await world.running()

    assert not (await world.swept(sweep(A))).requeued


async def test_a_living_owner_keeps_its_tasks_for_four_leases(world: World) -> None:
    """Its process is there (its lock says so) and may be late; then the fence alone protects."""
    lease = await world.running()

    world.hands.advance(4 * LEASE - 0.001)
    assert not (await world.swept(sweep(living=(A,)))).requeued

    world.hands.advance(0.001)
    assert list((await world.swept(sweep(living=(A,)))).requeued) == [lease.item.id]


async def test_an_owner_of_another_boot_is_dead_at_once(world: World) -> None:
    """The machine was restarted: nothing of before can run, and its clock began anew.

    Unless the database has more than one host: then it may be the boot of another one.
    """
    lease = await world.running(FOREIGN)

    dead = [lease.item.id] if world.backend.is_of_one_host else []
    assert list((await world.swept(sweep())).requeued) == dead
    world.hands.advance(LEASE)
    assert list((await world.swept(sweep())).requeued) == [lease.item.id][len(dead) :]


async def test_a_sweep_ends_what_has_used_up_its_attempts(world: World) -> None:
    """Failed, with a reason, and told."""
    lease = await world.running(max_attempts=1)
    world.hands.advance(LEASE)

    assert list((await world.swept(sweep())).failed) == [lease.item.id]

    item = await world.item(lease.item.id)
    assert (item.status, item.error) == (Status.FAILED, "lease expired")
    assert item.finished_at == world.hands.now
    assert world.told()[-1] == ("TaskFailed", item.id)


async def test_a_sweep_cancels_what_was_to_be_cancelled(world: World) -> None:
    """Neither a new attempt nor a failure."""
    lease = await world.running(max_attempts=1)
    await world.do(Cancel(id=lease.item.id))
    world.hands.advance(LEASE)

    assert list((await world.swept(sweep())).cancelled) == [lease.item.id]


async def test_a_sweep_tells_its_owner_what_to_cancel(world: World) -> None:
    """The doorbell may have been lost: each second the sweep says it again."""
    lease, _ = await world.running(), await world.running(B)
    await world.do(Cancel(id=lease.item.id))

    assert list((await world.swept(sweep(A, held=(lease.item.id,)))).cancel) == [lease.item.id]
    assert list((await world.swept(sweep(B))).cancel) == []


async def _two(world: World, **fields: Any) -> tuple[Lease, Lease]:
    return await world.running(**fields), await world.running(**fields)


async def test_a_dead_owners_tasks_are_free_at_once(world: World) -> None:
    """With a ledger: what had started is a suspect, what had not goes back for free."""
    begun, waiting = await _two(world)
    other = await world.running(B)

    swept = await world.swept(Takeover(owner=A, started=[begun.item.id]))

    assert sorted(swept.requeued) == sorted([begun.item.id, waiting.item.id])
    assert (await world.item(begun.item.id)).attempts == 1
    assert (await world.item(waiting.item.id)).attempts == 0
    assert (await world.item(other.item.id)).status is Status.PROCESSING
    assert [lease.item.id for lease in await world.claim(B)] == [waiting.item.id]


async def test_without_a_ledger_everything_may_have_started(world: World) -> None:
    """Nobody knows: each is a suspect, each attempt counts."""
    await _two(world)

    await world.swept(Takeover(owner=A))

    assert not await world.claim(B)
    assert len(await world.claim(B, suspects=True)) == 1
    assert (await world.item((await world.claim(B, suspects=True))[0].item.id)).attempts == 2


async def test_a_takeover_ends_what_has_used_up_its_attempts(world: World) -> None:
    """A task that kills its worker ends as Failed; one that had not started has lost nothing."""
    begun, waiting = await _two(world, max_attempts=1)

    swept = await world.swept(Takeover(owner=A, started=[begun.item.id]))

    assert (list(swept.failed), list(swept.requeued)) == ([begun.item.id], [waiting.item.id])
    assert (await world.item(begun.item.id)).error == "its worker died"


@pytest.mark.parametrize("started", [True, False])
async def test_a_takeover_cancels_what_was_to_be_cancelled(world: World, started: bool) -> None:
    """Whether it had started or not."""
    lease = await world.running()
    await world.do(Cancel(id=lease.item.id))

    begun: list[TaskId] = [lease.item.id] if started else []
    assert list((await world.swept(Takeover(owner=A, started=begun))).cancelled) == begun or [
        lease.item.id
    ]
    assert (await world.item(lease.item.id)).status is Status.CANCELLED


async def test_a_second_takeover_finds_nothing(world: World) -> None:
    """The root and a reaper may both see the death: doing it twice changes nothing."""
    await world.running()
    await world.swept(Takeover(owner=A))

    assert await world.swept(Takeover(owner=A)) == NOTHING


async def test_suspects_come_alone(world: World) -> None:
    """One at a time, and nothing else with it; the most urgent first."""
    low, high = await world.running(priority=0), await world.running(priority=3)
    await world.swept(Takeover(owner=A))
    (plain,) = await world.add(priority=9)

    suspects = await world.claim(B, suspects=True)

    assert [lease.item.id for lease in suspects] == [high.item.id]
    assert suspects[0].suspect
    assert [lease.item.id for lease in await world.claim(B)] == [plain]
    assert [lease.item.id for lease in await world.claim(B, suspects=True)] == [low.item.id]


async def test_a_suspect_is_cleared_by_its_outcome(world: World) -> None:
    """It ended without killing anybody: next time it runs among the others, unless so said."""
    await world.running()
    await world.swept(Takeover(owner=A))
    (lease,) = await world.claim(B, suspects=True)

    await world.finish(lease, Status.PENDING, suspect=True)
    assert not await world.claim(B)

    (lease,) = await world.claim(B, suspects=True)
    await world.finish(lease, Status.PENDING)
    assert len(await world.claim(B)) == 1
