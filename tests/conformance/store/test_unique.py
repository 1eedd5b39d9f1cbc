"""Unique keys: one task of a type holds a key, as long as its state and the time say so."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from taskhub.bulk import Act, Bulk
from taskhub.keys import Existing, IdempotencyKey, KeyReused, Replayed, Told, UniqueKey
from taskhub.model import HOLDING, Status, TaskId
from taskhub.ports import (
    Cancel,
    Create,
    Created,
    CreatedMany,
    CreateMany,
    Finish,
    Prune,
    Pruned,
    Refused,
    Requeue,
    Result,
)

from tests.conformance.store.backend import Backend, Hands
from tests.conformance.store.world import World


def unique(key: str = "key:a", **fields: Any) -> UniqueKey:
    """A key that is held until the task has ended."""
    return UniqueKey(**({"key": key, "states": HOLDING} | fields))


def new(world: World, key: UniqueKey | None = None, **fields: Any) -> Create:
    """A new task that asks for a key."""
    return Create(item=world.task(**fields), unique=unique() if key is None else key)


async def made(world: World, key: UniqueKey | None = None, **fields: Any) -> TaskId:
    """A task that holds its key."""
    result = await world.one(new(world, key, **fields))
    assert isinstance(result, Created), result
    return result.item.id


async def existing(world: World, key: UniqueKey | None = None, **fields: Any) -> TaskId:
    """The task that another one finds in its way."""
    result = await world.one(new(world, key, **fields))
    assert isinstance(result, Existing), result
    assert result.item == await world.item(result.item.id)
    return result.item.id


async def test_who_asks_for_a_key_that_is_held_gets_the_task_that_holds_it(world: World) -> None:
    """As it is now; nothing is stored or told."""
    first = await made(world, title="first")
    world.told()

    assert await existing(world, title="second") == first
    (lease,) = await world.claim()
    assert await existing(world) == first
    world.told()
    assert [row["Id"] for row in world.backend.rows("Tasks")] == [first]
    assert [row["TaskId"] for row in world.backend.rows("UniqueKeys")] == [lease.item.id]


async def test_racers_in_one_transaction_make_one_task(world: World) -> None:
    """Like a hundred in a row: the first holds the key, other keys and tasks are not touched."""
    racers = [new(world) for _ in range(100)]
    other, plain = new(world, unique("key:b")), Create(item=world.task())

    results = await world.do(*racers, other, plain)

    first = racers[0].item
    assert list(results) == [
        Created(first),
        *[Existing(first)] * 99,
        Created(other.item),
        Created(plain.item),
    ]
    assert len(world.backend.rows("Tasks")) == 3
    assert len(world.told()) == 3


async def test_racers_of_several_stores_make_one_task(backend: Backend) -> None:
    """Each is a process's own writer; the transaction decides."""
    worlds = [World(backend, hands, backend.store(hands)) for hands in (Hands(), Hands())]
    for world in worlds:
        await world.store.open()
    items = [world.task(id=f"{n:036d}") for n, world in enumerate(worlds * 20)]
    asked = [
        world.one(Create(item=item, unique=unique()))
        for world, item in zip(worlds * 20, items, strict=True)
    ]

    results = await asyncio.gather(*asked)

    for world in worlds:
        await world.store.close()
    (row,) = backend.rows("Tasks")
    kinds = [type(result) for result in results]
    assert (kinds.count(Created), kinds.count(Existing)) == (1, 39)
    assert {result.item.id for result in results if isinstance(result, Existing)} == {row["Id"]}


async def test_types_and_keys_are_apart(world: World) -> None:
    """`order-7` of one type says nothing of another's; case and accents count."""
    ids = {
        await made(world),
        await made(world, type="resize"),
        await made(world, unique("key:A")),
        await made(world, unique("key:\u00e4")),
        await made(world, unique("key:a\u0308")),
        await made(world, unique("key:%_'\";--")),
    }

    assert len(ids) == 6


@pytest.mark.parametrize("end", [Status.DONE, Status.FAILED, Status.CANCELLED])
async def test_the_end_of_the_task_frees_the_key(world: World, end: Status) -> None:
    """However it ends; the next task holds it then."""
    await made(world)
    (lease,) = await world.claim()
    await world.finish(lease, end)

    second = await made(world)

    assert await existing(world) == second
    assert len(world.backend.rows("UniqueKeys")) == 1


async def test_a_retry_keeps_the_key(world: World) -> None:
    """A failed attempt is no end: the task is Pending again."""
    first = await made(world)
    (lease,) = await world.claim()
    later = world.hands.now + timedelta(seconds=60)
    await world.finish(lease, Status.PENDING, run_at=later, error="no luck")

    assert await existing(world) == first


async def test_a_cancelled_task_frees_the_key_at_once(world: World) -> None:
    """What never ran holds nothing."""
    first = await made(world)
    await world.one(Cancel(id=first))

    assert await made(world) != first


async def test_the_states_say_how_long_it_is_held(world: World) -> None:
    """Waiting alone: another may wait while one runs. Done too: once is enough."""
    waiting, once = unique("w", states=(Status.PENDING,)), unique("o", states=(*HOLDING, "Done"))
    await made(world, waiting)
    first = await made(world, once, type="resize")
    leases = await world.claim()

    second = await made(world, waiting)
    for lease in leases:
        await world.finish(lease)

    assert await existing(world, waiting) == second
    assert await existing(world, once, type="resize") == first


async def test_the_window_ends_it_whatever_the_state(world: World) -> None:
    """To the moment: at its end the key is free."""
    ends = world.hands.now + timedelta(seconds=60)
    first = await made(world, unique(expires_at=ends))
    world.hands.advance(59.999)
    assert await existing(world, unique(expires_at=ends)) == first

    world.hands.advance(0.001)
    second = await made(world, unique(expires_at=ends + timedelta(seconds=60)))

    assert await existing(world) == second


async def test_an_operators_retry_holds_the_key_again_where_nobody_else_does(world: World) -> None:
    """It makes no task, so no key is in its way."""
    first = await made(world)
    await world.one(Cancel(id=first))
    await world.one(Requeue(id=first))
    assert await existing(world) == first

    await world.one(Cancel(id=first))
    second = await made(world)
    await world.one(Requeue(id=first))

    assert (await world.item(first)).status is Status.PENDING
    assert await existing(world) == second


async def test_what_is_freed_in_a_transaction_is_free_in_the_next(world: World) -> None:
    """New tasks come first in a batch: an end that is committed with them comes after them."""
    first = await made(world)
    (lease,) = await world.claim()
    end = Finish(id=first, fence=lease.fence, status=Status.DONE)

    together = await world.do(end, new(world))

    assert isinstance(together[1], Existing)
    assert await made(world) != first


async def test_a_refused_task_holds_nothing(world: World) -> None:
    """It was not stored."""
    (taken,) = await world.add()

    results = await world.do(new(world, id=taken), new(world))

    assert [type(result) for result in results] == [Refused, Created]


# ---- many at once, and asking twice


@pytest.mark.parametrize("is_atomic", [True, False])
async def test_equal_tasks_of_a_batch_are_one(world: World, is_atomic: bool) -> None:
    """And so are those that were there before: neither spoils the batch."""
    before = await made(world, unique("key:b"))
    creates = [new(world), new(world), new(world, unique("key:b")), Create(item=world.task())]

    result = await world.one(CreateMany(creates=creates, is_atomic=is_atomic))

    assert result == CreatedMany(
        [
            Created(creates[0].item),
            Existing(creates[0].item),
            Existing(await world.item(before)),
            Created(creates[3].item),
        ]
    )
    assert len(world.backend.rows("Tasks")) == 3


async def test_a_batch_with_a_poisonous_task_holds_no_key_for_it(world: World) -> None:
    """The second of its kind is stored in its place."""
    (taken,) = await world.add()
    creates = [new(world, id=taken), new(world), new(world)]

    each = await world.one(CreateMany(creates=creates, is_atomic=False))

    assert isinstance(each, CreatedMany)
    assert [type(one) for one in each.results] == [Refused, Created, Existing]


def told(result: Result) -> Told | None:
    """What is kept, and nothing of a task called secret."""
    assert isinstance(result, Created | Existing)
    if result.item.title == "secret":
        return None
    return Told(201 if isinstance(result, Created) else 200, result.item.id.encode())


def keyed(world: World, name: str = "k1", request: str = "hash", **fields: Any) -> Create:
    """A task under both kinds of keys."""
    key = IdempotencyKey(
        principal="user-1",
        key=name,
        request_hash=request,
        answer=told,
        expires_at=world.hands.now + timedelta(hours=1),
    )
    return Create(item=world.task(**fields), key=key, unique=unique())


async def test_the_answer_of_who_came_second_is_kept_too(world: World) -> None:
    """Asked again it is the same, though the key has become free meanwhile."""
    first = keyed(world)
    racers = [keyed(world, "k2"), keyed(world, "k2"), keyed(world, "k2", "another")]

    results = await world.do(first, *racers)
    await world.one(Cancel(id=first.item.id))
    again = [await world.one(keyed(world, name)) for name in ("k1", "k2")]

    kept = Told(200, first.item.id.encode())
    assert list(results) == [
        Created(first.item),
        Existing(first.item),
        Replayed(kept),
        KeyReused(),
    ]
    assert again == [Replayed(Told(201, kept.body)), Replayed(kept)]
    assert len(world.backend.rows("Tasks")) == 1


async def test_an_answer_that_is_not_told_is_not_kept(world: World) -> None:
    """Who may not see the task was refused: no refusal is kept."""
    secret = await made(world, title="secret")

    results = await world.do(keyed(world), keyed(world))

    assert [type(result) for result in results] == [Existing, Existing]
    assert await world.store.kept("user-1", "k1") is None
    await world.one(Cancel(id=secret))
    assert isinstance(await world.one(keyed(world)), Created)


# ---- the end of rows


def prune(world: World, **fields: Any) -> Prune:
    """Delete what is old by now."""
    now = world.hands.now
    plain = {"tasks_before": now, "events_before": now, "audit_before": now}
    return Prune(**(plain | fields))


async def test_a_key_goes_with_its_task(world: World) -> None:
    """Pruned or deleted: no table grows for ever, and what is gone holds nothing."""
    done = unique(states=tuple(Status))
    await made(world, done)
    (lease,) = await world.claim()
    await world.finish(lease)
    assert await existing(world, done)
    world.hands.advance(60)

    await world.one(prune(world))
    assert world.backend.rows("UniqueKeys") == []
    second = await made(world, done)
    await world.one(Cancel(id=second))
    await world.one(Bulk(act=Act.DELETE, ids=[second], audit=None))

    assert world.backend.rows("UniqueKeys") == []
    assert await made(world, done) != second


async def test_what_goes_with_a_task_is_not_counted_as_pruned(world: World) -> None:
    """Neither its unique key nor its attempts: the counts are of tasks."""
    await made(world, unique(states=tuple(Status)))
    (lease,) = await world.claim()
    await world.finish(lease, Status.FAILED, error="no route")
    world.hands.advance(60)

    result = await world.one(prune(world))

    assert isinstance(result, Pruned)
    assert (result.tasks, result.unique_keys) == (1, 0)
    assert world.backend.rows("UniqueKeys") == []


async def test_the_end_of_an_older_task_takes_nothing_from_who_holds_the_key(world: World) -> None:
    """It held it before."""
    await made(world)
    (lease,) = await world.claim()
    await world.finish(lease)
    second = await made(world)
    world.hands.advance(60)

    await world.one(prune(world))

    assert await existing(world) == second


async def test_keys_whose_time_is_over_are_pruned(world: World) -> None:
    """A limited number at a time; the tasks stay."""
    ends = world.hands.now + timedelta(seconds=30)
    for number in range(3):
        await made(world, unique(f"key:{number}", expires_at=ends))
    await made(world, unique("key:longer", expires_at=ends + timedelta(seconds=60)))
    await made(world, unique("key:always"))
    world.hands.advance(30)

    await world.one(prune(world, limit=2))
    left = len(world.backend.rows("UniqueKeys"))
    await world.one(prune(world, limit=2))

    assert left == 3
    assert sorted(row["Key"] for row in world.backend.rows("UniqueKeys")) == [
        "key:always",
        "key:longer",
    ]
    assert len(world.backend.rows("Tasks")) == 5
