"""Many new tasks in one write: all or none, or each for itself; under one key."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from taskhub.audit import Audit
from taskhub.keys import IdempotencyKey, KeyReused, Replayed, Told
from taskhub.ports import Create, Created, CreatedMany, CreateMany, Refused, Result, Touched

from tests.conformance.store.world import World


def told(result: Result) -> Told:
    """What is kept: how many were stored."""
    assert isinstance(result, CreatedMany)
    count = sum(isinstance(each, Created) for each in result.results)
    return Told(207, f"{count} of {len(result.results)}".encode())


def many(world: World, number: int, *taken: Any, **fields: Any) -> CreateMany:
    """So many new tasks, then some with an id that there is."""
    items = [world.task() for _ in range(number)] + [world.task(id=id_) for id_ in taken]
    return CreateMany(creates=[Create(item=item) for item in items], **fields)


def key(world: World, request: str = "hash") -> IdempotencyKey:
    """A key that lasts for an hour."""
    later = world.hands.now + timedelta(hours=1)
    return IdempotencyKey(
        principal="user-1", key="k1", request_hash=request, answer=told, expires_at=later
    )


def kinds(result: Result) -> list[type[Any]]:
    """What has become of each."""
    assert isinstance(result, CreatedMany)
    return [type(each) for each in result.results]


async def test_all_are_stored_and_told_of_in_their_order(world: World) -> None:
    """The answer has the tasks themselves."""
    write = many(world, 300, is_atomic=True)

    result = await world.one(write)

    items = [create.item for create in write.creates]
    assert result == CreatedMany([Created(item) for item in items])
    assert await world.store.get([item.id for item in items]) == items
    assert world.told() == [("TaskCreated", item.id) for item in items]
    assert [row["TaskId"] for row in world.backend.rows("Events")] == [item.id for item in items]


async def test_where_one_cannot_be_stored_an_atomic_write_stores_none(world: World) -> None:
    """Its neighbours in the transaction are not touched."""
    (taken,) = await world.add()
    world.told()
    alone = world.task()

    results = await world.do(
        Create(item=alone),
        many(world, 3, taken, is_atomic=True),
        many(world, 2, is_atomic=True),
        Audit(message="a note", actor="tests"),
    )

    assert isinstance(results[1], Refused)
    assert (kinds(results[2]), results[3]) == ([Created] * 2, Touched(1))
    assert len(world.backend.rows("Tasks")) == 4
    assert len(world.told()) == 3
    assert len(world.backend.rows("Events")) == 4


async def test_each_for_itself_stores_those_that_can_be(world: World) -> None:
    """The others are refused in their places; nothing is stored or told twice."""
    (taken,) = await world.add()
    world.told()

    results = await world.do(
        many(world, 2, taken, is_atomic=False), many(world, 1, is_atomic=False)
    )

    assert [kinds(result) for result in results] == [[Created, Created, Refused], [Created]]
    assert len(world.backend.rows("Tasks")) == 4
    assert len(world.told()) == 3
    assert len(world.backend.rows("Events")) == 4


async def test_the_answer_that_is_kept_is_told_of_what_has_come_of_it(world: World) -> None:
    """With its status; in the transaction, so that no crash can come between."""
    (taken,) = await world.add()

    await world.do(many(world, 2, taken, is_atomic=False, key=key(world)))

    kept = await world.store.kept("user-1", "k1")
    assert kept is not None
    assert (kept.request_hash, kept.answer) == ("hash", Told(207, b"2 of 3"))


async def test_the_same_key_makes_them_once(world: World) -> None:
    """In one transaction and in the next; a single task under the same key is another request."""
    first, second = (many(world, 2, is_atomic=True, key=key(world)) for _ in range(2))

    results = await world.do(first, second)
    later = await world.one(many(world, 2, is_atomic=True, key=key(world)))
    other = await world.one(Create(item=world.task(), key=key(world, "another")))

    again = Replayed(Told(207, b"2 of 2"))
    assert (kinds(results[0]), results[1], later) == ([Created] * 2, again, again)
    assert other == KeyReused()
    assert len(world.backend.rows("Tasks")) == 2


async def test_a_refused_write_leaves_no_key(world: World) -> None:
    """Nothing was stored: there is nothing to say again."""
    (taken,) = await world.add()
    refused = await world.one(many(world, 1, taken, is_atomic=True, key=key(world)))

    assert isinstance(refused, Refused)
    assert await world.store.kept("user-1", "k1") is None


async def test_nothing_to_store_is_an_answer_too(world: World) -> None:
    """All of a batch may have been wrong; its key stands for that answer."""
    result = await world.one(CreateMany(creates=[], is_atomic=False, key=key(world)))

    assert result == CreatedMany([])
    assert await world.one(CreateMany(creates=[], is_atomic=False, key=key(world))) == Replayed(
        Told(207, b"0 of 0")
    )
