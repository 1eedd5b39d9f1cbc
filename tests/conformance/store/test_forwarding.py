"""Deliveries to webhooks: each event makes them once, whoever tries, whatever dies."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from taskhub.model import TaskItem
from taskhub.ports import Create, EventQuery, Forward, Prune, Refused, Result, Stale, Touched

from tests.conformance.store.world import World


def step(world: World, after: int | None, through: int, *items: TaskItem) -> Forward:
    """From one event to another, for the webhook of these tests."""
    return Forward(webhook="shop", after=after, through=through, items=items)


async def test_a_cursor_begins_where_it_is_told_to_and_only_once(world: World) -> None:
    """Two processes that begin at the same time begin as one."""
    assert await world.store.forwarded() == {}

    results = await world.do(step(world, None, 7), step(world, None, 9))

    assert list(results) == [Touched(0), Stale()]
    assert await world.store.forwarded() == {"shop": 7}


async def test_the_deliveries_are_made_with_the_move_of_the_cursor(world: World) -> None:
    """One transaction: there is no moment in which one is there without the other."""
    await world.do(step(world, None, 0))
    items = [world.task(type="webhook") for _ in range(3)]

    result = await world.one(step(world, 0, 5, *items))

    assert result == Touched(3)
    assert await world.store.get([item.id for item in items]) == items
    assert await world.store.forwarded() == {"shop": 5}
    assert world.told() == [("TaskCreated", item.id) for item in items]


async def test_who_comes_too_late_makes_nothing(world: World) -> None:
    """From an old place, from one that never was, or as if there were no cursor."""
    await world.do(step(world, None, 0), step(world, 0, 5))
    for after in (0, 4, 6, None):
        item = world.task()

        assert await world.one(step(world, after, 9, item)) == Stale()
        assert await world.store.get([item.id]) == []
    assert world.told() == []
    assert await world.store.forwarded() == {"shop": 5}


async def test_each_webhook_has_its_own_cursor(world: World) -> None:
    """One that was added later begins later."""
    other = Forward(webhook="other", after=None, through=3)

    await world.do(step(world, None, 0), other, step(world, 0, 1))

    assert await world.store.forwarded() == {"shop": 1, "other": 3}


async def test_deliveries_that_cannot_be_stored_leave_the_cursor_where_it_was(
    world: World,
) -> None:
    """What was not made was not forwarded; neighbours are stored all the same."""
    (known,) = await world.add()
    await world.do(step(world, None, 0))
    twin, neighbour = world.task(id=known), world.task()

    result, _ = await world.do(step(world, 0, 5, world.task(), twin), Create(item=neighbour))

    assert isinstance(result, Refused)
    assert await world.store.forwarded() == {"shop": 0}
    assert await world.store.get([neighbour.id]) == [neighbour]


async def test_of_many_who_try_at_the_same_time_one_makes_each_delivery(world: World) -> None:
    """Every worker process has an eye on the events; their number changes nothing."""
    await world.add(5)
    await world.do(step(world, None, 0))
    stores = [world.backend.store(world.hands) for _ in range(3)]

    async def forward(through: int, index: int) -> Result:
        write = step(world, through - 1, through, world.task(type="webhook"))
        return (await stores[index].commit([write])).results[0]

    try:
        for store in stores:
            await store.open()
        for through in range(1, 6):
            results = await asyncio.gather(*(forward(through, index) for index in range(3)))
            assert sorted(type(result).__name__ for result in results) == [
                *("Stale", "Stale", "Touched")
            ]
    finally:
        for store in stores:
            await store.close()
    events = (await world.store.events(EventQuery(after=5))).items

    assert [event.kind for event in events] == ["webhook"] * 5


async def test_a_cursor_outlives_the_events_it_has_passed(world: World) -> None:
    """They are pruned by age; the place stays."""
    await world.add(3)
    await world.do(step(world, None, 0), step(world, 0, 3))
    world.hands.advance(10)
    old = world.hands.now - timedelta(days=9)
    await world.do(Prune(tasks_before=old, events_before=world.hands.now, audit_before=old))

    assert await world.store.forwarded() == {"shop": 3}
