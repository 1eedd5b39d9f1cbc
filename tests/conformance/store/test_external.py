"""What external workers need of a store: who holds a task, keys of outcomes, types of their own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from taskhub.keys import IdempotencyKey, Kept, Told
from taskhub.model import Owner, Status, TaskId, TypeInfo
from taskhub.ports import Cancel, Finish, Finished, Held, Register, Result, Stale, Sweep

from tests.conformance.store.world import BOOT, LEASE, A, World

MILL = Owner(f"{BOOT}/ext:mill-1/~0123456789abcdef0123456789abcdef")


def told(result: Result) -> Told | None:
    """What an API would answer."""
    return Told(200, result.status.encode()) if isinstance(result, Finished) else None


def key(world: World, name: str = "k") -> IdempotencyKey:
    """A key as one outcome has it."""
    return IdempotencyKey(
        principal="alice",
        key=name,
        request_hash="h",
        answer=told,
        expires_at=world.hands.now + timedelta(hours=24),
    )


async def test_cancels_that_are_wished_are_told_while_the_tasks_run(world: World) -> None:
    """Whoever holds them; neither of tasks that wait nor of those that have ended."""
    ours, theirs, ended = [await world.running(owner) for owner in (A, MILL, MILL)]
    waiting = await world.add()
    running = [lease.item.id for lease in (ours, theirs, ended)]
    await world.do(*(Cancel(id=id_) for id_ in [*running, *waiting]))
    await world.finish(ended, Status.CANCELLED)

    assert set(await world.store.cancels()) == {ours.item.id, theirs.item.id}


async def test_who_holds_a_task_is_told_with_its_fence(world: World) -> None:
    """An external worker brings its lease back; the store says whether it is still in force."""
    lease = await world.running(MILL)

    held = await world.store.held(lease.item.id)

    assert held is not None
    assert (held.fence, held.owner, held.item.status) == (lease.fence, MILL, Status.PROCESSING)
    await world.finish(lease)
    assert await world.store.held(lease.item.id) == Held(
        await world.item(lease.item.id), lease.fence, None
    )
    assert await world.store.held(TaskId("019aa1d2-8c6e-7b53-9a43-1d3c5a0f9e21")) is None


async def test_an_outcome_keeps_its_key_with_what_came_of_it(world: World) -> None:
    """Whoever asks again learns the status that the row has reached, a wished cancel included."""
    lease = await world.running()

    done = await world.finish(lease, key=key(world))

    assert done == Finished(Status.DONE)
    assert await world.store.kept("alice", "k") == Kept("h", Told(200, b"Done"))


async def test_a_stale_outcome_keeps_no_key(world: World) -> None:
    """Else its sender would be told later that it has counted."""
    lease = await world.running()
    await world.finish(lease)

    late = await world.one(
        Finish(id=lease.item.id, fence=lease.fence, status=Status.DONE, key=key(world))
    )

    assert late == Stale()
    assert await world.store.kept("alice", "k") is None


async def test_of_two_outcomes_in_one_batch_only_the_first_keeps_its_key(world: World) -> None:
    """As with the outcomes themselves."""
    lease = await world.running()
    ended: dict[str, Any] = {"id": lease.item.id, "fence": lease.fence}

    await world.do(
        Finish(**ended, status=Status.DONE, key=key(world, "first")),
        Finish(**ended, status=Status.FAILED, key=key(world, "second")),
    )

    assert await world.store.kept("alice", "first") == Kept("h", Told(200, b"Done"))
    assert await world.store.kept("alice", "second") is None


async def test_the_lease_of_an_external_worker_ends_by_time_alone(world: World) -> None:
    """It has no lock: nobody counts it among the living or the dead."""
    lease = await world.running(MILL)
    sweep = Sweep(owner=A, held=(), living=(), lease=LEASE)

    world.hands.advance(LEASE - 0.1)
    assert (await world.swept(sweep)).requeued == []
    world.hands.advance(0.2)

    assert (await world.swept(sweep)).requeued == [lease.item.id]
    assert not (await world.running(A)).suspect


async def test_an_external_worker_never_changes_a_type_of_our_own(world: World) -> None:
    """The other way round a handler takes a type over: the operator has installed it."""
    own, external = TypeInfo("resize", {"a": 1}), TypeInfo("resize", {"b": 2}, "ext:mill")
    await world.one(Register(types=[own]))

    await world.one(Register(types=[external]))
    assert await world.store.types() == [own]

    await world.one(Register(types=[TypeInfo("press", {"b": 2}, "ext:mill")]))
    await world.one(Register(types=[TypeInfo("press", {"c": 3}, "ext:other")]))
    by_name = {info.name: info for info in await world.store.types()}
    assert by_name["press"] == TypeInfo("press", {"c": 3}, "ext:other")
    await world.one(Register(types=[TypeInfo("press")]))
    assert not {info.name: info for info in await world.store.types()}["press"].is_external
