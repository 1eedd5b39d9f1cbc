"""What a store answers: pages, single tasks, depths, and when there is something to do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from taskhub.finding import TaskQuery
from taskhub.model import Status, TaskId
from taskhub.ports import QueueCount, Takeover
from taskhub.search import parse

from tests.conformance.store.world import A, B, World


async def pages(world: World, q: str = "", **query: Any) -> list[list[TaskId]]:
    """The ids of every page, following the cursors to the end."""
    found, cursor = [], None
    while True:
        page = await world.store.find(TaskQuery(where=parse(q), **query, cursor=cursor))
        found.append([item.id for item in page.items])
        if page.next is None:
            return found
        assert page.next == found[-1][-1]
        cursor = page.next


def flat(found: list[list[TaskId]]) -> list[TaskId]:
    """All pages in a row."""
    return [task for page in found for task in page]


async def test_tasks_come_in_the_order_asked(world: World) -> None:
    """Each once for each time asked; what is not there is left out."""
    first, second = await world.add(2)

    found = await world.store.get([second, TaskId("nobody"), first])

    assert [item.id for item in found] == [second, first]
    assert await world.store.get([]) == []


async def test_pages_are_newest_first_and_end(world: World) -> None:
    """Every task on exactly one page; the last page says that it is the last."""
    tasks = await world.add(7)

    found = await pages(world, limit=3)

    assert [len(page) for page in found] == [3, 3, 1]
    assert flat(found) == tasks[::-1]
    assert await pages(world, limit=7) == [tasks[::-1]]


async def test_an_empty_store_has_one_empty_page(world: World) -> None:
    """No error, no cursor."""
    assert await pages(world) == [[]]


async def test_a_page_stays_put_while_others_write(world: World) -> None:
    """New tasks do not push old ones onto the next page a second time."""
    tasks = await world.add(4)
    page = await world.store.find(TaskQuery(limit=2))
    await world.add(3)

    rest = await world.store.find(TaskQuery(limit=9, cursor=page.next))

    assert [item.id for item in rest.items] == tasks[1::-1]


@pytest.mark.parametrize("limit", [1, 2, 50])
@pytest.mark.parametrize(
    ("q", "fields"),
    [
        ("status:pending", {"status": Status.PENDING}),
        ("status:processing", {"status": Status.PROCESSING}),
        ("status:done", {"status": Status.DONE}),
        ("status:cancelled", {"status": Status.CANCELLED}),
        ("status:failed", {"status": Status.FAILED}),
        ("type:resize", {"type": "resize"}),
        ("queue:b", {"queue": "b"}),
        ("type:simulate queue:a", {"type": "simulate", "queue": "a"}),
        (
            "status:pending type:resize queue:b",
            {"status": Status.PENDING, "type": "resize", "queue": "b"},
        ),
        ("type:exotic", {"type": "exotic"}),
    ],
)
async def test_filters_find_what_matches_and_nothing_else(
    world: World, q: str, fields: dict[str, Any], limit: int
) -> None:
    """Each alone and together, page by page, whatever state the others are in."""
    tasks = [await _in_some_state(world, number) for number in range(24)]
    wanted = [
        item.id
        for item in await world.store.get(tasks)
        if all(getattr(item, name) == value for name, value in fields.items())
    ]

    found = await pages(world, q, limit=limit)

    assert flat(found) == wanted[::-1]


async def _in_some_state(world: World, number: int) -> TaskId:
    fields: dict[str, Any] = {
        "type": ("simulate", "resize")[number % 2],
        "queue": ("a", "b", "c")[number % 3],
    }
    ends = {1: Status.DONE, 2: Status.FAILED, 3: Status.CANCELLED}
    if number % 6 in ends:
        lease = await world.running(**fields)
        await world.finish(lease, ends[number % 6])
        return lease.item.id
    if number % 6 == 4:
        return (await world.running(**fields)).item.id
    later = world.hands.now + timedelta(seconds=60)
    return (await world.add(**fields, run_at=later))[0]


async def test_a_range_of_time_includes_its_start_and_not_its_end(world: World) -> None:
    """So that days can be put side by side; with a status too."""
    tasks = []
    for _ in range(6):
        tasks += await world.add()
        world.hands.advance(60)

    window = "created:>=2026-01-01T00:01:00Z created:<2026-01-01T00:04:00Z"

    assert await pages(world, window) == [tasks[3:0:-1]]
    assert await pages(world, f"{window} status:pending") == [tasks[3:0:-1]]
    assert await pages(world, "created:>=2026-01-01T00:04:00Z") == [tasks[:3:-1]]
    assert await pages(world, "created:<2026-01-01T00:01:00Z") == [tasks[:1]]


async def test_depths_are_counted_by_queue(world: World) -> None:
    """The live states only, with the age of the one that has been due longest."""
    await world.add(2, queue="a")
    await world.add(queue="b", run_at=world.hands.now + timedelta(seconds=60))
    world.hands.advance(5)
    await world.add(queue="a")
    await world.finish(await world.running(queue="c"))
    await world.running(queue="c")

    counts = {(count.queue, count.status): count for count in await world.store.counts()}

    assert counts == {
        ("a", Status.PROCESSING): QueueCount("a", Status.PROCESSING, 3, 5.0),
        ("b", Status.PENDING): QueueCount("b", Status.PENDING, 1, 0.0),
        ("c", Status.PROCESSING): QueueCount("c", Status.PROCESSING, 1, 0.0),
    }


async def test_suspects_are_counted_and_due_like_others(world: World) -> None:
    """They wait in the same queue."""
    await world.running()
    await world.swept(Takeover(owner=A))

    (count,) = await world.store.counts()

    assert (count.queue, count.status, count.count) == ("default", Status.PENDING, 1)
    assert await world.store.next_due() == 0.0


async def test_owners_are_those_who_hold_something(world: World) -> None:
    """Each once; nobody who has finished."""
    await world.running(A)
    await world.running(A)
    await world.finish(await world.running(B))

    assert await world.store.owners() == [A]


async def test_the_next_due_task_is_the_first_of_all(world: World) -> None:
    """Over all types, queues and priorities; none waits, nothing is due."""
    assert await world.store.next_due() is None
    for type_, queue, priority, delay in (
        ("simulate", "a", 0, 50),
        ("simulate", "a", 5, 40),
        ("simulate", "b", 0, 30),
        ("resize", "z", -1, 20),
        ("exotic", "a", 0, 60),
    ):
        run_at = world.hands.now + timedelta(seconds=delay)
        await world.add(type=type_, queue=queue, priority=priority, run_at=run_at)

    assert await world.store.next_due() == 20.0
    world.hands.advance(30)
    assert await world.store.next_due() == 0.0
